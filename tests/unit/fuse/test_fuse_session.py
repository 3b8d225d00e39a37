"""A session of kernel messages: one answer to each request, whatever INTERRUPT does and when."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from frevo.fuse import session as fuse_session
from frevo.fuse.abi import ANSWER, HEADER, INTERRUPT, InitFlags, Opcode
from frevo.fuse.session import Answer, Handler, Promise, Request, Session

#: The kernel marks its own numbers of INTERRUPTs with the lowest bit.
_INTERRUPT_BIT = 1


class Kernel:
    """The other end of the descriptor, and handlers that end on the test's command."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for one in (ours, self.socket):
            one.setblocking(False)
        self.gate = asyncio.Event()
        self.futures: list[asyncio.Future[bytes]] = []
        self.begun: list[int] = []
        self.closing: asyncio.Task[None] | None = None
        handlers: dict[int, Handler] = {Opcode.MKDIR: self.change, Opcode.LOOKUP: self.change}
        handlers |= {Opcode.SETLKW: self.lock, Opcode.READ: self.read}
        self.session = Session(
            ours.detach(), handlers, readahead=0, flags=InitFlags(0),
            errno_of=lambda error: getattr(error, "errno", None) or errno.EIO,
        )  # fmt: skip

    async def change(self, request: Request) -> Answer:
        self.begun.append(request.unique)
        await self.gate.wait()
        return b"done"

    async def lock(self, request: Request) -> Answer:
        self.begun.append(request.unique)
        await request.interrupted.wait()
        raise OSError(errno.EINTR, "interrupted")

    def read(self, request: Request) -> Promise:
        self.begun.append(request.unique)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return Promise(future, lambda done: done.result() or self.change(request))

    def ask(self, opcode: Opcode, unique: int, body: bytes = b"", pid: int = 0) -> None:
        head = HEADER.pack(HEADER.size + len(body), opcode, unique, 1, 0, 0, pid, 0, 0)
        self.socket.send(head + body)

    def interrupt(self, unique: int) -> None:
        self.ask(Opcode.INTERRUPT, unique | _INTERRUPT_BIT, INTERRUPT.pack(unique))

    def answers(self) -> dict[int, tuple[int, bytes]]:
        """By number: -errno and body. Fails when a request has two."""
        found: list[tuple[int, int, bytes]] = []
        while True:
            try:
                message = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            if not message:  # closed
                break
            _, error, unique = ANSWER.unpack_from(message)
            found.append((unique, error, message[ANSWER.size :]))
        assert all(count == 1 for count in Counter(one[0] for one in found).values()), found
        return {unique: (error, body) for unique, error, body in found}


@pytest_asyncio.fixture
async def kernel() -> AsyncIterator[Kernel]:
    one = Kernel()
    yield one
    one.gate.set()
    for future in one.futures:
        if not future.done():
            future.set_result(b"")
    await asyncio.wait_for(one.closing or one.session.close(), 5)
    one.socket.close()


async def turns(until: Callable[[], object] = lambda: False) -> None:
    """Some turns of the loop, fewer once *until* holds."""
    for _ in range(20):
        if until():
            return
        await asyncio.sleep(0)


Order = Callable[[Kernel, Opcode], Awaitable[None]]


async def _before(kernel: Kernel, opcode: Opcode) -> None:
    kernel.interrupt(2)
    kernel.ask(opcode, 2)
    await turns()


async def _in_the_same_batch(kernel: Kernel, opcode: Opcode) -> None:
    kernel.ask(opcode, 2)
    kernel.interrupt(2)
    kernel.interrupt(2)
    await turns()


async def _while_it_runs(kernel: Kernel, opcode: Opcode) -> None:
    kernel.ask(opcode, 2)
    await turns(lambda: kernel.begun)
    kernel.interrupt(2)
    await turns()


@pytest.mark.parametrize("order", [_before, _in_the_same_batch, _while_it_runs])
@pytest.mark.parametrize("opcode", [Opcode.MKDIR, Opcode.LOOKUP])
async def test_a_signal_stops_no_work(kernel: Kernel, order: Order, opcode: Opcode) -> None:
    """A change that has begun is done and answered as done, and a query gets its answer, as in a local directory."""
    await order(kernel, opcode)
    assert kernel.answers() == {} and kernel.begun == [2]
    kernel.gate.set()
    await turns()
    assert kernel.answers() == {2: (0, b"done")}
    kernel.interrupt(2)  # after the answer
    await turns()
    assert kernel.answers() == {}


@pytest.mark.parametrize("order", [_in_the_same_batch, _while_it_runs])
async def test_a_signal_ends_a_blocking_lock(kernel: Kernel, order: Order) -> None:
    """A blocking lock hears of the signal, however early it comes, and answers once."""
    await order(kernel, Opcode.SETLKW)
    assert kernel.answers() == {2: (-errno.EINTR, b"")}


