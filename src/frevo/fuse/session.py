"""Answers the kernel from an event loop: reads requests, calls their handlers, writes the responses.

A handler returns the response or an awaitable of it. Several awaitables run concurrently.

Every request gets exactly one response, whatever its caller does meanwhile. A signal (INTERRUPT) does not stop work:
programs with timers would see calls fail that never fail on a local file system, and the program could not know what
the server has done already. Only operations that wait by nature react to it (`Request.interrupted`). Operations that
change nothing are abandoned if their caller is being killed, so that Ctrl-C does not wait for a dead server.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from frevo.fuse import abi
from frevo.fuse.abi import ANSWER, HEADER, Buffer, InitFlags, Opcode
from frevo.records import Redacted

log = logging.getLogger(__name__)

#: The body of an answer in one or several pieces; None: nothing is answered.
Answer = Buffer | tuple[Buffer, ...] | None


class Promise(msgspec.Struct):
    """The response is *then* applied to the result of *future*; cheaper than a coroutine's task."""

    future: asyncio.Future[Any]
    then: Callable[[asyncio.Future[Any]], Answer | Awaitable[Answer]]


Handler = Callable[["Request"], "Answer | Awaitable[Answer] | Promise"]

#: Requests taken in one turn of the loop.
_BATCH = 16
#: Requests that change nothing, here or on the server: abandoned with EINTR if their caller is being killed.
_READS = frozenset(
    {
        *(Opcode.LOOKUP, Opcode.GETATTR, Opcode.READLINK, Opcode.STATFS, Opcode.READ),
        *(Opcode.GETXATTR, Opcode.LISTXATTR, Opcode.READDIR, Opcode.READDIRPLUS),
    }
)
#: The sets of signals of a thread: its own that are pending, its process's, blocked, ignored, caught.
_SIGNALS = re.compile(rb"^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt):\s*([0-9a-f]+)$", re.MULTILINE)
#: Signals that do not kill by default, in the format of /proc: bit 0 is signal 1.
_HARMLESS = sum(
    1 << number - 1
    for number in (
        *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
        *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    )
)
#: Seconds between checks whether an interrupted caller is being killed: the kernel reports only the first signal.
_LOOK_S = 0.25
#: READ and readahead requests that the kernel may have under way at a time.
_BACKGROUND = 64
_SPARE_BUFFERS = 16


class Request(Redacted, msgspec.Struct):
    """One request. *body* belongs to the handler until it has answered."""

    HIDDEN = ("_buffer", "_interrupted")

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    body: Buffer
    pid: int = 0  # the caller's thread; 0 when it cannot be seen from here
    _buffer: bytearray | None = None
    _interrupted: asyncio.Event | None = None

    @property
    def interrupted(self) -> asyncio.Event:
        """Set if the caller got a signal. Operations that wait by nature then end with EINTR; others must not."""
        if self._interrupted is None:
            self._interrupted = asyncio.Event()
        return self._interrupted

    def name(self, offset: int = 0) -> str:
        """The name at the end of the body, after *offset* bytes."""
        return os.fsdecode(bytes(self.body[offset:]).partition(b"\0")[0])

    def names(self, offset: int = 0) -> tuple[str, str]:
        """The two names at the end of the body."""
        first, _, rest = bytes(self.body[offset:]).partition(b"\0")
        return os.fsdecode(first), os.fsdecode(rest.partition(b"\0")[0])


