"""Dialing with a data plane that does what the test says: transports, addresses, QUIC's handshake and its failures."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frevo.client.connection import dial as dialing
from frevo.client.connection import plane as planes
from frevo.client.connection.dial import Call, dial
from frevo.client.connection.plane import ConnectedSocket, QuicConnection, plane_of
from frevo.client.errors import RemoteError
from frevo.errors import FrevoError
from frevo.transport.address import parse_transports
from frevo.transport.base import CLOSED, SECURED, Event
from frevo.transport.smbdirect import SmbDirectSettings

TLS: Any = object()
SECURED_BY = ("AES-128-GCM", "nas", [b"leaf"], True, "user")


class FakeTransport:
    """A data plane without sockets: `script` answers each QUIC connection, None by silence."""

    script: Callable[[str], tuple[Any, ...] | None]
    made: list[FakeTransport]
    sends = False

    def __init__(self, loop: asyncio.AbstractEventLoop, **_: object) -> None:
        self.loop = loop
        self.called: list[tuple[str, int, object]] = []
        self.closed: list[int] = []
        self.down = False
        FakeTransport.made.append(self)

    def start(self, on_events: Callable[[list[Event]], None]) -> None:
        self.on_events = on_events

    def report(self, *event: Any) -> None:
        self.loop.call_soon(self.on_events, [event])

    def connect_quic(self, udp: socket.socket, host: str, port: int, tls: object) -> int:
        self.called.append((host, port, tls))
        number = len(self.called)
        if self.sends:
            udp.sendto(b"a first packet", (host, port))
        answer = FakeTransport.script(host)
        if answer is not None:
            self.report(answer[0], number, *answer[1:])
        return number

    def set_credits(self, number: int, credits: object) -> None:
        pass

    def close(self, number: int, *, abort: bool) -> None:
        assert abort
        self.closed.append(number)
        self.report(CLOSED, number, "closed")

    def shutdown(self) -> None:
        self.down = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeTransport]]:
    """FakeTransport in the place of the data plane; every handshake succeeds unless the test says otherwise."""
    monkeypatch.setattr(planes, "DataPlaneTransport", FakeTransport)
    FakeTransport.made = []
    FakeTransport.script = staticmethod(lambda _: (SECURED, *SECURED_BY))
    FakeTransport.sends = False
    yield FakeTransport


def call(host: str, transports: str, timeout: float = 5.0) -> Call:
    return Call(host, parse_transports(transports)[0], timeout, lambda: TLS)


def addresses(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Lets every name have these addresses."""

    async def found(_: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, kind, 0, "", (host, port)) for host in hosts]

    monkeypatch.setattr(dialing, "_addresses", found)


