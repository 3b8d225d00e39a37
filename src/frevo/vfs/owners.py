"""The owner of new files: the creator (set by the kernel) or, with `inherit owner`, the folder's owner."""

from __future__ import annotations

import os

from frevo.aio.acting import as_identity
from frevo.vfs.lookup import Held
from frevo.vfs.system import proc_path


def give_to_owner_of(directory_fd: int, made: Held) -> None:
    """Give the new file *made* to the owner of the directory; needs root."""
    owner = os.fstat(directory_fd).st_uid
    if owner != os.fstat(made.fd).st_uid:
        with as_identity(None):
            os.chown(made.fd if made.readable else proc_path(made.fd), owner, -1)
