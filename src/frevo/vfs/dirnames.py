"""Renames, links and removes names in open directories. All functions raise OSError; some also SMBError."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from frevo.aio.syscalls import RENAME_NOREPLACE, renameat2
from frevo.errors import SMBError
from frevo.vfs.system import proc_path
from frevo.wire.erref import NTStatus


def rename_at(old_fd: int, old: str, new_fd: int, new: str, *, replace: bool) -> None:
    """Rename (directory, name). OBJECT_NAME_COLLISION or FileExistsError if the target exists and must stay."""
    old_raw, new_raw = os.fsencode(old), os.fsencode(new)
    if replace:
        renameat2(old_fd, old_raw, new_fd, new_raw)
        return
    try:
        renameat2(old_fd, old_raw, new_fd, new_raw, RENAME_NOREPLACE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Either a directory into itself, or a file system without the flag: the second fails the check below.
        if os.access(new, os.F_OK, dir_fd=new_fd, follow_symlinks=False):
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION) from error
        renameat2(old_fd, old_raw, new_fd, new_raw)


def link_at(source: str, name: str, parent_fd: int) -> None:
    """Create *name* as a hard link to the file at the path *source*. OBJECT_NAME_COLLISION if it exists."""
    try:
        os.link(source, name, dst_dir_fd=parent_fd, follow_symlinks=True)
    except FileExistsError as error:
        raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "created by someone else meanwhile") from error


@contextmanager
def linked_beside(source: str, directory_fd: int) -> Iterator[str]:
    """Context manager: a temporary link in the directory to the file at the path *source*, to be renamed; removed on
    failure."""
    temporary = f".frevo-{secrets.token_hex(8)}"
    os.link(source, temporary, dst_dir_fd=directory_fd, follow_symlinks=True)
    try:
        yield temporary
    except BaseException:
        os.unlink(temporary, dir_fd=directory_fd)
        raise


def remove_at(parent_fd: int, name: str, *, directory: bool) -> None:
    """Removes the name. OSError."""
    if directory:
        os.rmdir(name, dir_fd=parent_fd)
    else:
        os.unlink(name, dir_fd=parent_fd)


def is_empty(directory_fd: int) -> bool:
    """Whether a directory (O_PATH will do) has no entries."""
    fd = os.open(proc_path(directory_fd), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(fd) as entries:
            return next(iter(entries), None) is None
    finally:
        os.close(fd)