@pytest.mark.parametrize("opcode", [Opcode.READ, Opcode.LOOKUP])
@pytest.mark.parametrize("order", [_in_the_same_batch, _while_it_runs])
async def test_reads_of_the_dying_are_given_up(
    kernel: Kernel, opcode: Opcode, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the caller is being killed: EINTR at once, also before the task's first step; a later answer is dropped."""
    monkeypatch.setattr(fuse_session, "is_dying", lambda pid: True)
    await order(kernel, opcode)
    assert kernel.answers() == {2: (-errno.EINTR, b"")}
    kernel.gate.set()
    await turns()
    assert kernel.answers() == {}


async def test_changes_of_the_dying_are_waited_for(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may have made the directory: EINTR would be wrong."""
    monkeypatch.setattr(fuse_session, "is_dying", lambda pid: True)
    await _in_the_same_batch(kernel, Opcode.MKDIR)
    assert kernel.answers() == {}
    kernel.gate.set()
    await turns()
    assert kernel.answers() == {2: (0, b"done")}


async def test_a_kill_after_the_first_signal_is_noticed(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports only the first signal: the session checks again."""
    dying: list[bool] = []
    monkeypatch.setattr(fuse_session, "is_dying", lambda pid: bool(dying))
    monkeypatch.setattr(fuse_session, "_LOOK_S", 0.0)
    await _in_the_same_batch(kernel, Opcode.LOOKUP)
    assert kernel.answers() == {}
    dying.append(True)
    await turns()
    assert kernel.answers() == {2: (-errno.EINTR, b"")}


async def test_reads_end_before_files_are_closed(kernel: Kernel) -> None:
    """Also one whose response has come in this turn and is to be followed by another READ; changes go on."""
    for unique, opcode in ((2, Opcode.READ), (4, Opcode.READ), (6, Opcode.MKDIR)):
        kernel.ask(opcode, unique)
    kernel.session._readable()
    await turns(lambda: 6 in kernel.begun)
    kernel.futures[0].set_result(b"")
    await asyncio.wait_for(kernel.session.end_reads(), 5)
    interrupted = (-errno.EINTR, b"")
    assert kernel.answers() == {2: interrupted, 4: interrupted}
    assert kernel.begun == [2, 4, 6]
    kernel.gate.set()
    await turns()
    assert kernel.answers() == {6: (0, b"done")}


async def test_closing_answers_everybody(kernel: Kernel) -> None:
    """Reads and waits end with EINTR, also those received in this turn; changes are completed first."""
    for unique, opcode in ((2, Opcode.READ), (4, Opcode.SETLKW), (6, Opcode.MKDIR), (8, Opcode.LOOKUP)):
        kernel.ask(opcode, unique)
    kernel.session._readable()
    closing = kernel.closing = asyncio.create_task(kernel.session.close())
    await turns()
    interrupted = (-errno.EINTR, b"")
    assert kernel.answers() == {2: interrupted, 4: interrupted, 8: interrupted}
    assert not closing.done()
    kernel.gate.set()
    await turns(closing.done)
    assert kernel.answers() == {6: (0, b"done")}
    await closing


@pytest.mark.parametrize(
    ("pending", "shared", "blocked", "ignored", "caught", "dying"),
    [
        (0, 0, 0, 0, 0, False),
        (1 << 8, 0, 0, 0, 0, True),  # SIGKILL
        (0, 1 << 13, 0, 0, 1 << 13, False),  # SIGALRM with a handler
        (0, 1 << 13 | 1 << 14, 0, 0, 1 << 13, True),  # and SIGTERM without
        (0, 1 << 1, 1 << 1, 0, 0, False),
        (0, 1 << 1, 0, 1 << 1, 0, False),
        (0, 1 << 16 | 1 << 22 | 1 << 27, 0, 0, 0, False),  # SIGCHLD, SIGURG, SIGWINCH
    ],
)
def test_fatal_signals(
    pending: int, shared: int, blocked: int, ignored: int, caught: int, dying: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A process is being killed when a signal is pending that is not caught, blocked, ignored or harmless."""
    sets = zip(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"), (pending, shared, blocked, ignored, caught),
        strict=True)  # fmt: skip
    status = "Name:\tx\n" + "".join(f"{key}:\t{value:016x}\n" for key, value in sets)
    monkeypatch.setattr(Path, "read_bytes", lambda self: status.encode())
    assert fuse_session.is_dying(1) is dying


def test_fatal_signals_in_proc() -> None:
    """The real /proc: of this process, of none, of a thread that has ended; test_mount_signals.py covers processes
    being killed."""
    assert not fuse_session.is_dying(os.getpid())
    assert not fuse_session.is_dying(0)
    assert not fuse_session.is_dying(1 << 22)
