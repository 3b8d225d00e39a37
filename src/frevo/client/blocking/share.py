"""The client without async, for scripts and notebooks: the same names, run on one loop in a thread of its own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from frevo.client.blocking.loop_thread import iterate, run
from frevo.client.connect import Options
from frevo.client.connect import connect as connect_async
from frevo.client.connect import connect_server as connect_server_async
from frevo.client.server import Server
from frevo.client.share.file import File
from frevo.client.share.listing import DirEntry, Walked
from frevo.client.share.share import Share
from frevo.client.share.watch import EVERYTHING, Change
from frevo.client.tree import namespace
from frevo.client.tree.stat import FileSystemSpace, ShareEntry, Stat
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.fscc import StreamEntry

__all__ = ["BlockingFile", "BlockingServer", "BlockingShare", "connect", "connect_server"]

T = TypeVar("T")

#: Bytes that `readline` asks for at a time.
_LINES_BYTES = 65536


def _no_pickle(self: object) -> NoReturn:
    raise TypeError(
        f"a {type(self).__name__} cannot be used in another process: connect there, or use the fsspec file system"
    )


class _Waiting:
    """Runs the work of an asynchronous object and waits; only in the process that has the connection."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self._process != os.getpid():
            work.close()
            raise RuntimeError("the connection belongs to the parent process: connect again after a fork")
        return run(work)

    __reduce__ = _no_pickle


