"""A share and everything that one does with files there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

from frevo.client.address import join, wire_path
from frevo.client.lasting.link import LastingTree
from frevo.client.share import listing
from frevo.client.share.file import File, check_end, request_for
from frevo.client.share.listing import DirEntry, Walked
from frevo.client.share.watch import EVERYTHING, Change, watch
from frevo.client.transfer import server_copy as copying
from frevo.client.transfer import small
from frevo.client.tree import namespace, requests
from frevo.client.tree.stat import FileSystemSpace, Stat
from frevo.client.tree.tree import Tree
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.fscc import StreamEntry
from frevo.wire.smb2 import ShareAccess

_T = TypeVar("_T")


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
        self, place: LastingTree, base: str = "", on_close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.place = place
        self.base = base.strip("/")
        self._on_close = on_close
        self._closed = False

    @property
    def tree(self) -> Tree:
        """The share on the present connection; another one when it had to be connected again."""
        return self.place.tree

    @property
    def name(self) -> str:
        """The share's name."""
        return self.tree.name

    def _at(self, path: str) -> str:
        """*path* from the share's root; never above the base."""
        inner = wire_path(path).replace("\\", "/")
        return join(self.base, inner) if inner else self.base

    async def _run(self, work: Callable[[Tree, str], Awaitable[_T]], path: str) -> _T:
        """*work* on *path*; on another connection when this one ends."""
        return await self.place.run(work, self._at(path))

    async def _once(self, work: Callable[[Tree, str], Awaitable[_T]], path: str) -> _T:
        """`_run` for what must not be done twice: it is repeated only when it was never sent."""
        return await self.place.run(work, self._at(path), repeatable=False)

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
            return await self.place.run(opened, place, repeatable="x" not in mode)

        async def opened(tree: Tree, place: str) -> File:
            if request.share_access != requests.SHARE_ALL:
                await tree.settled()
            return File(self.place, tree, place, mode, request, await tree.create(request, place))

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
        """Makes or replaces the file."""
        async with self.open(path, "wb") as file:
            return await file.write(data)

    async def read_small(self, path: str, size: int) -> bytes:
        """The first *size* bytes, at most 64 KiB, in one round trip."""
        size = min(size, small.SMALL_BYTES)
        return await self._run(lambda tree, place: small.read_small(tree, place, size), path)

    async def write_small(self, path: str, data: bytes, *, modified_ns: int | None = None) -> None:
        """Makes or replaces a file of at most 64 KiB in one round trip. ValueError for more."""
        if len(data) > small.SMALL_BYTES:
            raise ValueError(f"{len(data)} bytes are not small")
        await self._once(lambda tree, place: small.write_small(tree, place, data, modified_ns), path)

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
        """Copies a file on the server itself; the number of bytes. A file is not copied onto itself."""
        if self._at(source).casefold() == self._at(target).casefold():
            raise OSError(errno.EINVAL, "a file cannot be copied onto itself", source)
        to = self._at(target)
        return await self.place.run(
            lambda tree, place: copying.copy_file(tree, place, to, overwrite=overwrite, progress=progress),
            self._at(source),
            repeatable=overwrite,
        )

    # -- directories

    async def scandir(self, path: str = "", pattern: str = "*") -> AsyncGenerator[DirEntry, None]:
        """The entries of a directory with what the listing says of each."""
        async for entry in listing.scandir(self.place, self._at(path), pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def listdir(self, path: str = "") -> list[str]:
        """The names in a directory."""
        return [entry.name async for entry in listing.scandir(self.place, self._at(path))]

    async def walk(
        self, top: str = "", onerror: Callable[[str, OSError], object] | None = None
    ) -> AsyncGenerator[Walked, None]:
        """(directory, directories, others) of the tree below *top*, parents first; see `listing.walk`."""

        def told(directory: str, error: OSError) -> None:
            assert onerror is not None
            onerror(self._outer(directory), error)

        problem = told if onerror is not None else None
        async for directory, directories, others in listing.walk(self.place, self._at(top), problem):
            for entry in (*directories, *others):
                entry.directory = self._outer(entry.directory)
            yield self._outer(directory), directories, others

    async def glob(self, pattern: str) -> AsyncGenerator[DirEntry, None]:
        """Entries whose paths match *pattern* (`*`, `?`, `[…]`, `**`)."""
        async for entry in listing.glob(self.place, join(self.base, pattern) if self.base else pattern):
            entry.directory = self._outer(entry.directory)
            yield entry

    async def mkdir(self, path: str) -> None:
        """A new directory."""
        await self._once(namespace.mkdir, path)

    async def makedirs(self, path: str, *, exist_ok: bool = False) -> None:
        """A new directory and those above it that are missing."""
        await self.place.run(
            lambda tree, place: namespace.makedirs(tree, place, exist_ok=exist_ok),
            self._at(path),
            repeatable=exist_ok,
        )

    async def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        await self._once(lambda tree, place: namespace.delete(tree, place, requests.DIRECTORY), path)

    async def remove(self, path: str) -> None:
        """Removes a file."""
        await self._once(lambda tree, place: namespace.delete(tree, place, requests.NOT_DIRECTORY), path)

    async def rmtree(self, path: str) -> None:
        """Removes a directory and everything below it. Links are removed, not followed."""
        directories = [path]
        async for _, inner, others in self.walk(path):
            for entry in others:
                await self._once(lambda tree, place: namespace.delete(tree, place, 0), entry.path)
            directories += [entry.path for entry in inner]
        for directory in reversed(directories):
            await self.rmdir(directory)

    async def rename(self, source: str, target: str, *, replace: bool = False) -> None:
        """A new name within the share; an existing file of this name is in the way unless *replace*."""
        to = self._at(target)
        try:
            await self._once(lambda tree, place: namespace.rename(tree, place, to, replace=replace), source)
        except FileExistsError as error:
            error.filename = to  # it is the new name that is taken
            raise

    async def watch(
        self, path: str = "", *, recursive: bool = False, what: int = EVERYTHING
    ) -> AsyncGenerator[Change, None]:
        """Changes in a directory as they happen, from the first step of the iteration on.

        *what* are bits of `CompletionFilter`. It ends when the directory goes away; `missed` says that there was more
        than the server could remember, or that the connection had to be made anew.
        """
        async with aclosing(watch(self.place, self._at(path), recursive=recursive, what=what)) as changes:
            async for change in changes:
                yield Change(change.action, self._outer(change.path))

    # -- what is known

    async def stat(self, path: str = "", *, follow: bool = True) -> Stat:
        """Size, times, attributes."""
        return await self._run(lambda tree, place: namespace.stat(tree, place, follow=follow), path)

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
        await self._run(
            lambda tree, place: namespace.set_basic(
                tree, place, created_ns=created_ns, accessed_ns=accessed_ns, modified_ns=modified_ns
            ),
            path,
        )

    async def set_attributes(self, path: str, attributes: int) -> None:
        """Sets the attributes: bits of `FileAttributes`, 0 for none."""
        await self._run(lambda tree, place: namespace.set_basic(tree, place, attributes=attributes), path)

    async def statvfs(self, path: str = "") -> FileSystemSpace:
        """The room on the share."""
        return await self._run(namespace.statvfs, path)

    async def security(self, path: str = "", what: int = namespace.OWNER_GROUP_DACL) -> SecurityDescriptor:
        """The security descriptor; *what* are bits of `SecurityInformation`."""
        return await self._run(lambda tree, place: namespace.get_security(tree, place, what), path)

    async def set_security(self, path: str, descriptor: SecurityDescriptor, what: int) -> None:
        """Sets the parts *what* of the security descriptor."""
        await self._run(lambda tree, place: namespace.set_security(tree, place, descriptor, what), path)

    async def eas(self, path: str) -> dict[str, bytes]:
        """The extended attributes."""
        return await self._run(namespace.get_eas, path)

    async def set_eas(self, path: str, values: Mapping[str, bytes]) -> None:
        """Sets these extended attributes; an empty value removes one."""
        await self._run(lambda tree, place: namespace.set_eas(tree, place, values), path)

    async def streams(self, path: str) -> list[StreamEntry]:
        """The data streams of a file."""
        return await self._run(namespace.streams, path)

    async def snapshots(self, path: str = "") -> list[str]:
        """The earlier versions that have *path*: names as `@GMT-2026.11.23-08.00.00`, in the server's order.

        A path that begins with one is the path then: `@GMT-2026.11.23-08.00.00/docs/a.txt`. RemoteError (ENOTSUP) where
        the server cannot have any.
        """
        return await self._run(namespace.snapshots, path)

    # -- the end

    async def close(self) -> None:
        """Leaves the share, and the server when `connect` made the connection for it."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.place.siblings.close()
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
