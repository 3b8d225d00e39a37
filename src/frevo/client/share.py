"""A share and everything that one does with files there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Self

from frevo.client import copying, listing, namespace, requests, small
from frevo.client.address import join, wire_path
from frevo.client.file import File, request_for
from frevo.client.listing import DirEntry, Walked
from frevo.client.stat import FileSystemSpace, Stat
from frevo.client.tree import Tree
from frevo.client.watch import EVERYTHING, Change, watch
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.fscc import StreamEntry
from frevo.wire.smb2 import ShareAccess


class Opening:
    """What `Share.open` gives: `await` it for a File, or use it in `async with`, which closes the file."""

    def __init__(self, make: Callable[[], Awaitable[File]]) -> None:
        self._make = make
        self._file: File | None = None

    def __await__(self) -> Generator[Any, None, File]:
        return self._make().__await__()

    async def __aenter__(self) -> File:
        self._file = await self._make()
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            await self._file.__aexit__(kind, error, trace)


class Share:
    """One share of a server. Paths have slashes and are relative to the share, or to the URL's path."""

    def __init__(
        self, tree: Tree, base: str = "", on_close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.tree = tree
        self.base = base.strip("/")
        self._on_close = on_close
        self._closed = False

    @property
    def name(self) -> str:
        """The share's name."""
        return self.tree.name

    def _at(self, path: str) -> str:
        """*path* from the share's root; never above the base."""
        inner = wire_path(path).replace("\\", "/")
        return join(self.base, inner) if inner else self.base

    def _outer(self, path: str) -> str:
        return path[len(self.base) :].lstrip("/") if self.base else path

    # -- files

    def open(
        self, path: str, mode: str = "rb", *, share_read: bool = True, share_write: bool = True,
        share_delete: bool = True,
    ) -> Opening:  # fmt: skip
        """An open file; modes as of the built-in open(), binary. share_*: what others may do meanwhile.

        `path:stream` opens a named stream.
        """
        shared = ShareAccess.READ * share_read | ShareAccess.WRITE * share_write
        shared |= ShareAccess.DELETE * share_delete
        place = self._at(path)
        request = request_for(place, mode, int(shared))

        async def make() -> File:
            return File(self.tree, place, mode, await self.tree.create(request, place))

        return Opening(make)

    async def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        async with self.open(path) as file:
            return await file.pread(file.opened.end_of_file, 0) if file.opened.end_of_file else b""

    async def write_bytes(self, path: str, data: Any) -> int:
        """Makes or replaces the file."""
        async with self.open(path, "wb") as file:
            return await file.write(data)

    async def read_small(self, path: str, size: int) -> bytes:
        """The first *size* bytes, at most 64 KiB, in one round trip."""
        return await small.read_small(self.tree, self._at(path), min(size, small.SMALL_BYTES))

    async def write_small(self, path: str, data: bytes, *, modified_ns: int | None = None) -> None:
        """Makes or replaces a file of at most 64 KiB in one round trip. ValueError for more."""
        if len(data) > small.SMALL_BYTES:
            raise ValueError(f"{len(data)} bytes are not small")
        await small.write_small(self.tree, self._at(path), data, modified_ns)

    async def truncate(self, path: str, size: int) -> None:
        """Cuts or extends the file."""
        async with self.open(path, "r+b") as file:
            await file.truncate(size)

    async def copy(
        self,
        source: str,
        target: str,
        *,
        overwrite: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Copies a file on the server itself; the number of bytes."""
        return await copying.copy_file(
            self.tree, self._at(source), self._at(target), overwrite=overwrite, progress=progress
        )

    # -- directories

    async def scandir(self, path: str = "", pattern: str = "*") -> AsyncIterator[DirEntry]:
        """The entries of a directory with what the listing says of each."""
        async for entry in listing.scandir(self.tree, self._at(path), pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def listdir(self, path: str = "") -> list[str]:
        """The names in a directory."""
        return [entry.name async for entry in listing.scandir(self.tree, self._at(path))]

    async def walk(
        self, top: str = "", onerror: Callable[[str, OSError], object] | None = None
    ) -> AsyncIterator[Walked]:
        """(directory, directories, others) of the tree below *top*, parents first; see `listing.walk`."""

        def told(directory: str, error: OSError) -> None:
            assert onerror is not None
            onerror(self._outer(directory), error)

        problem = told if onerror is not None else None
        async for directory, directories, others in listing.walk(self.tree, self._at(top), problem):
            yield self._outer(directory), directories, others

    async def glob(self, pattern: str) -> AsyncIterator[DirEntry]:
        """Entries whose paths match *pattern* (`*`, `?`, `[…]`, `**`)."""
        async for entry in listing.glob(self.tree, join(self.base, pattern) if self.base else pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def mkdir(self, path: str) -> None:
        """A new directory."""
        await namespace.mkdir(self.tree, self._at(path))

    async def makedirs(self, path: str, *, exist_ok: bool = False) -> None:
        """A new directory and those above it that are missing."""
        await namespace.makedirs(self.tree, self._at(path), exist_ok=exist_ok)

    async def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        await namespace.delete(self.tree, self._at(path), requests.DIRECTORY)

    async def remove(self, path: str) -> None:
        """Removes a file."""
        await namespace.delete(self.tree, self._at(path), requests.NOT_DIRECTORY)

    async def rmtree(self, path: str) -> None:
        """Removes a directory and everything below it. Links are removed, not followed."""
        directories = [path]
        async for _, inner, others in self.walk(path):
            for entry in others:
                await namespace.delete(self.tree, join(entry.directory, entry.name), 0)
            directories += [self._outer(join(entry.directory, entry.name)) for entry in inner]
        for directory in reversed(directories):
            await self.rmdir(directory)

    async def rename(self, source: str, target: str, *, replace: bool = False) -> None:
        """A new name within the share; an existing file of this name is in the way unless *replace*."""
        await namespace.rename(self.tree, self._at(source), self._at(target), replace=replace)

    def watch(
        self, path: str = "", *, recursive: bool = False, what: int = EVERYTHING
    ) -> AsyncIterator[Change]:
        """Changes in a directory, as they happen."""
        return watch(self.tree, self._at(path), recursive=recursive, what=what)

    # -- what is known

    async def stat(self, path: str = "", *, follow: bool = True) -> Stat:
        """Size, times, attributes."""
        return await namespace.stat(self.tree, self._at(path), follow=follow)

    async def exists(self, path: str) -> bool:
        """Whether the name is taken."""
        try:
            await self.stat(path)
        except FileNotFoundError:
            return False
        return True

    async def set_times(
        self,
        path: str,
        *,
        created_ns: int | None = None,
        accessed_ns: int | None = None,
        modified_ns: int | None = None,
    ) -> None:
        """Sets times, in nanoseconds since 1970; those not given stay."""
        await namespace.set_basic(
            self.tree,
            self._at(path),
            created_ns=created_ns,
            accessed_ns=accessed_ns,
            modified_ns=modified_ns,
        )

    async def set_attributes(self, path: str, attributes: int) -> None:
        """Sets the attributes: bits of `FileAttributes`, 0 for none."""
        await namespace.set_basic(self.tree, self._at(path), attributes=attributes)

    async def statvfs(self, path: str = "") -> FileSystemSpace:
        """The room on the share."""
        return await namespace.statvfs(self.tree, self._at(path))

    async def security(self, path: str = "", what: int = namespace.OWNER_GROUP_DACL) -> SecurityDescriptor:
        """The security descriptor; *what* are bits of `SecurityInformation`."""
        return await namespace.get_security(self.tree, self._at(path), what)

    async def set_security(self, path: str, descriptor: SecurityDescriptor, what: int) -> None:
        """Sets the parts *what* of the security descriptor."""
        await namespace.set_security(self.tree, self._at(path), descriptor, what)

    async def eas(self, path: str) -> dict[str, bytes]:
        """The extended attributes."""
        return await namespace.get_eas(self.tree, self._at(path))

    async def set_eas(self, path: str, values: Mapping[str, bytes]) -> None:
        """Sets these extended attributes; an empty value removes one."""
        await namespace.set_eas(self.tree, self._at(path), values)

    async def streams(self, path: str) -> list[StreamEntry]:
        """The data streams of a file."""
        return await namespace.streams(self.tree, self._at(path))

    # -- the end

    async def close(self) -> None:
        """Leaves the share, and the server when `connect` made the connection for it."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.tree.connection.lost:
                with contextlib.suppress(OSError):
                    await self.tree.disconnect()
        finally:
            if self._on_close is not None:
                await self._on_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.close()