class _Connected(_Waiting):
    """An object that `with` closes."""

    def close(self) -> None:
        """Closes it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()


class BlockingShare(_Connected):
    """One share of a server: `frevo.client.Share` with methods that wait. Any thread may use it."""

    def __init__(self, inner: Share) -> None:
        super().__init__()
        self._inner = inner

    @property
    def name(self) -> str:
        """The share's name."""
        return self._inner.name

    # -- files

    def open(
        self, path: str, mode: str = "rb", *, share_read: bool = True, share_write: bool = True,
        share_delete: bool = True,
    ) -> BlockingFile:  # fmt: skip
        """Opens a file; modes as in the built-in open(), always binary. share_*: the access that others may have
        meanwhile.

        It is unbuffered. For text: `io.TextIOWrapper(io.BufferedReader(share.open(path)))`. `path:stream` opens a named
        stream.
        """
        opening = self._inner.open(
            path, mode, share_read=share_read, share_write=share_write, share_delete=share_delete
        )

        async def make() -> File:
            return await opening

        return BlockingFile(self._do(make()))

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        return self._do(self._inner.read_bytes(path))

    def write_bytes(self, path: str, data: Any) -> int:
        """Creates or replaces the file."""
        return self._do(self._inner.write_bytes(path, data))

    def read_small(self, path: str, size: int) -> bytes:
        """The first *size* bytes, at most 64 KiB, in one round trip."""
        return self._do(self._inner.read_small(path, size))

    def write_small(self, path: str, data: bytes, *, modified_ns: int | None = None) -> None:
        """Creates or replaces a file of at most 64 KiB in one round trip. ValueError for more."""
        self._do(self._inner.write_small(path, data, modified_ns=modified_ns))

    def truncate(self, path: str, size: int) -> None:
        """Changes the size of the file."""
        self._do(self._inner.truncate(path, size))

    def copy(
        self, source: str, target: str, *, overwrite: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:  # fmt: skip
        """Copies a file on the server itself; returns the number of bytes. *progress* is called in another thread."""
        return self._do(self._inner.copy(source, target, overwrite=overwrite, progress=progress))

    # -- directories

    def scandir(self, path: str = "", pattern: str = "*") -> Iterator[DirEntry]:
        """The entries of a directory with their metadata."""
        return iterate(self._inner.scandir(path, pattern))

    def listdir(self, path: str = "") -> list[str]:
        """The names in a directory."""
        return self._do(self._inner.listdir(path))

    def walk(
        self, top: str = "", onerror: Callable[[str, OSError], object] | None = None
    ) -> Iterator[Walked]:
        """(directory, directories, others) of the tree below *top*, parents first.

        Names taken out of the list of directories are not entered. Links are not followed.
        """
        return iterate(self._inner.walk(top, onerror), limit=1)

    def glob(self, pattern: str) -> Iterator[DirEntry]:
        """Entries whose paths match *pattern* (`*`, `?`, `[…]`, `**`)."""
        return iterate(self._inner.glob(pattern))

    def mkdir(self, path: str) -> None:
        """A new directory."""
        self._do(self._inner.mkdir(path))

    def makedirs(self, path: str, *, exist_ok: bool = False) -> None:
        """A new directory and those above it that are missing."""
        self._do(self._inner.makedirs(path, exist_ok=exist_ok))

    def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        self._do(self._inner.rmdir(path))

    def remove(self, path: str) -> None:
        """Removes a file."""
        self._do(self._inner.remove(path))

    def rmtree(self, path: str) -> None:
        """Removes a directory and everything below it. Links are removed, not followed."""
        self._do(self._inner.rmtree(path))

    def rename(self, source: str, target: str, *, replace: bool = False) -> None:
        """Renames within the share. FileExistsError if the name is taken, unless *replace*."""
        self._do(self._inner.rename(source, target, replace=replace))

    def watch(self, path: str = "", *, recursive: bool = False, what: int = EVERYTHING) -> Iterator[Change]:
        """Changes in a directory as they happen, from the first step of the iteration on; each step waits for one."""
        return iterate(self._inner.watch(path, recursive=recursive, what=what))

    # -- metadata

    def stat(self, path: str = "", *, follow: bool = True) -> Stat:
        """Size, times, attributes."""
        return self._do(self._inner.stat(path, follow=follow))

    def exists(self, path: str) -> bool:
        """Whether something has this name."""
        return self._do(self._inner.exists(path))

    def set_times(
        self, path: str, *, created_ns: int | None = None, accessed_ns: int | None = None,
        modified_ns: int | None = None,
    ) -> None:  # fmt: skip
        """Sets times, in nanoseconds since 1970; those not given do not change."""
        times = {"created_ns": created_ns, "accessed_ns": accessed_ns, "modified_ns": modified_ns}
        self._do(self._inner.set_times(path, **times))

    def set_attributes(self, path: str, attributes: int) -> None:
        """Sets the attributes: bits of `FileAttributes`, 0 for none."""
        self._do(self._inner.set_attributes(path, attributes))

    def statvfs(self, path: str = "") -> FileSystemSpace:
        """The space on the share."""
        return self._do(self._inner.statvfs(path))

    def security(self, path: str = "", what: int = namespace.OWNER_GROUP_DACL) -> SecurityDescriptor:
        """The security descriptor; *what* are bits of `SecurityInformation`."""
        return self._do(self._inner.security(path, what))

    def set_security(self, path: str, descriptor: SecurityDescriptor, what: int) -> None:
        """Sets the parts *what* of the security descriptor."""
        self._do(self._inner.set_security(path, descriptor, what))

    def eas(self, path: str) -> dict[str, bytes]:
        """The extended attributes."""
        return self._do(self._inner.eas(path))

    def set_eas(self, path: str, values: Mapping[str, bytes]) -> None:
        """Sets these extended attributes; an empty value removes one."""
        self._do(self._inner.set_eas(path, values))

    def streams(self, path: str) -> list[StreamEntry]:
        """The data streams of a file."""
        return self._do(self._inner.streams(path))

    def snapshots(self, path: str = "") -> list[str]:
        """The snapshots that contain *path*; see `frevo.client.Share.snapshots`."""
        return self._do(self._inner.snapshots(path))

    # -- the end

    def close(self) -> None:
        """Disconnects the share, and the server if `connect` connected to it."""
        self._do(self._inner.close())

    def __repr__(self) -> str:
        return f"<BlockingShare {self.name!r}>"


class BlockingServer(_Connected):
    """A server to which a user is logged on: `frevo.client.Server` with methods that wait."""

    def __init__(self, inner: Server) -> None:
        super().__init__()
        self._inner = inner

    @property
    def dialect(self) -> str:
        """The dialect's name, as smb.conf spells it: SMB3_11."""
        return self._inner.dialect

    @property
    def transport(self) -> str:
        """The name of the transport, as `client smb transports` spells it."""
        return self._inner.transport

    @property
    def encrypted(self) -> bool:
        """Everything is encrypted."""
        return self._inner.encrypted

    @property
    def signed(self) -> bool:
        """Requests and responses are signed."""
        return self._inner.signed

    def share(self, name: str, *, base: str = "") -> BlockingShare:
        """Connects to a share. Paths are relative to *base*."""
        return BlockingShare(self._do(self._inner.share(name, base=base)))

    def shares(self) -> list[ShareEntry]:
        """The shares that the server lists."""
        return self._do(self._inner.shares())

    def close(self) -> None:
        """Logs off and closes the connection; what was open there is closed by the server."""
        self._do(self._inner.close())


class BlockingFile(io.RawIOBase, _Waiting):
    """An open file with the interface of the io module, and `pread`, `preadinto`, `pwrite`, `size` and `stat`.

    Reads and writes go to the server at once, in the requested sizes; only lines are read ahead.
    """

    def __init__(self, inner: File) -> None:
        io.RawIOBase.__init__(self)
        _Waiting.__init__(self)
        self._inner = inner
        self._ahead, self._ahead_at = b"", 0
        self.name = inner.path
        self.mode = inner.mode

    def readable(self) -> bool:
        """Whether the mode allows reading."""
        return "r" in self.mode or "+" in self.mode

    def writable(self) -> bool:
        """Whether the mode allows writing."""
        return "r" not in self.mode or "+" in self.mode

    def seekable(self) -> bool:
        """Always."""
        return True

    # -- at the position

    def read(self, size: int | None = -1) -> bytes:
        """Up to *size* bytes from the position on, fewer only at the end; without a size everything to the end."""
        return self._do(self._inner.read(-1 if size is None else size))

    def readall(self) -> bytes:
        """Everything from the position to the end."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fills *buffer* (bytearray, memoryview, numpy array) from the position on."""
        return self._do(self._inner.readinto(buffer))

    def readline(self, size: int | None = -1) -> bytes:
        """A line with its end, or *size* bytes of it; also what iteration gives."""
        left = sys.maxsize if size is None or size < 0 else size
        parts: list[bytes] = []
        while left and (part := self._rest_of_line(left)):
            parts.append(part)
            left -= len(part)
            if part.endswith(b"\n"):
                break
        return b"".join(parts)

    def _rest_of_line(self, limit: int) -> bytes:
        """What was read ahead of the line at the position, which moves; empty at the end of the file."""
        start = self.tell() - self._ahead_at
        if not 0 <= start < len(self._ahead):
            self._ahead, self._ahead_at, start = self.pread(_LINES_BYTES, self.tell()), self.tell(), 0
        stop = self._ahead.find(b"\n", start, start + limit) + 1 or start + limit
        part = self._ahead[start:stop]
        self.seek(len(part), os.SEEK_CUR)
        return part

    def write(self, data: Any) -> int:
        """Writes all of *data* at the position."""
        self._ahead = b""
        return self._do(self._inner.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position and returns it."""
        if whence == os.SEEK_END:
            return self._do(self._inner.seek(offset, whence))
        return self._inner.seek_here(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._inner.tell()

    # -- at an offset

    def pread(self, size: int, offset: int) -> bytes:
        """Up to *size* bytes at *offset*; fewer only at the end of the file."""
        return self._do(self._inner.pread(size, offset))

    def preadinto(self, buffer: Any, offset: int) -> int:
        """Fills *buffer* from *offset* on; how many bytes there were."""
        return self._do(self._inner.preadinto(buffer, offset))

    def pwrite(self, data: Any, offset: int) -> int:
        """Writes all of *data* at *offset*."""
        self._ahead = b""
        return self._do(self._inner.pwrite(data, offset))

    def copy_to(
        self, fd: int, offset: int, size: int, *, local_offset: int = 0, local: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:  # fmt: skip
        """Copies *size* bytes from *offset* on to *local_offset* of the descriptor *fd*; fewer at the end of the file.

        They do not pass through Python. *progress* is called in another thread; *local* names *fd* in errors.
        """
        work = self._inner.copy_to(
            fd, offset, size, local_offset=local_offset, local=local, progress=progress
        )
        return self._do(work)

    def copy_from(
        self, fd: int, offset: int, size: int, *, local_offset: int = 0, local: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:  # fmt: skip
        """Copies *size* bytes from *local_offset* of the descriptor *fd* to *offset* of the file, as `copy_to`."""
        self._ahead = b""
        work = self._inner.copy_from(
            fd, offset, size, local_offset=local_offset, local=local, progress=progress
        )
        return self._do(work)

    # -- the file as a whole

    def truncate(self, size: int | None = None) -> int:
        """Changes its size to *size*, by default to the position."""
        self._ahead = b""
        return self._do(self._inner.truncate(size))

    def flush(self) -> None:
        """Returns when everything written so far is on the server's disk."""
        if self.writable() and not self._inner.closed:
            self._do(self._inner.flush())

    def stat(self) -> Stat:
        """Its current metadata on the server."""
        return self._do(self._inner.stat())

    def size(self) -> int:
        """Its size now."""
        return self._do(self._inner.size())

    def close(self) -> None:
        """Closes it; does nothing the second time. What was written is with the server; `flush` puts it on its disk."""
        if not self.closed:
            try:
                self._do(self._inner.close())
            finally:
                super().close()

    def __del__(self) -> None:
        """Does not wait, as the loop's own thread may be collecting this: the inner file closes itself."""


def connect(url: str, options: Options | None = None, **changes: Any) -> BlockingShare:
    """As `frevo.client.connect`, at once: `with connect("smb://host/share", …) as share`."""

    async def make() -> Share:
        return await connect_async(url, options, **changes)

    return BlockingShare(run(make()))


def connect_server(url: str, options: Options | None = None, **changes: Any) -> BlockingServer:
    """As `frevo.client.connect_server`, at once."""

    async def make() -> Server:
        return await connect_server_async(url, options, **changes)

    return BlockingServer(run(make()))
