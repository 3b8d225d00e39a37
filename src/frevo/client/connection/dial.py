"""Reaching a server: its addresses and transports are tried in order, and the first that answers is used."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Any

from frevo.client.errors import RemoteError
from frevo.transport.address import TransportAddress
from frevo.transport.traits import TRANSPORTS, either
from frevo.wire.nbt import NetBIOSName, PacketType, SessionRequest

#: Seconds between the attempts over one transport and the next; a server that answers at once sees only one.
STAGGER_S = 0.1


async def dial(
    host: str, transports: Sequence[TransportAddress], timeout: float, calling: str = "FREVO"
) -> tuple[socket.socket, str]:
    """A connected socket and the name of its transport; *calling* is our NetBIOS name. RemoteError says what failed."""
    usable = [one for one in transports if one.traits.dials]
    if not usable:
        names = ", ".join(map(str, transports))
        known = either([one.name for one in TRANSPORTS.values() if one.dials])
        raise RemoteError(
            errno.EPROTONOSUPPORT, f"frevo's client does not support {names}: use {known}", host
        )
    tasks = [
        asyncio.create_task(_attempt(host, one, index * STAGGER_S, timeout, calling))
        for index, one in enumerate(usable)
    ]
    try:
        return await _first(host, usable, tasks, timeout)
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Closes a connection that is made after another one was chosen."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _first(
    host: str,
    transports: Sequence[TransportAddress],
    tasks: list[asyncio.Task[socket.socket]],
    timeout: float,
) -> tuple[socket.socket, str]:
    waiting = dict(zip(tasks, transports, strict=True))
    problems: list[str] = []
    while waiting:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            transport = waiting.pop(task)
            error = task.exception()
            if error is None:
                tasks.remove(task)
                return task.result(), transport.name
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            problems.append(f"{transport}: {_explained(text, error, timeout)}")
    raise RemoteError(errno.EHOSTUNREACH, "the server cannot be reached (" + "; ".join(problems) + ")", host)


def _explained(text: str, error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no response within {timeout:g} s; perhaps a firewall blocks it"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: no SMB server listens on this port"
    return text


async def _attempt(
    host: str, transport: TransportAddress, delay: float, timeout: float, calling: str
) -> socket.socket:
    await asyncio.sleep(delay)
    async with asyncio.timeout(timeout):
        loop = asyncio.get_running_loop()
        port = transport.port or transport.traits.port
        found = await _addresses(loop, host, port)
        problem: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for family, kind, protocol, _, address in found:
            try:
                connected = await _connect(loop, (family, kind, protocol), address)
            except OSError as error:
                problem = error
                continue
            if transport.traits.session_request:
                await _call(loop, connected, calling)
            return connected
        raise problem


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[tuple[Any, ...]]:
    """What getaddrinfo finds. For a numeric address no thread is used: it would cost a command 4 ms."""
    with contextlib.suppress(UnicodeEncodeError, socket.gaierror):
        numeric = socket.AI_NUMERICHOST
        return socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM, flags=numeric)
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect(
    loop: asyncio.AbstractEventLoop, kind: tuple[int, int, int], address: tuple[object, ...]
) -> socket.socket:
    connected = socket.socket(*kind)
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A vanished server is noticed after 30 s without an acknowledgment, or 60 s without any traffic.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        await loop.sock_connect(connected, address)
    except BaseException:
        connected.close()
        raise
    return connected


async def _call(loop: asyncio.AbstractEventLoop, connected: socket.socket, calling: str) -> None:
    """The NetBIOS session request ([RFC1002] 4.3.2); every server answers to *SMBSERVER."""
    try:
        request = SessionRequest(NetBIOSName("*SMBSERVER"), NetBIOSName(calling, 0))
        await loop.sock_sendall(connected, request.pack())
        answer = b""
        while len(answer) < 4:
            chunk = await loop.sock_recv(connected, 4 - len(answer))
            if not chunk:
                raise ConnectionResetError(errno.ECONNRESET, "the server ended the NetBIOS session request")
            answer += chunk
        if answer[0] != PacketType.POSITIVE_SESSION_RESPONSE:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the server refused the NetBIOS session")
    except BaseException:
        connected.close()
        raise
