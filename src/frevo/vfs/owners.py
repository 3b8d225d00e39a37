"""Whose a new file is: its maker's, which the kernel sees to, or its folder's owner's (`inherit owner`)."""

from __future__ import annotations

import os

from frevo.aio.acting import as_identity
from frevo.vfs.lookup import Held
from frevo.vfs.system import proc_path


def give_to_owner_of(directory_fd: int, made: Held) -> None:
    """The file that was *made* belongs to the owner of the directory from now on, which only root can bring about."""
    owner = os.fstat(directory_fd).st_uid
    if owner != os.fstat(made.fd).st_uid:
        with as_identity(None):
            os.chown(made.fd if made.readable else proc_path(made.fd), owner, -1)
