"""Lazy directory listings: one statx per entry, plus DOSATTRIB where the file system has xattrs.

Links that lead outside the share, nowhere or in circles are skipped, as in smbd; special files are listed.
"""

from __future__ import annotations

import os
import stat as stat_module
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frevo.aio.syscalls import AT_SYMLINK_NOFOLLOW, openat2, statx
from frevo.errors import SMBError
from frevo.vfs.attributes import XATTR_DOSATTRIB, DosAttributes, make_stat, unpack_dosattrib
from frevo.vfs.base import DirectoryItem, FileStat
from frevo.vfs.lookup import join
from frevo.vfs.metadata import FileMetadata
from frevo.vfs.names import disk_to_wire, encode_name
from frevo.vfs.out_of_range_times import XATTR_TIMES, exact, is_out_of_range
from frevo.vfs.system import EntryXattr

if TYPE_CHECKING:
    from frevo.vfs.local import LocalBackend


def list_directory(backend: LocalBackend, directory_fd: int, path: str) -> Iterator[DirectoryItem]:
    """All entries of the directory at the real *path*, "." and ".." first. Opens its own descriptor immediately, so
    that listings do not disturb each other; the iterator closes it."""
    fd = openat2(directory_fd, b".", os.O_RDONLY | os.O_DIRECTORY)
    return _Listing(backend, fd, path).items()


class _Listing:
    """One pass over one directory."""

    __slots__ = ("_backend", "_fd", "_path", "_xattr")

    def __init__(self, backend: LocalBackend, fd: int, path: str) -> None:
        self._backend = backend
        self._fd = fd
        self._path = path
        self._xattr = EntryXattr(XATTR_DOSATTRIB) if backend.xattrs else None

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def items(self) -> Iterator[DirectoryItem]:
        yield DirectoryItem(".", self._own())
        yield DirectoryItem("..", self._parent())
        fd = self._fd
        backend = self._backend
        xattr, mode_readonly = self._xattr, not backend.xattrs
        hides = backend.veto.hides if backend.veto.any else None
        secret = backend.guard.inodes() if backend.guard is not None else frozenset()
        hide_dots = backend.options.hide_dot_files
        marks = backend.hide.hides if backend.hide.any else None
        with os.scandir(fd) as entries:
            for entry in entries:
                name = entry.name
                if hides is not None and hides(name):
                    continue
                raw = encode_name(name)
                try:
                    status = statx(fd, raw, AT_SYMLINK_NOFOLLOW)
                except OSError:  # it has vanished
                    continue
                if status.ino in secret and backend.guard and backend.guard.hides(status):
                    continue
                hidden = (hide_dots and name[0] == ".") or (marks is not None and marks(name))
                if stat_module.S_ISLNK(status[3]):
                    stat = self._linked(name, hidden)
                else:
                    value = xattr.get(fd, raw) if xattr is not None else None
                    stored: DosAttributes | None = unpack_dosattrib(value) if value is not None else None
                    stat = make_stat(status, stored, hidden=hidden, mode_readonly=mode_readonly)
                    if xattr is not None and is_out_of_range(stat):
                        stat = exact(stat, EntryXattr(XATTR_TIMES).get(fd, raw))
                if stat is not None:
                    yield DirectoryItem(disk_to_wire(name), stat)

    def _linked(self, name: str, hidden: bool) -> FileStat | None:
        """The target of the link *name*; None if there is none inside the share."""
        try:
            return self._backend.stat_real(join(self._path, name), hidden=hidden)
        except (OSError, SMBError):
            return None

    def _own(self) -> FileStat:
        metadata = FileMetadata(self._fd, readable=True, xattrs=self._backend.xattrs)
        return metadata.stat(hidden=False)

    def _parent(self) -> FileStat:
        try:
            return self._backend.stat_real(self._path.rpartition("/")[0], hidden=False)
        except (OSError, SMBError):
            return self._own()
