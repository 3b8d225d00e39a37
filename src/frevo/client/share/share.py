"""A share, and everything that can be done with files there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

from frevo.client.address import join, wire_path
from frevo.client.lasting.connections import ShareConnections
from frevo.client.lasting.tree import LastingTree
from frevo.client.share import listing
from frevo.client.share.file import File, check_end
from frevo.client.share.listing import DirEntry, Walked
from frevo.client.share.watch import EVERYTHING, Change, watch
from frevo.client.transfer import server_copy, small
from frevo.client.tree import namespace, requests
from frevo.client.tree.stat import FileSystemSpace, Stat
from frevo.client.tree.tree import Tree
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.fscc import StreamEntry
from frevo.wire.smb2 import CreateRequest, CreateResponse, ShareAccess

_T = TypeVar("_T")


class Opening:
    """The result of `Share.open`: `await` it for a File, or use it in `async with`, which closes the file."""

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
        self, lasting: LastingTree, base: str = "", on_close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.lasting = lasting
        self.connections = ShareConnections(lasting, lasting.link.connections)
        self.base = base.strip("/")
        self._on_close = on_close
        self._closed = False

    @property
    def tree(self) -> Tree:
        """The share on the current connection; it changes when the share is connected again."""
        return self.lasting.tree

    @property
    def name(self) -> str:
        """The share's name."""
        return self.tree.name

    def full_path(self, path: str) -> str:
        """*path* from the share's root, with slashes; never above the base. ValueError for a path that would be."""
        inner = wire_path(path).replace("\\", "/")
        return join(self.base, inner) if inner else self.base

    def run(
        self, work: Callable[[Tree, str], Awaitable[_T]], path: str, *, repeatable: bool = True
    ) -> Awaitable[_T]:
        """The result of *work*, which gets the share's tree and the full path of *path*. Await it at once.

        It is repeated on another connection if this one ends (`lasting.retry`); if not *repeatable*, only if it was
        never sent.
        """
        return self.lasting.run(work, self.full_path(path), repeatable=repeatable)

    def _once(self, work: Callable[[Tree, str], Awaitable[_T]], path: str) -> Awaitable[_T]:
        return self.lasting.run(work, self.full_path(path), repeatable=False)

    def file(self, tree: Tree, path: str, mode: str, request: CreateRequest, opened: CreateResponse) -> File:
        """The `File` for what *request* has *opened* on *tree*. *path* is the full path."""
        return File(self.connections, tree, path, mode, request, opened)

    async def on_connection(self, index: int) -> Share | None:
        """This share over only its connection number *index*, starting with 0; None if that cannot be made."""
        lasting = await self.connections.nth(index)
        return None if lasting is None else Share(lasting, self.base)

    def _outer(self, path: str) -> str:
        return path[len(self.base) :].lstrip("/") if self.base else path

    # -- files

    def open(
        self, path: str, mode: str = "rb", *, share_read: bool = True, share_write: bool = True,
        share_delete: bool = True,
    ) -> Opening:  # fmt: skip
        """Opens a file; modes as in the built-in open(), always binary. share_*: the access that others may have
        meanwhile.

        `path:stream` opens a named stream.
        """
        shared = ShareAccess.READ * share_read | ShareAccess.WRITE * share_write
        shared |= ShareAccess.DELETE * share_delete
        full_path = self.full_path(path)
        request = requests.opening_for_mode(full_path, mode, int(shared))

        def make() -> Awaitable[File]:
            return self.lasting.run(create, full_path, repeatable="x" not in mode)

        async def create(tree: Tree, full_path: str) -> File:
            if request.share_access != requests.SHARE_ALL:
                await tree.settled()
            return self.file(tree, full_path, mode, request, await tree.create(request, full_path))

        return Opening(make)

    async def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        async with self.open(path) as file:
            if not file.opened.end_of_file:
                return b""
            data = await file.pread(file.opened.end_of_file, 0)
            if len(data) < file.opened.end_of_file:
                await check_end(file, len(data))
            return data

    async def write_bytes(self, path: str, data: Any) -> int:
        """Creates or replaces the file."""
        async with self.open(path, "wb") as file:
            return await file.write(data)

    async def read_small(self, path: str, size: int) -> bytes:
        """The first *size* bytes, at most 64 KiB, in one round trip."""
        size = min(size, small.SMALL_BYTES)
        return await self.run(lambda tree, path: small.read_small(tree, path, size), path)

    async def write_small(self, path: str, data: bytes, *, modified_ns: int | None = None) -> None:
        """Creates or replaces a file of at most 64 KiB in one round trip. ValueError for more."""
        if len(data) > small.SMALL_BYTES:
            raise ValueError(f"{len(data)} bytes are not small")
        await self._once(lambda tree, path: small.write_small(tree, path, data, modified_ns), path)

    async def truncate(self, path: str, size: int) -> None:
        """Changes the size of the file."""
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
        """Copies a file on the server itself; returns the number of bytes. OSError (EINVAL) for a copy onto itself."""
        if self.full_path(source).casefold() == self.full_path(target).casefold():
            raise OSError(errno.EINVAL, "a file cannot be copied onto itself", source)
        to = self.full_path(target)
        return await self.lasting.run(
            lambda tree, path: server_copy.copy_file(tree, path, to, overwrite=overwrite, progress=progress),
            self.full_path(source),
            repeatable=overwrite,
        )

    # -- directories

    async def scandir(self, path: str = "", pattern: str = "*") -> AsyncGenerator[DirEntry, None]:
        """The entries of a directory with their metadata."""
        async for entry in listing.scandir(self.lasting, self.full_path(path), pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def listdir(self, path: str = "") -> list[str]:
        """The names in a directory."""
        return [entry.name async for entry in listing.scandir(self.lasting, self.full_path(path))]

    async def walk(
        self, top: str = "", onerror: Callable[[str, OSError], object] | None = None
    ) -> AsyncGenerator[Walked, None]:
        """(directory, directories, others) of the tree below *top*, parents first; see `listing.walk`."""

        def report(directory: str, error: OSError) -> None:
            assert onerror is not None
            onerror(self._outer(directory), error)

        problem = report if onerror is not None else None
        async for directory, directories, others in listing.walk(self.lasting, self.full_path(top), problem):
            for entry in (*directories, *others):
                entry.directory = self._outer(entry.directory)
            yield self._outer(directory), directories, others

    async def glob(self, pattern: str) -> AsyncGenerator[DirEntry, None]:
        """Entries whose paths match *pattern* (`*`, `?`, `[…]`, `**`)."""
        async for entry in listing.glob(self.lasting, join(self.base, pattern) if self.base else pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def mkdir(self, path: str) -> None:
        """A new directory."""
        await self._once(namespace.mkdir, path)

    async def makedirs(self, path: str, *, exist_ok: bool = False) -> None:
        """A new directory and those above it that are missing."""
        await self.lasting.run(
            lambda tree, path: namespace.makedirs(tree, path, exist_ok=exist_ok),
            self.full_path(path),
            repeatable=exist_ok,
        )

    async def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        await self._once(lambda tree, path: namespace.delete(tree, path, requests.DIRECTORY), path)

    async def remove(self, path: str) -> None:
        """Removes a file."""
        await self._once(lambda tree, path: namespace.delete(tree, path, requests.NOT_DIRECTORY), path)

    async def rmtree(self, path: str) -> None:
        """Removes a directory and everything below it. Links are removed, not followed."""
        directories = [path]
        async for _, inner, others in self.walk(path):
            for entry in others:
                await self._once(lambda tree, path: namespace.delete(tree, path, 0), entry.path)
            directories += [entry.path for entry in inner]
        for directory in reversed(directories):
            await self.rmdir(directory)

    async def rename(self, source: str, target: str, *, replace: bool = False) -> None:
        """Renames within the share. FileExistsError if the name is taken, unless *replace*."""
        to = self.full_path(target)
        try:
            await self._once(lambda tree, path: namespace.rename(tree, path, to, replace=replace), source)
        except FileExistsError as error:
            error.filename = to  # the new name is the one that is taken
            raise

    async def watch(
        self, path: str = "", *, recursive: bool = False, what: int = EVERYTHING
    ) -> AsyncGenerator[Change, None]:
        """Changes in a directory as they happen, from the first step of the iteration on.

        *what* are bits of `CompletionFilter`. It ends when the directory is removed; `missed` means that there was more
        than the server could buffer, or that the connection was restored.
        """
        async with aclosing(
            watch(self.lasting, self.full_path(path), recursive=recursive, what=what)
        ) as changes:
            async for change in changes:
                yield Change(change.action, self._outer(change.path))

    # -- metadata

    async def stat(self, path: str = "", *, follow: bool = True) -> Stat:
        """Size, times, attributes."""
        return await self.run(lambda tree, path: namespace.stat(tree, path, follow=follow), path)

    async def exists(self, path: str) -> bool:
        """Whether something has this name."""
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
        """Sets times, in nanoseconds since 1970; those not given do not change."""
        await self.run(
            lambda tree, path: namespace.set_basic(
                tree, path, created_ns=created_ns, accessed_ns=accessed_ns, modified_ns=modified_ns
            ),
            path,
        )

    async def set_attributes(self, path: str, attributes: int) -> None:
        """Sets the attributes: bits of `FileAttributes`, 0 for none."""
        await self.run(lambda tree, path: namespace.set_basic(tree, path, attributes=attributes), path)

    async def statvfs(self, path: str = "") -> FileSystemSpace:
        """The space on the share."""
        return await self.run(namespace.statvfs, path)

    async def security(self, path: str = "", what: int = namespace.OWNER_GROUP_DACL) -> SecurityDescriptor:
        """The security descriptor; *what* are bits of `SecurityInformation`."""
        return await self.run(lambda tree, path: namespace.get_security(tree, path, what), path)

    async def set_security(self, path: str, descriptor: SecurityDescriptor, what: int) -> None:
        """Sets the parts *what* of the security descriptor."""
        await self.run(lambda tree, path: namespace.set_security(tree, path, descriptor, what), path)

    async def eas(self, path: str) -> dict[str, bytes]:
        """The extended attributes."""
        return await self.run(namespace.get_eas, path)

    async def set_eas(self, path: str, values: Mapping[str, bytes]) -> None:
        """Sets these extended attributes; an empty value removes one."""
        await self.run(lambda tree, path: namespace.set_eas(tree, path, values), path)

    async def streams(self, path: str) -> list[StreamEntry]:
        """The data streams of a file."""
        return await self.run(namespace.streams, path)

    async def snapshots(self, path: str = "") -> list[str]:
        """The snapshots that contain *path*: names like `@GMT-2026.11.23-08.00.00`, in the server's order.

        A path that begins with one is the path then: `@GMT-2026.11.23-08.00.00/docs/a.txt`. RemoteError (ENOTSUP) where
        the server cannot have any.
        """
        return await self.run(namespace.snapshots, path)

    # -- the end

    async def close(self) -> None:
        """Disconnects the share, and the server if `connect` connected to it."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.connections.close()
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
