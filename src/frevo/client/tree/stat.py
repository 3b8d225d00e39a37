"""Metadata of files, in the terms of os.stat and of Windows, of file systems and of shares."""

from __future__ import annotations

import stat as modes

import msgspec

from frevo.errors import WireError
from frevo.wire.dtyp.filetime import to_unix_ns
from frevo.wire.fscc import FileAllInformation
from frevo.wire.smb2 import FileAttributes

_DIRECTORY = int(FileAttributes.DIRECTORY)
_REPARSE = int(FileAttributes.REPARSE_POINT)
_READONLY = int(FileAttributes.READONLY)


class Stat(msgspec.Struct, frozen=True):
    """Times are FILETIME (`*_time`); `st_*` are as in os.stat_result."""

    size: int
    attributes: int
    creation_time: int
    last_access_time: int
    last_write_time: int
    change_time: int
    allocation_size: int = 0
    file_id: int = 0
    links: int = 1

    def is_dir(self) -> bool:
        """A directory."""
        return bool(self.attributes & _DIRECTORY)

    def is_symlink(self) -> bool:
        """A symbolic link or another reparse point."""
        return bool(self.attributes & _REPARSE)

    def is_file(self) -> bool:
        """Neither."""
        return not self.attributes & (_DIRECTORY | _REPARSE)

    @property
    def st_size(self) -> int:
        """Bytes."""
        return self.size

    @property
    def st_mode(self) -> int:
        """Kind and permissions, as far as the attributes tell: read-only or not."""
        write = 0 if self.attributes & _READONLY else 0o222
        if self.is_symlink():
            return modes.S_IFLNK | 0o777
        return (modes.S_IFDIR | 0o555 | write) if self.is_dir() else (modes.S_IFREG | 0o444 | write)

    @property
    def st_ino(self) -> int:
        """The server's number for the file."""
        return self.file_id

    @property
    def st_nlink(self) -> int:
        """The number of names (hard links) of the file."""
        return self.links

    @property
    def st_mtime_ns(self) -> int:
        """Last write, nanoseconds since 1970."""
        return to_unix_ns(self.last_write_time)

    @property
    def st_mtime(self) -> float:
        """Last write, seconds since 1970."""
        return self.st_mtime_ns / 1e9

    @property
    def st_atime_ns(self) -> int:
        """Last access, nanoseconds since 1970."""
        return to_unix_ns(self.last_access_time)

    @property
    def st_ctime_ns(self) -> int:
        """Last change of data or metadata, nanoseconds since 1970."""
        return to_unix_ns(self.change_time)

    @property
    def st_atime(self) -> float:
        """Last access."""
        return to_unix_ns(self.last_access_time) / 1e9

    @property
    def st_ctime(self) -> float:
        """Last change of data or metadata, seconds since 1970."""
        return to_unix_ns(self.change_time) / 1e9

    @property
    def st_birthtime(self) -> float:
        """Creation."""
        return to_unix_ns(self.creation_time) / 1e9


class FileSystemSpace(msgspec.Struct, frozen=True):
    """Bytes of the file system behind a share: all, free, and free for this user."""

    total: int
    free: int
    available: int
    block_size: int


class ShareEntry(msgspec.Struct, frozen=True):
    """A share that the server lists. kind: disk, printer, device, pipe."""

    name: str
    kind: str
    comment: str
    special: bool  # administrative: C$, IPC$


def stat_of(found: FileAllInformation) -> Stat:
    """The `Stat` of a FileAllInformation. WireError for negative sizes."""
    if found.end_of_file < 0 or found.allocation_size < 0:
        raise WireError(f"a file of {found.end_of_file} bytes, {found.allocation_size} allocated")
    return Stat(
        found.end_of_file,
        found.file_attributes,
        found.creation_time,
        found.last_access_time,
        found.last_write_time,
        found.change_time,
        found.allocation_size,
        found.index_number,
        found.number_of_links,
    )
