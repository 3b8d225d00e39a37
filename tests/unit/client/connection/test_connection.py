"""One connection: message ids and credits, what a compound looks like, and the checks of every answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.client.connection.connection import CREDITS_WANTED, Connection
from frevo.client.connection.messages import Element, Pending, Protection, Reply
from frevo.client.errors import ConnectionLost, PeerFault
from frevo.errors import RemoteProtocolError, WireError
from frevo.transport.base import ENCRYPT, ENCRYPTED, MESSAGE
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, EchoRequest, Header, HeaderFlags, ReadResponse

ECHO = EchoRequest().pack()
SERVER = int(HeaderFlags.SERVER_TO_REDIR)
ASYNC = int(HeaderFlags.ASYNC_COMMAND)
PLAIN = Protection(7)


class Credits:
    """The account of credits, as the data plane keeps it; answers bring none here unless a test says so."""

    def __init__(self, total: int) -> None:
        self.free = self.total = total
        self.next_id = 1
        self.reserved = self.wanted = 0

    def reserve(self, charge: int) -> bool:
        if charge > self.free:
            return False
        self.free -= charge
        return True

    def take(self, charge: int) -> int:
        first, self.next_id = self.next_id, self.next_id + charge
        return first

    def settle(self, charge: int) -> None:
        self.free += charge

    def want(self, charge: int) -> None:
        self.wanted = charge


class Transport:
    """Keeps what is sent."""

    def __init__(self, credits: int) -> None:
        self.credits = Credits(credits)
        self.sent: list[tuple[int, bytes]] = []  # flags, message
        self.closed: list[bool] = []

    def new_credits(self) -> Credits:
        return self.credits

    def submit(self, number: int, session_id: int, flags: int, message: Any) -> None:
        parts = message if isinstance(message, tuple) else (message,)
        self.sent.append((flags, b"".join(bytes(part) for part in parts)))

    submit_now = submit_last = submit

    def close(self, number: int, abort: bool = False) -> None:
        self.closed.append(abort)


class One:
    """A connection with what a test says to it."""

    def __init__(self, credits: int = 8, multi_credit: bool = True) -> None:
        self.transport = Transport(credits)
        self.released: list[int] = []
        plane = SimpleNamespace(transport=self.transport, release=self.released.append)
        self.connection = Connection(cast(Any, plane), "server")
        self.connection.multi_credit = multi_credit

    @property
    def headers(self) -> list[Header]:
        return [Header.parse(message) for _, message in self.transport.sent]

    def answer(
        self, message_id: int, command: int = Command.ECHO, status: int = 0, flags: int = SERVER, body: bytes = ECHO,
        *, async_id: int = 0, encrypted: bool = False, bad: int = 0, unverified: int = 0,
    ) -> None:  # fmt: skip
        header = Header(
            command=command, status=int(status), flags=flags, message_id=message_id, async_id=async_id
        )
        event = (MESSAGE, 0, 7, ENCRYPTED if encrypted else 0, header.pack() + body, bad, unverified)
        self.connection.on_message(cast(Any, event))

    def begin(self, element: Element | None = None, protection: Protection = PLAIN) -> asyncio.Task[Reply]:
        element = element or Element(Command.ECHO, ECHO)
        return asyncio.create_task(self.connection.exchange(element, protection))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_request() -> None:
    """It has the next message id, asks for credits beside its own, and gets its answer."""
    one = One()
    task = one.begin(Element(Command.ECHO, ECHO, charge=2))
    await turns()
    header = one.headers[0]
    assert (header.message_id, header.credit_charge, header.session_id) == (1, 2, 7)
    assert header.credits > 2 and one.transport.credits.free == 6 and one.connection.busy
    one.answer(1)
    reply = await task
    assert (reply.status, reply.header.message_id) == (0, 1)
    assert one.transport.credits.free == 8 and not one.connection.busy


@pytest.mark.parametrize(("total", "more"), [(CREDITS_WANTED - 1, True), (CREDITS_WANTED, False)])
async def test_how_many_credits_are_asked_for(total: int, more: bool) -> None:
    """More than are spent until there are CREDITS_WANTED."""
    one = One(total)
    one.begin().cancel()
    one.connection.begin(Element(Command.ECHO, ECHO), PLAIN)
    assert (one.headers[0].credits > 1) is more


async def test_a_compound() -> None:
    """Related requests in one message, each at a multiple of eight; answered together or one by one."""
    one = One()
    elements = [Element(Command.ECHO, b"\4\0\0\0\1"), Element(Command.ECHO, ECHO)]
    task = asyncio.create_task(one.connection.call(elements, PLAIN))
    await turns()
    ((_, message),) = one.transport.sent
    first = Header.parse(message)
    second = Header.parse(message, first.next_command)
    assert first.next_command == 72 and second.next_command == 0
    assert second.flags & HeaderFlags.RELATED_OPERATIONS and not first.flags & HeaderFlags.RELATED_OPERATIONS
    assert (first.message_id, second.message_id) == (1, 2)
    one.answer(2, status=int(NTStatus.ACCESS_DENIED))
    one.answer(1)
    assert [reply.status for reply in await task] == [0, NTStatus.ACCESS_DENIED]


@pytest.mark.parametrize(
    ("protection", "flags", "signed"),
    [
        (Protection(7, None, True), 0, True),
        (Protection(7, None, True, True), ENCRYPT, False),
        (PLAIN, 0, False),
    ],
)
async def test_protection(protection: Protection, flags: int, signed: bool) -> None:
    """A request is signed or encrypted, not both: encryption protects it already."""
    one = One()
    one.connection.begin(Element(Command.ECHO, ECHO), protection)
    assert one.transport.sent[0][0] == flags and bool(one.headers[0].flags & HeaderFlags.SIGNED) is signed


async def test_waiting_for_credits() -> None:
    """Requests wait in order; none overtakes another, and a cancelled one makes room."""
    one = One(credits=2)
    first = one.begin(Element(Command.ECHO, ECHO, charge=2))
    await turns()
    large, small = one.begin(Element(Command.ECHO, ECHO, charge=2)), one.begin()
    await turns()
    assert len(one.transport.sent) == 1 and one.transport.credits.wanted == 2
    assert one.connection.begin(Element(Command.ECHO, ECHO), PLAIN) is None  # would overtake
    large.cancel()
    await turns()
    one.answer(1)
    await turns()
    assert [header.credit_charge for header in one.headers] == [2, 1]
    one.answer(3)
    assert (await first).status == (await small).status == 0 and large.cancelled()


async def test_credits_that_never_come() -> None:
    """A request that needs more credits than the server grants, with nothing under way that could bring any, ends the
    connection."""
    one = One(credits=1)
    with pytest.raises(ConnectionLost, match="granted 1 credits, but 3 are needed"):
        await one.begin(Element(Command.ECHO, ECHO, charge=3))
    assert one.transport.closed == [True]


@pytest.mark.parametrize(
    ("size", "multi", "charge"),
    [(0, True, 1), (65536, True, 1), (65537, True, 2), (1 << 20, True, 16), (1 << 20, False, 1)],
)
async def test_charges(size: int, multi: bool, charge: int) -> None:
    """One credit for each 64 KiB; before 2.1 there is no charge."""
    one = One(multi_credit=multi)
    assert one.connection.charge_of(size) == charge


async def test_the_largest_request() -> None:
    """Half of the credits stay for others; without multi-credit requests it is 64 KiB."""
    assert One(credits=8).connection.largest(1 << 20) == 4 * 65536
    assert One(credits=512).connection.largest(1 << 20) == 1 << 20
    assert One(credits=1).connection.largest(1 << 20) == 65536
    assert One(credits=512, multi_credit=False).connection.largest(1 << 20) == 65536


async def test_an_interim_answer() -> None:
    """STATUS_PENDING keeps the request; its async id goes into CANCEL."""
    one = One()
    task = one.begin()
    await turns()
    one.answer(1, status=int(NTStatus.PENDING), flags=SERVER | ASYNC, async_id=99)
    await turns()
    assert not task.done()
    task.cancel()
    await turns()
    cancel = one.headers[1]
    assert (cancel.command, cancel.message_id, cancel.async_id) == (Command.CANCEL, 1, 99)
    one.answer(1, status=int(NTStatus.CANCELLED), flags=SERVER | ASYNC, async_id=99)
    assert one.transport.credits.free == 8 and not one.connection.lost


async def test_an_abandoned_response() -> None:
    """The effect of the request is undone when its response comes after the cancel."""
    one = One()
    undone: list[Reply] = []
    task = one.begin(Element(Command.ECHO, ECHO, on_abandoned=undone.append))
    await turns()
    task.cancel()
    await turns()
    one.answer(1)
    assert [reply.status for reply in undone] == [0] and one.transport.credits.free == 8


async def test_data_into_a_buffer() -> None:
    """The data of a READ goes into the caller's buffer; more than fits breaks the protocol. Both times it is free."""
    one = One()
    buffer = bytearray(4)
    task = one.begin(Element(Command.READ, ECHO, sink=memoryview(buffer)))
    await turns()
    one.answer(1, Command.READ, body=ReadResponse(b"abc").pack())
    assert (await task).size == 3 and bytes(buffer) == b"abc\0"
    task = one.begin(Element(Command.READ, ECHO, sink=memoryview(buffer)))
    await turns()
    one.answer(2, Command.READ, body=ReadResponse(b"abcde").pack())
    with pytest.raises(PeerFault, match="5 bytes of data for a read of 4"):
        await task
    buffer.append(0)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"message_id": 9}, "never sent"),
        ({"message_id": 1, "command": Command.READ}, "which was"),
        ({"message_id": 1, "flags": 0}, "a request instead of a response"),
    ],
)
async def test_answers_that_cannot_be(answer: dict[str, int], text: str) -> None:
    """They end the connection, and whoever waits learns why."""
    one = One()
    task = one.begin()
    await turns()
    one.answer(**answer)
    with pytest.raises(PeerFault, match=text):
        await task
    assert one.transport.closed == [True]


