"""The public interface of asynchronous file I/O: `Ring.of(loop)` and the operations that every engine offers.

    ring = Ring.of(asyncio.get_running_loop())
    file = await ring.openat2(directory, b"name", os.O_RDONLY)
    data = await ring.read(file, 0, 4096)
    file.close()

There are two engines: io_uring (`frevo.aio.uring`) and a thread pool (`frevo.aio.threads`) for kernels and containers
without io_uring. `ring.engine` names the one in use and `ring.reason` says why.

Rules of every operation, whichever engine runs it:

- It raises OSError with errno, and with the path as filename when it has one.
- Files and directories are `Descriptor`s, never bare numbers: an operation holds them until it has really ended.
- Paths are bytes, relative to a directory (`WORKING_DIRECTORY` for that one).
- Buffers stay alive until the kernel is done with them, also when the awaiting task is cancelled. They must
  not be changed by the caller before that.
- When the awaiting task is cancelled, the kernel is asked to give the operation up. It may have happened or
  not; a descriptor that was opened all the same is closed again.
- Operations of one loop turn are handed over together, in no particular order; await one before starting
  another that depends on it.
"""

from __future__ import annotations

import abc
import asyncio
import errno
import os
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar

from frevo._native import RingOperation as Code
from frevo.aio import features as _features
from frevo.aio.acting import as_identity, carried
from frevo.aio.daemon_threads import DaemonThreads
from frevo.aio.descriptor import WORKING_DIRECTORY, Descriptor, hold_all, release_all
from frevo.aio.features import Features
from frevo.aio.syscalls import AT_EMPTY_PATH, RESOLVE_BENEATH, Buffer, FileStatus

_Rings: TypeAlias = "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Ring]]"

__all__ = ["WORKING_DIRECTORY", "Descriptor", "Features", "FileStatus", "Ring"]

T = TypeVar("T")

#: Threads for calls for which the engines have no operation.
SLOW_THREADS = 16
#: An extended attribute is at most this long in Linux (XATTR_SIZE_MAX).
XATTR_BYTES_MAX = 65536
#: First try for the value of an extended attribute; nearly all of ours fit.
XATTR_BYTES_GUESS = 512