class Session:
    """One mount: *fd* from `mounting.mount`, the handlers by opcode, and the flags that INIT accepts."""

    def __init__(
        self,
        fd: int,
        handlers: Mapping[int, Handler],
        *,
        readahead: int,
        flags: InitFlags,
        errno_of: Callable[[Exception], int],
    ) -> None:
        self._fd = fd
        self._errno_of = errno_of
        self._handlers = handlers
        self._readahead = readahead
        self._flags = flags
        self._loop = asyncio.get_running_loop()
        #: The work on each request until it is answered.
        self._running: dict[int, tuple[Request, asyncio.Future[Any]]] = {}
        #: Those that were interrupted and may be given up, and the timer that looks after them.
        self._watched: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._spare: list[bytearray] = []
        self._buffer = bytearray(abi.REQUEST_MAX)
        #: Done when the mount is gone or cannot be served any more.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(fd, self._readable)

    # -- buffers of DATA_MAX and a little

    def take_buffer(self) -> bytearray:
        """A buffer of at least DATA_MAX bytes."""
        return self._spare.pop() if self._spare else bytearray(abi.REQUEST_MAX)

    def give_buffer(self, buffer: bytearray) -> None:
        """Return a buffer that is no longer used."""
        if len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(buffer)

    def keep(self, request: Request) -> bytearray:
        """Hand the buffer with the body of a WRITE over to the handler, which returns it."""
        assert request._buffer is not None
        buffer, request._buffer = request._buffer, None
        return buffer

    # -- requests

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                size = os.readv(self._fd, [self._buffer])
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (
                    errno.EINTR,
                    errno.ENOENT,
                ):  # ENOENT: its caller was killed before we saw it
                    continue
                self._end(None if error.errno == errno.ENODEV else error)
                return
            self._received(size)

    def _received(self, size: int) -> None:
        length, opcode, unique, node, uid, gid, pid, _, _ = HEADER.unpack_from(self._buffer)
        if length != size:
            self._end(OSError(errno.EPROTO, "the kernel sent an incomplete FUSE request"))
            return
        request = Request(opcode, unique, node, uid, gid, b"", pid)
        if opcode == Opcode.WRITE:  # its data stays where it is until it is on its way to the server
            request.body, request._buffer = memoryview(self._buffer)[HEADER.size : size], self._buffer
            self._buffer = self.take_buffer()
        else:
            with memoryview(self._buffer) as view:
                request.body = bytes(view[HEADER.size : size])
        self._handle(request)

    def _handle(self, request: Request) -> None:
        if request.opcode == Opcode.INTERRUPT:
            self._interrupt(*abi.INTERRUPT.unpack_from(request.body))
            return
        if request.opcode == Opcode.INIT:
            self._init(request)
            return
        handler = self._handlers.get(request.opcode)
        if handler is None:
            self._answer_error(request, errno.ENOSYS)
            return
        try:
            self._take(request, handler(request))
        except Exception as error:
            self._failed(request, error)

    def _take(self, request: Request, answer: Answer | Awaitable[Answer] | Promise) -> None:
        # The answer is given by a callback of what runs: a task that is cancelled before its first step runs nothing.
        if isinstance(answer, Promise):
            then = answer.then
            self._runs(request, answer.future, lambda future: self._take(request, then(future)))
        elif isinstance(answer, Awaitable):
            work = asyncio.ensure_future(answer, loop=self._loop)
            self._runs(request, work, lambda future: self._answer(request, future.result()))
        else:
            self._answer(request, answer)

    def _runs(
        self, request: Request, work: asyncio.Future[Any], done: Callable[[asyncio.Future[Any]], None]
    ) -> None:
        self._running[request.unique] = (request, work)
        work.add_done_callback(lambda future: self._ran(request, future, done))

    def _ran(
        self, request: Request, work: asyncio.Future[Any], done: Callable[[asyncio.Future[Any]], None]
    ) -> None:
        del self._running[request.unique]
        self._watched.discard(request.unique)
        if work.cancelled():
            self._answer_error(request, errno.EINTR)
            return
        try:
            done(work)
        except Exception as error:
            self._failed(request, error)

    def _interrupt(self, unique: int) -> None:
        """The caller got a signal. Ignored if the request was already answered or is unknown."""
        request, _ = self._running.get(unique, (None, None))
        if request is None:
            return
        request.interrupted.set()
        if request.opcode in _READS:
            self._watched.add(unique)
            if self._timer is None:
                self._look()

    def _look(self) -> None:
        """Abandon reads of callers that are being killed."""
        self._timer = None
        for unique in tuple(self._watched):
            request, work = self._running[unique]
            if is_dying(request.pid):
                work.cancel()
                self._watched.discard(unique)
        if self._watched:
            self._timer = self._loop.call_later(_LOOK_S, self._look)

    def _init(self, request: Request) -> None:
        major, minor, readahead, offered = abi.parse_init(request.body)
        if major != abi.MAJOR or minor < abi.MINOR_MIN:
            self._answer_error(request, errno.EPROTO)
            self._end(
                OSError(errno.EPROTO, f"this kernel speaks FUSE {major}.{minor}; 7.31 (Linux 5.4) is needed")
            )
            return
        flags = self._flags & offered
        self._answer(
            request, abi.init_out(min(minor, abi.MINOR), max(readahead, self._readahead), flags, _BACKGROUND)
        )

    # -- responses

    def answer_now(self, request: Request, answer: Buffer) -> None:
        """Answer before the handler, which then returns None, has finished its work."""
        self._write(request, ANSWER.pack(ANSWER.size + len(answer), 0, request.unique), answer)

    def _answer(self, request: Request, answer: Answer) -> None:
        self._done_with(request)
        if answer is None:
            return
        parts = answer if isinstance(answer, tuple) else (answer,)
        self._write(request, ANSWER.pack(ANSWER.size + sum(map(len, parts)), 0, request.unique), *parts)

    def _failed(self, request: Request, error: Exception) -> None:
        if not isinstance(error, OSError):
            log.exception("internal error in request %s", request.opcode, exc_info=error)
        self._answer_error(request, self._errno_of(error))

    def _answer_error(self, request: Request, number: int) -> None:
        self._done_with(request)
        if request.opcode not in (Opcode.FORGET, Opcode.BATCH_FORGET):
            self._write(request, ANSWER.pack(ANSWER.size, -number, request.unique))

    def _done_with(self, request: Request) -> None:
        buffer, request._buffer = request._buffer, None
        if buffer is not None:
            if isinstance(request.body, memoryview):
                request.body.release()
            self.give_buffer(buffer)

    def _write(self, request: Request, *parts: Buffer) -> None:
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            # ENOENT: the caller is gone; ENODEV: the mount is. Anything else is our mistake: the caller must not wait.
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EBADF):
                log.error("the kernel rejected the response to request %s: %s", request.opcode, error)
                if len(parts) > 1:
                    self._answer_error(request, errno.EIO)

    def notify(self, message: bytes) -> None:
        """Send the kernel a notification (`abi.invalidate_attributes`)."""
        try:
            os.writev(self._fd, [message])
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EBADF):
                log.warning("the kernel rejected a notification: %s", error)

    # -- the end

    def _end(self, error: OSError | None) -> None:
        self._loop.remove_reader(self._fd)
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)

    def finish(self) -> None:
        """Stop reading from the kernel."""
        self._end(None)

    async def end_reads(self) -> None:
        """Give up what changes nothing; its callers get EINTR, unless they have got ENOTCONN from the kernel."""
        # What follows a promise begins when that is done, and is given up in the next round.
        while reads := [work for request, work in self._running.values() if request.opcode in _READS]:
            for work in reads:
                work.cancel()
            await asyncio.wait(reads)

    async def close(self) -> None:
        """End reads and waits; wait for operations that change something, because the server may have done them.

        Callers still waiting get ENOTCONN from the kernel.
        """
        self._loop.remove_reader(self._fd)
        if self._timer is not None:
            self._timer.cancel()
        for request, _ in self._running.values():
            request.interrupted.set()
        await self.end_reads()
        while self._running:
            await asyncio.wait([work for _, work in self._running.values()])
        if not self.ended.done():
            self.ended.set_result(None)
        os.close(self._fd)


def is_dying(pid: int) -> bool:
    """Whether thread *pid* has a pending deadly signal that it cannot handle before we answer."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False
    sets = {key: int(value, 16) for key, value in _SIGNALS.findall(status)}
    survived = sets[b"SigBlk"] | sets[b"SigIgn"] | sets[b"SigCgt"] | _HARMLESS
    return bool((sets[b"SigPnd"] | sets[b"ShdPnd"]) & ~survived)