async def test_malformed_messages() -> None:
    """Too short, or not SMB2: like every malformed response."""
    one = One()
    task = one.begin()
    await turns()
    one.connection.on_message(cast(Any, (MESSAGE, 0, 7, 0, b"\xfeSMB", 0, 0)))
    with pytest.raises(PeerFault, match="malformed"):
        await task


async def test_an_unsolicited_message() -> None:
    """An oplock break needs no request, and frevo asks for no oplocks: nothing happens."""
    one = One()
    one.answer(0xFFFFFFFFFFFFFFFF, Command.OPLOCK_BREAK)
    assert not one.connection.lost


@pytest.mark.parametrize(
    ("status", "kind"), [(0, PeerFault), (NTStatus.USER_SESSION_DELETED, ConnectionLost)]
)
async def test_an_answer_without_its_signature(status: int, kind: type[ConnectionLost]) -> None:
    """It breaks the protocol, unless the server has forgotten the session and with it the key."""
    one = One()
    task = one.begin(protection=Protection(7, cast(Any, object()), True))
    await turns()
    one.answer(1, status=int(status))
    with pytest.raises(kind) as caught:
        await task
    assert type(caught.value) is kind


async def test_unawaited_requests() -> None:
    """They need a free credit, and are refused without one; `settled` waits for their responses."""
    one = One(credits=1)
    assert one.connection.send_unawaited(Command.ECHO, ECHO, PLAIN, 0, False)
    assert not one.connection.send_unawaited(Command.ECHO, ECHO, PLAIN, 0, False)
    settled = asyncio.create_task(one.connection.unawaited.settled())
    await turns()
    assert not settled.done()
    one.answer(1)
    await asyncio.wait_for(settled, 5)
    one.connection.on_closed("cut")
    assert one.connection.send_unawaited(Command.ECHO, ECHO, PLAIN, 0, False)  # nothing is open any more


