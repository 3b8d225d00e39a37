"""An open alternate data stream: a handle whose data is stored in one xattr of its file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo.errors import SMBError
from frevo.vfs.base import Buffer, DirectoryItem, FileIdentity, FileStat, Handle, OpenIntent
from frevo.vfs.handle import LocalHandle
from frevo.vfs.names import fold
from frevo.vfs.streams import check_size, read_stream, real_name, rename_stream, write_stream
from frevo.vfs.system import remove_xattr
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.vfs.local import LocalBackend


class StreamHandle(LocalHandle):
    """A stream. Metadata of the whole file is its file's; size and data are its own."""

    __slots__ = ("_xattr",)

    def __init__(
        self, backend: LocalBackend, fd: int, *, path: str, identity: FileIdentity, readable: bool, xattr: str
    ) -> None:
        stream = real_name(xattr)
        identity = identity._replace(stream=fold(stream))
        super().__init__(
            backend,
            fd,
            path=path,
            identity=identity,
            is_directory=False,
            intent=OpenIntent.PATH,
            readable=readable,
        )
        self.stream = stream
        self._xattr = xattr

    def _data(self) -> bytes:
        return read_stream(self.metadata.target, self._xattr)

    def stat(self) -> FileStat:
        size = len(self._data())
        stat = super().stat()
        attributes = stat.attributes & ~0x10 or 0x80
        return replace(
            stat,
            identity=self.identity,
            is_directory=False,
            attributes=attributes,
            end_of_file=size,
            allocation_size=size,
        )

    def truncate(self, size: int) -> None:
        data = self._data()
        if size < 0:
            raise SMBError(NTStatus.INVALID_PARAMETER, "negative size")
        check_size(size)
        write_stream(self.metadata.target, self._xattr, data[:size].ljust(size, b"\0"))

    def allocate(self, size: int) -> None:
        check_size(size)
        if size < len(self._data()):
            self.truncate(size)

    def resizes_slowly(self, size: int, *, allocation: bool) -> bool:
        return False

    async def read(self, offset: int, length: int) -> Buffer:
        return self.read_now(offset, length)

    def read_now(self, offset: int, length: int) -> Buffer:
        if offset < 0 or length < 0:
            raise SMBError(NTStatus.INVALID_PARAMETER, "negative offset or length")
        return self._data()[offset : offset + length]

    async def write(self, offset: int, data: Buffer) -> int:
        return self.write_now(offset, data)

    def write_now(self, offset: int, data: Buffer) -> int:
        if offset < 0:
            raise SMBError(NTStatus.INVALID_PARAMETER, "negative offset")
        check_size(offset + len(data))
        if not len(data):
            return 0
        content = bytearray(self._data().ljust(offset, b"\0"))
        content[offset : offset + len(data)] = data
        write_stream(self.metadata.target, self._xattr, content)
        return len(data)

    async def append(self, data: Buffer) -> tuple[int, int]:
        return self.append_now(data)

    def append_now(self, data: Buffer) -> tuple[int, int]:
        offset = len(self._data())
        count = self.write_now(offset, data)
        return count, offset + count

    async def flush(self) -> None:
        self.flush_now()

    def flush_now(self) -> None:
        self.descriptor()

    def allocated_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        end = min(offset + length, len(self._data()))
        if offset < end:
            yield offset, end - offset

    async def zero(self, offset: int, beyond: int) -> None:
        self.zero_now(offset, beyond)

    def zero_now(self, offset: int, beyond: int) -> None:
        content = bytearray(self._data())
        end = min(beyond, len(content))
        if offset < end:
            content[offset:end] = bytes(end - offset)
            write_stream(self.metadata.target, self._xattr, content)

    def list_directory(self) -> Iterator[DirectoryItem]:
        raise SMBError(NTStatus.NOT_A_DIRECTORY, "a stream has no entries")

    def rename(self, new_name: str, *, replace_existing: bool) -> None:
        """Renames the stream within its file."""
        self._xattr = rename_stream(self.metadata.target, self._xattr, new_name, replace=replace_existing)
        self.stream = real_name(self._xattr)
        self.identity = self.identity._replace(stream=fold(self.stream))

    def follow(self, renamed: Handle) -> None:
        """Take the stream's new name."""
        if isinstance(renamed, StreamHandle):
            self._xattr, self.stream, self.identity = renamed._xattr, renamed.stream, renamed.identity

    def remove(self) -> None:
        """Remove the stream, if it still exists."""
        remove_xattr(self.metadata.target, self._xattr)
