"""Answers the kernel from an event loop: reads requests, gives each to its handler, writes the answers.

A handler returns the answer at once or an awaitable of it. Several awaitables run at a time; one whose caller was
interrupted by a signal is cancelled and answered with EINTR.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from frevo.fuse import abi
from frevo.fuse.abi import ANSWER, HEADER, Buffer, InitFlags, Opcode
from frevo.records import Discreet

log = logging.getLogger(__name__)

#: The body of an answer in one or several pieces; None: nothing is answered.
Answer = Buffer | tuple[Buffer, ...] | None


class Promise(msgspec.Struct):
    """What *then* makes of *future* when that is done is the answer; it costs less than a coroutine's task."""

    future: asyncio.Future[Any]
    then: Callable[[asyncio.Future[Any]], Answer | Awaitable[Answer]]


Handler = Callable[["Request"], "Answer | Awaitable[Answer] | Promise"]

#: Requests taken in one turn of the loop.
_BATCH = 16
#: READ and readahead requests that the kernel may have under way at a time.
_BACKGROUND = 64
_SPARE_BUFFERS = 16


class Request(Discreet, msgspec.Struct):
    """One request. *body* is the handler's until it has answered."""

    HIDDEN = ("_buffer",)

    opcode: int
    unique: int
    node: int
    uid: int
    gid: int
    body: Buffer
    _buffer: bytearray | None = None

    def name(self, offset: int = 0) -> str:
        """The name that ends the body, behind *offset* bytes."""
        return os.fsdecode(bytes(self.body[offset:]).partition(b"\0")[0])

    def names(self, offset: int = 0) -> tuple[str, str]:
        """The two names that end the body."""
        first, _, rest = bytes(self.body[offset:]).partition(b"\0")
        return os.fsdecode(first), os.fsdecode(rest.partition(b"\0")[0])


class Session:
    """One mount: *fd* as `mounting.mount` gave it, the handlers by opcode, and what INIT is to accept."""

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
        self._running: dict[int, asyncio.Future[Any]] = {}
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
        """Nobody uses it any more."""
        if len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(buffer)

    def keep(self, request: Request) -> bytearray:
        """The buffer that holds the body of a WRITE becomes the handler's, who gives it back."""
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
        length, opcode, unique, node, uid, gid, _, _, _ = HEADER.unpack_from(self._buffer)
        if length != size:
            self._end(OSError(errno.EPROTO, "the kernel sent an incomplete FUSE request"))
            return
        request = Request(opcode, unique, node, uid, gid, b"")
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
        if isinstance(answer, Promise):
            self._running[request.unique] = answer.future
            answer.future.add_done_callback(lambda future: self._kept(request, answer))
        elif isinstance(answer, Awaitable):
            self._running[request.unique] = self._loop.create_task(self._later(request, answer))
        else:
            self._answer(request, answer)

    def _kept(self, request: Request, promise: Promise) -> None:
        self._running.pop(request.unique, None)
        if promise.future.cancelled():
            self._answer_error(request, errno.EINTR)
            return
        try:
            self._take(request, promise.then(promise.future))
        except Exception as error:
            self._failed(request, error)

    async def _later(self, request: Request, answer: Awaitable[Answer]) -> None:
        try:
            self._answer(request, await answer)
        except asyncio.CancelledError:
            self._answer_error(request, errno.EINTR)
        except Exception as error:
            self._failed(request, error)
        finally:
            self._running.pop(request.unique, None)

    def _interrupt(self, unique: int) -> None:
        task = self._running.get(unique)
        if task is not None:
            task.cancel()

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

    # -- answers

    def answer_now(self, request: Request, answer: Buffer) -> None:
        """Answers before the handler, which returns None afterwards, has done all of its work."""
        self._write(request, ANSWER.pack(ANSWER.size + len(answer), 0, request.unique), answer)

    def _answer(self, request: Request, answer: Answer) -> None:
        self._done_with(request)
        if answer is None:
            return
        parts = answer if isinstance(answer, tuple) else (answer,)
        self._write(request, ANSWER.pack(ANSWER.size + sum(map(len, parts)), 0, request.unique), *parts)

    def _failed(self, request: Request, error: Exception) -> None:
        if not isinstance(error, OSError):
            log.exception("request %s could not be handled", request.opcode, exc_info=error)
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
                log.error("the kernel does not take the answer to request %s: %s", request.opcode, error)
                if len(parts) > 1:
                    self._answer_error(request, errno.EIO)

    def notify(self, message: bytes) -> None:
        """Tells the kernel something unasked (`abi.invalidate_attributes`)."""
        try:
            os.writev(self._fd, [message])
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EBADF):
                log.warning("the kernel does not take a notification: %s", error)

    # -- the end

    def _end(self, error: OSError | None) -> None:
        self._loop.remove_reader(self._fd)
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)

    def finish(self) -> None:
        """Nothing more is read from the kernel."""
        self._end(None)

    async def close(self) -> None:
        """Requests that run are cancelled; callers that still wait get ENOTCONN from the kernel."""
        self._loop.remove_reader(self._fd)
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if not self.ended.done():
            self.ended.set_result(None)
        os.close(self._fd)