async def test_the_end() -> None:
    """Every waiter has an exception of its own: with an answer due it may have been done, without it was not sent."""
    one = One(credits=1)
    called: list[int] = []
    one.connection.when_lost(lambda: called.append(1))
    sent, waiting = one.begin(), one.begin()
    await turns()
    one.connection.on_closed("the cable")
    results = await asyncio.gather(sent, waiting, return_exceptions=True)
    assert [getattr(one, "unsent", None) for one in results] == [False, True] and results[0] is not results[1]
    assert all("the cable" in str(one) for one in results)
    assert one.connection.lost and called == [1] and one.released == [0]
    with pytest.raises(ConnectionLost):
        await one.begin()
    assert "the cable" in str(await one.connection.why_lost())


async def test_closing() -> None:
    """`close` waits until the data plane has let go; a second one does no harm."""
    one = One()
    closing = [asyncio.create_task(one.connection.close()) for _ in range(2)]
    await turns()
    assert one.transport.closed == [False] and not closing[0].done()
    one.connection.on_closed("closed")
    await asyncio.gather(*closing)


@pytest.mark.parametrize(
    ("error", "text"),
    [(WireError("short"), "malformed message .short"), (RemoteProtocolError("a lie"), "a lie")],
)
async def test_faults_of_the_peer(error: Any, text: str) -> None:
    """`peer_fault` ends the connection and gives what to raise."""
    one = One()
    with pytest.raises(PeerFault, match=text):
        raise one.connection.peer_fault(error)
    assert one.connection.lost


async def test_pumps() -> None:
    """A pump hears of its end once: of its own, or of the connection's when it began too late."""
    one = One()
    ends: list[tuple[Any, ...]] = []
    pump: Any = SimpleNamespace(progress=5, on_end=lambda *end: ends.append(end))
    one.connection.pumps = {3: pump, 4: pump}
    waiting = one.begin()
    await turns()
    assert one.connection.due() == {3: 5, 4: 5, -1: 1}
    one.connection.on_pump_ended(3, "done", 0, 9)
    one.connection.on_pump_ended(3, "done", 0, 9)
    one.connection.on_closed("cut")
    assert ends == [("done", 0, 9), ("lost", 0, 0)]
    with pytest.raises(ConnectionLost):
        await waiting


async def test_patient_requests_are_not_due() -> None:
    """A request that may take any time does not make a silent server suspicious."""
    one = One()
    one.begin(Element(Command.CHANGE_NOTIFY, ECHO, patient=True))
    await turns()
    assert one.connection.due() == {} and one.connection.busy
    pending: list[Pending] = list(one.connection._pending.values())
    one.connection.abandon(pending)
    one.connection.on_closed("the end of the test")
