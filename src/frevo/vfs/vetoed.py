"""`delete veto files`: deletes folders that contain only vetoed names.

Nothing here follows a link or enters another file system. A folder with very many vetoed entries is not deleted,
because that would delay everyone else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from frevo.aio.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from frevo.vfs.names import VetoFiles, encode_name

#: Entries, vetoed folders' contents included, that are removed with one folder.
ENTRIES_MAX: Final = 4096
_DEPTH_MAX: Final = 64
_INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


def all_vetoed(directory_fd: int, veto: VetoFiles) -> bool:
    """Whether the directory (may be O_PATH) has entries, all vetoed and few enough to remove."""
    with _opened(directory_fd, ".") as fd:
        names = os.listdir(fd)  # noqa: PTH208 (a descriptor)
        if not names or len(names) > ENTRIES_MAX or not all(map(veto.hides, names)):
            return False
        return _count(fd, 0) <= ENTRIES_MAX


def remove_vetoed(directory_fd: int, veto: VetoFiles) -> None:
    """Remove the directory's entries if all are vetoed, else nothing. OSError."""
    if all_vetoed(directory_fd, veto):
        with _opened(directory_fd, ".") as fd:
            _remove_all(fd)


def _count(fd: int, depth: int) -> int:
    """The number of entries below *fd*; more than ENTRIES_MAX if it is too deep or cannot be entered."""
    if depth > _DEPTH_MAX:
        return ENTRIES_MAX + 1
    count = 0
    with os.scandir(fd) as entries:
        for entry in entries:
            count += 1
            if entry.is_dir(follow_symlinks=False):
                try:
                    with _opened(fd, entry.name) as below:
                        count += _count(below, depth + 1)
                except OSError:
                    return ENTRIES_MAX + 1
            if count > ENTRIES_MAX:
                break
    return count


def _remove_all(fd: int) -> None:
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            with _opened(fd, name) as below:
                _remove_all(below)
        try:
            os.rmdir(name, dir_fd=fd) if is_directory else os.unlink(name, dir_fd=fd)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


@contextmanager
def _opened(directory_fd: int, name: str) -> Iterator[int]:
    fd = openat2(directory_fd, encode_name(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0, _INSIDE)
    try:
        yield fd
    finally:
        os.close(fd)
