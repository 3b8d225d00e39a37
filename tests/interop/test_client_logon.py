"""Ways to reach a server and to log on: guest, anonymous, environment, several transports."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterator

import pytest
from descriptors import descriptors
from peers import programs, transports
from peers.target import Serve, Target

import frevo
from frevo.client import LogonError, RemoteError

pytestmark = pytest.mark.interop


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


async def test_guests_only_when_asked(serve: Serve) -> None:
    """A server that makes unknown users guests: refused by default, accepted on request."""
    target = serve({"map to guest": "bad user"})
    target = target.over_quic() if transports.over_quic() else target
    url = f"{target.url}/guest"
    with pytest.raises(LogonError, match="guest"):
        await frevo.connect(url, user="nobody-we-know", password="x")
    async with frevo.connect(url, guest=True) as share:
        assert await share.listdir() is not None
        assert not share.tree.session.protection.sign
    with pytest.raises(RemoteError, match="encrypt"):
        await frevo.connect(url, guest=True, encryption=True)


async def test_anonymous(target: Target) -> None:
    """An anonymous log-on gets as far as the server allows, and no further."""
    url = target.url
    try:
        server = await frevo.connect_server(url, anonymous=True)
    except LogonError:
        return
    async with server:
        assert server.session.guest and not server.signed
        with pytest.raises(PermissionError):
            await server.share("share")


async def test_the_environment(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """FREVO_USER and FREVO_PASSWORD are enough."""
    monkeypatch.setenv("FREVO_USER", target.user)
    monkeypatch.setenv("FREVO_PASSWORD", target.password)
    async with frevo.connect(f"{target.url}/share") as share:
        assert await share.exists("")


@pytest.mark.tcp_only("NetBIOS is TCP; test_client_quic.py has both")
async def test_the_first_that_answers(target: Target) -> None:
    """A closed first port costs only a moment: the next transport is used."""
    options = {"user": target.user, "password": target.password}
    with programs.reserved_port() as closed:
        transports = f"tcp:{closed}, nbt:{target.nbt_port}"
        async with frevo.connect_server(f"smb://{target.host}", transports=transports, **options) as server:
            assert server.transport == "nbt"
    transports = f"tcp:{target.port}, nbt:{target.nbt_port}"
    async with frevo.connect_server(f"smb://{target.host}", transports=transports, **options) as server:
        assert server.transport == "tcp"


@pytest.mark.tcp_only("test_client_quic.py has a silent UDP port")
async def test_a_server_that_is_silent(silent_port: int) -> None:
    """A port without a response, a closed one and an unknown name: clear errors, in time."""
    started = time.monotonic()
    with pytest.raises(RemoteError, match="did not respond"):
        await frevo.connect(f"smb://127.0.0.1:{silent_port}/share", user="u", password="p", timeout=0.2)
    with programs.reserved_port() as closed, pytest.raises(RemoteError, match="connection refused"):
        await frevo.connect(f"smb://127.0.0.1:{closed}/share", user="u", password="p")
    assert time.monotonic() - started < 10


async def test_a_cancelled_connect(target: Target) -> None:
    """Connecting cancelled after more and more turns of the loop leaves no socket, no thread, no task."""
    url = f"{target.url}/share"
    before = descriptors()
    finished = 0
    for turns in range(0, 320, 8):
        task = asyncio.ensure_future(_connect_and_close(url, target))
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 16 else 0.0005)
        task.cancel()
        try:
            await task
            finished += 1
        except asyncio.CancelledError:
            pass
    for _ in range(100):  # sockets are closed by the data plane's thread
        gc.collect()
        if not descriptors() - before:
            break
        await asyncio.sleep(0.05)
    assert not descriptors() - before
    assert len(asyncio.all_tasks()) == 1 and finished > 0


async def _connect_and_close(url: str, target: Target) -> None:
    async with frevo.connect(url, user=target.user, password=target.password) as share:
        await share.stat()