class Ring(abc.ABC):
    """Asynchronous file operations of one event loop; make it with `Ring.of`."""

    #: "uring" or "threads".
    engine: ClassVar[str]

    _rings: ClassVar[_Rings] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop, reason: str) -> None:
        # The loop owns the ring (see `of`); a strong reference back would keep both forever.
        self._loop_reference = weakref.ref(loop)
        #: Why this engine was chosen, one sentence for the log.
        self.reason = reason
        self._slow: DaemonThreads | None = None

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop, engine: str | None = None) -> Ring:
        """The ring of *loop*, made at the first call; call it in the thread that runs the loop.

        *engine* is "auto", "uring" or "threads"; None means the environment variable FREVO_IO, else "auto". There is
        one ring per loop and engine. Raises ValueError for other values, OSError if "uring" is requested but not
        available.
        """
        name, reason = _features.choose(engine)
        _forget_closed_loops()
        rings = Ring._rings.setdefault(loop, {})
        if name not in rings:
            rings[name] = _make(name, loop, reason, fallback=engine != "uring")
        return rings[name]

    @property
    def features(self) -> Features:
        """What the kernel's io_uring supports (even if this ring does not use it)."""
        return _features.probe()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop_reference()
        if loop is None or loop.is_closed():
            raise RuntimeError("the event loop of this ring is closed")
        return loop

    # --- what an engine does ---

    @abc.abstractmethod
    def _start(self, code: int, args: tuple[Any, ...]) -> tuple[Any, asyncio.Future[Any]]:
        """Starts an operation with the arguments listed for its code in `_native.RingOperation`.

        Returns an identifier for `_give_up` and the future result. The descriptors in *args* are held until it has
        really ended.
        """

    @abc.abstractmethod
    def _give_up(self, operation: Any, undo: Callable[[Any], None] | None) -> None:
        """Gives up an operation whose caller no longer waits: it need not happen, and its result goes to *undo*."""

    async def _run(self, code: int, *args: Any, undo: Callable[[Any], None] | None = None) -> Any:
        """The result of one operation; if the caller is cancelled, it goes to *undo*."""
        operation, future = self._start(code, args)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                self._give_up(operation, undo)
            elif undo is not None and future.exception() is None:
                undo(future.result())
            raise

    # --- names ---

    async def openat2(
        self, directory: Descriptor, path: bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_BENEATH
    ) -> Descriptor:
        """Open *path* below *directory*, with O_CLOEXEC."""
        flags |= os.O_CLOEXEC
        number = await self._run(Code.OPENAT2, directory, path, flags, mode, resolve, undo=os.close)
        return Descriptor(number)

    async def statx(self, place: Descriptor, path: bytes = b"", flags: int = AT_EMPTY_PATH) -> FileStatus:
        """Status of *path* below *place*; of *place* itself with the defaults."""
        return FileStatus._make(await self._run(Code.STATX, place, path, flags))

    async def unlinkat(self, directory: Descriptor, path: bytes, flags: int = 0) -> None:
        """Remove a name; a directory with AT_REMOVEDIR."""
        await self._run(Code.UNLINKAT, directory, path, flags)

    async def renameat2(
        self, old_directory: Descriptor, old: bytes, new_directory: Descriptor, new: bytes, flags: int = 0
    ) -> None:
        """Rename, with RENAME_NOREPLACE or RENAME_EXCHANGE in *flags* if wanted."""
        await self._run(Code.RENAMEAT2, old_directory, old, new_directory, new, flags)

    async def mkdirat(self, directory: Descriptor, path: bytes, mode: int = 0o777) -> None:
        """Make a directory; the umask applies."""
        await self._run(Code.MKDIRAT, directory, path, mode)

    async def linkat(
        self, old_directory: Descriptor, old: bytes, new_directory: Descriptor, new: bytes, flags: int = 0
    ) -> None:
        """Make a hard link; AT_SYMLINK_FOLLOW and AT_EMPTY_PATH as linkat(2) has them."""
        await self._run(Code.LINKAT, old_directory, old, new_directory, new, flags)

    # --- data ---

    async def read(self, file: Descriptor, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset* (-1: the file's own position); fewer at the end of the file."""
        data: bytes = await self._run(Code.READ, file, offset, length)
        return data

    async def readinto(self, file: Descriptor, offset: int, buffer: Buffer) -> int:
        """Read from *offset* into a writable buffer; how many bytes. It is filled at any time until then."""
        count: int = await self._run(Code.READINTO, file, offset, memoryview(buffer))
        return count

    async def write(self, file: Descriptor, offset: int, data: Buffer) -> int:
        """Write *data* at *offset* (-1: the file's own position); how many bytes were written, perhaps fewer."""
        count: int = await self._run(Code.WRITE, file, offset, memoryview(data))
        return count

    async def fsync(self, file: Descriptor, datasync: bool = False) -> None:
        """Bring the file to stable storage; without its times when *datasync* is true."""
        await self._run(Code.FSYNC, file, datasync)

    async def fallocate(self, file: Descriptor, mode: int, offset: int, length: int) -> None:
        """fallocate(2): reserve, punch holes, zero ranges, by the FALLOC_FL_* bits of *mode*."""
        await self._run(Code.FALLOCATE, file, mode, offset, length)

    async def splice(
        self,
        source: Descriptor,
        offset_in: int,
        target: Descriptor,
        offset_out: int,
        length: int,
        flags: int = 0,
    ) -> int:
        """Move up to *length* bytes to or from a pipe inside the kernel; an offset of -1 is the file's own position."""
        count: int = await self._run(Code.SPLICE, source, offset_in, target, offset_out, length, flags)
        return count

    # --- extended attributes ---

    async def getxattr(self, file: Descriptor, name: bytes) -> bytes:
        """Value of an extended attribute of an open file (not O_PATH).

        Raises OSError ENODATA if there is none.
        """
        try:
            return await self._getxattr(file, name, XATTR_BYTES_GUESS)
        except OSError as error:
            if error.errno != errno.ERANGE:
                raise
        return await self._getxattr(file, name, XATTR_BYTES_MAX)

    async def _getxattr(self, file: Descriptor, name: bytes, size: int) -> bytes:
        """`getxattr` with room for *size* bytes; OSError ERANGE if the value is longer."""
        value: bytes = await self._run(Code.FGETXATTR, file, name, size)
        return value

    async def setxattr(self, file: Descriptor, name: bytes, value: Buffer, flags: int = 0) -> None:
        """Set an extended attribute of an open file; XATTR_CREATE or XATTR_REPLACE in *flags* if wanted."""
        await self._run(Code.FSETXATTR, file, name, memoryview(value), flags)

    # --- without an operation of an engine ---

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result or exception of *call* in a separate thread with the current identity. It gets the numbers of the
        descriptors in *arguments*, which are held until it has returned, whatever happens to the task."""
        held, numbers = hold_all(arguments)

        def run() -> T:
            try:
                return call(*numbers)
            finally:
                release_all(held)

        if self._slow is None:
            self._slow = DaemonThreads(self._loop, "frevo-slow", SLOW_THREADS)
        return await asyncio.shield(self._slow.submit(carried(run)))

    def close_slowly(self, file: Descriptor) -> None:
        """Closes *file* in a thread if it is not held otherwise: closing the last descriptor of a large deleted file
        frees all of it. The owner of *file* still closes it as usual, in this turn of the loop."""
        file.hold()

        def close() -> None:
            if self._slow is None:
                self._slow = DaemonThreads(self._loop, "frevo-slow", SLOW_THREADS)
            self._slow.submit(file.release)

        self._loop.call_soon(close)

    # --- the ring itself ---

    @abc.abstractmethod
    def statistics(self) -> dict[str, int]:
        """Counters: submitted, completed, in_flight, waiting (not handed over yet), enters (hand-overs)."""

    @abc.abstractmethod
    def _shut(self) -> None:
        """Give up everything that runs and free what the engine holds."""

    def shutdown(self) -> None:
        """Cancel what runs, release the ring, forget it.

        `Ring.of` makes a new one. May wait for the kernel briefly.
        """
        loop = self._loop_reference()
        rings = Ring._rings.get(loop) if loop is not None else None
        if rings is not None and rings.get(self.engine) is self:
            del rings[self.engine]
        if self._slow is not None:
            self._slow.stop()
        self._shut()


def _forget_closed_loops() -> None:
    """Free the rings of loops that were closed without `shutdown`."""
    for loop in [loop for loop in Ring._rings if loop.is_closed()]:
        for ring in list(Ring._rings[loop].values()):
            ring.shutdown()
        Ring._rings.pop(loop, None)


def _make(name: str, loop: asyncio.AbstractEventLoop, reason: str, *, fallback: bool) -> Ring:
    """A ring of that engine.

    A ring that cannot be made after all (memory limit) becomes threads if *fallback*.
    """
    with as_identity(None):  # the first user of a ring may act as a Unix user, who may not read our modules
        from frevo.aio.threads import ThreadRing
        from frevo.aio.uring import UringRing

        if name == "threads":
            return ThreadRing(loop, reason)
        try:
            return UringRing(loop, reason)
        except OSError as error:
            if not fallback:
                raise
            return ThreadRing(loop, f"io_uring is not available: cannot create a ring: {error}")