class Taker:
    """A receiver, as far as `adopt` needs it."""

    server, unawaited = "nas", None

    def __init__(self) -> None:
        self.credits = object()
        self.secured: Any = None
        self.reasons: list[str] = []

    def on_closed(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_quic(fake: type[FakeTransport]) -> None:
    """The handshake is awaited; the receiver learns what it came to and gets the events from then on."""
    reached = await dial(call("127.0.0.1", "quic:4433"))
    assert isinstance(reached, QuicConnection) and reached.transport == "quic"
    (transport,) = fake.made
    assert transport.called == [("127.0.0.1", 4433, TLS)]
    taker: Any = Taker()
    plane = plane_of(asyncio.get_running_loop())
    assert plane.adopt(reached, taker) == reached.number
    assert taker.secured.verified and taker.secured.cipher == "AES-128-GCM"
    transport.on_events([(CLOSED, reached.number, "idle")])
    assert taker.reasons == ["idle"]
    plane.release(reached.number)
    assert transport.down


async def test_a_connection_that_ends_before_it_is_taken(fake: type[FakeTransport]) -> None:
    """Ended between the handshake and `adopt`: the receiver hears of it all the same."""
    reached = await dial(call("127.0.0.1", "quic"))
    assert isinstance(reached, QuicConnection)
    fake.made[0].on_events([(CLOSED, reached.number, "the server ended the connection")])
    assert not fake.made[0].down
    taker: Any = Taker()
    plane_of(asyncio.get_running_loop()).adopt(reached, taker)
    await asyncio.sleep(0)
    assert taker.reasons == ["the server ended the connection"]


async def test_a_failed_handshake(fake: type[FakeTransport]) -> None:
    """The data plane's reason is in the error, with the transport; nothing stays behind."""
    reason = "the server's certificate is self-signed and not trusted"
    fake.script = staticmethod(lambda _: (CLOSED, reason))
    with pytest.raises(RemoteError, match=rf"cannot connect \(quic: {reason}\)") as caught:
        await dial(call("127.0.0.1", "quic"))
    assert caught.value.errno == errno.EHOSTUNREACH
    assert fake.made[0].down


async def test_no_answer(fake: type[FakeTransport]) -> None:
    """A server that stays silent: the time limit, a word about firewalls, and the attempt is closed."""
    fake.script = staticmethod(lambda _: None)
    with pytest.raises(RemoteError, match=r"quic: no response within 0.05 s; perhaps a firewall blocks UDP"):
        await dial(call("127.0.0.1", "quic", timeout=0.05))
    assert fake.made[0].closed == [1] and fake.made[0].down


async def test_refused(fake: type[FakeTransport]) -> None:
    """Nobody listens there: said at once, not after the time limit, because the kernel has heard of it."""
    fake.script = staticmethod(lambda _: None)
    fake.sends = True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(RemoteError, match=r"quic:\d+: connection refused: no SMB server listens on this port"):
        await dial(call("127.0.0.1", f"quic:{port}", timeout=60.0))
    assert fake.made[0].closed == [1] and fake.made[0].down


async def test_a_file_that_cannot_be_used(fake: type[FakeTransport]) -> None:
    """What is wrong with a certificate of ours is said before anybody is called."""

    def unusable() -> Any:
        raise FrevoError("cannot read ca.pem: No such file or directory")

    with pytest.raises(RemoteError, match=r"quic: cannot read ca\.pem"):
        await dial(Call("127.0.0.1", parse_transports("quic")[0], 5.0, unusable))
    assert fake.made == []


async def test_the_next_address(fake: type[FakeTransport], monkeypatch: pytest.MonkeyPatch) -> None:
    """One address refuses, the next one is tried at once; what the last one said is told when all have failed."""
    addresses(monkeypatch, "127.0.0.2", "127.0.0.3")
    fake.script = staticmethod(lambda host: (SECURED, *SECURED_BY) if host == "127.0.0.3" else (CLOSED, "refused"))
    reached = await dial(call("nas", "quic"))
    assert [host for host, _, _ in fake.made[0].called] == ["127.0.0.2", "127.0.0.3"]
    assert fake.made[0].closed == []  # the first had ended by itself
    await reached.close()
    fake.script = staticmethod(lambda host: (CLOSED, f"refused by {host}"))
    with pytest.raises(RemoteError, match=r"quic: refused by 127.0.0.3"):
        await dial(call("nas", "quic"))


async def test_tcp_wins_where_udp_is_blocked(fake: type[FakeTransport]) -> None:
    """quic first, and silent: tcp follows within milliseconds and is used; the other attempt is given up."""
    fake.script = staticmethod(lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reached = await dial(call("127.0.0.1", f"quic tcp:{listener.getsockname()[1]}"))
        assert isinstance(reached, ConnectedSocket) and reached.transport == "tcp"
        await reached.close()
    assert fake.made[0].closed == [1] and fake.made[0].down


async def test_quic_wins_where_tcp_is_refused(fake: type[FakeTransport]) -> None:
    """tcp first, and refused: quic is used."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reached = await dial(call("127.0.0.1", f"tcp:{port} quic"))
    assert reached.transport == "quic"
    await reached.close()
    assert fake.made[0].down


async def test_a_cancelled_dial(fake: type[FakeTransport]) -> None:
    """Cancelled in the handshake: the data plane has released everything when the cancellation arrives."""
    fake.script = staticmethod(lambda _: None)
    dialed = asyncio.ensure_future(dial(call("127.0.0.1", "quic")))
    while not fake.made or not fake.made[0].called:
        await asyncio.sleep(0)
    dialed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialed
    assert fake.made[0].closed == [1] and fake.made[0].down
    assert len(asyncio.all_tasks()) == 1


async def test_a_card_that_does_not_reach_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `auto` the server may still speak iWARP over TCP; who demands cards is told what is wrong with them."""

    async def unreachable(host: str, port: int, direct: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "no card reaches it")

    monkeypatch.setattr(dialing, "choose", lambda _: "verbs")
    monkeypatch.setattr(dialing, "connect_card", unreachable)
    with socket.create_server(("127.0.0.1", 0)) as server:
        transports, _ = parse_transports(f"smbdirect:{server.getsockname()[1]}")
        reached = await dial(Call("127.0.0.1", transports, 5.0, lambda: TLS))
        assert isinstance(reached, ConnectedSocket)
        assert reached.direct is not None and reached.direct.provider == "iwarp"
        await reached.close()
        with pytest.raises(RemoteError, match="no card reaches it"):
            await dial(Call("127.0.0.1", transports, 5.0, lambda: TLS, smb_direct=SmbDirectSettings("verbs")))
