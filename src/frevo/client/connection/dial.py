"""Reaching a server: its transports and addresses are tried one after another, and the first that answers is used."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from frevo.client.connection.plane import ConnectedCard, ConnectedSocket, Plane, Reached, plane_of
from frevo.client.connection.race import AllFailed, race
from frevo.client.errors import RemoteError
from frevo.transport import smbdirect
from frevo.transport.address import TransportAddress
from frevo.transport.cards import connect_card
from frevo.transport.rdma_devices import rdma_devices
from frevo.transport.smbdirect import SmbDirectSettings, card_ports, choose
from frevo.transport.traits import TRANSPORTS, IPProtocol, either
from frevo.wire.nbt import NetBIOSName, PacketType, SessionRequest

if TYPE_CHECKING:
    from frevo._native import QuicClientTls
    from frevo.transport.kernel_quic import WantedDriver

#: Seconds from the first transport to all the others, as in Samba; a server nearby sees only the first.
STAGGER_S = 0.005
#: Seconds from one address of the host to the next (RFC 8305 5).
_NEXT_ADDRESS_S = 0.25

#: An address as getaddrinfo gives it: family, type, protocol, canonical name, address.
_Found = tuple[Any, ...]


class Call(msgspec.Struct, frozen=True):
    """Whom to call, and how. tls: what QUIC demands of the server and shows it, made when it is needed."""

    host: str
    transports: Sequence[TransportAddress]
    timeout: float
    tls: Callable[[], QuicClientTls]
    netbios_name: str = "FREVO"
    quic_driver: WantedDriver = "auto"
    smb_direct: SmbDirectSettings = SmbDirectSettings()


async def dial(call: Call) -> Reached:
    """The first connection that is made. RemoteError says for each transport what failed."""
    usable = [one for one in call.transports if one.traits.dials]
    if not usable:
        names = ", ".join(map(str, call.transports))
        known = either([one.name for one in TRANSPORTS.values() if one.dials])
        text = f"frevo's client does not support {names}: use {known}"
        raise RemoteError(errno.EPROTONOSUPPORT, text, call.host)
    starts_s = [STAGGER_S if index else 0.0 for index in range(len(usable))]
    try:
        return await race([partial(_attempt, call, one) for one in usable], starts_s)
    except AllFailed as failed:
        problems = "; ".join(
            f"{one}: {_explained(error, one, call.timeout)}"
            for one, error in zip(usable, failed.errors, strict=True)
        )
        text = f"cannot connect ({problems})"
        raise RemoteError(errno.EHOSTUNREACH, text, call.host) from None


def _explained(error: Exception, transport: TransportAddress, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        blocked = "it" if transport.traits.protocol is IPProtocol.TCP else "UDP"
        return f"no response within {timeout:g} s; perhaps a firewall blocks {blocked}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: no SMB server listens on this port"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


async def _attempt(call: Call, transport: TransportAddress) -> Reached:
    """Tries the addresses of the host over one transport."""
    async with asyncio.timeout(call.timeout):
        if transport.traits.protocol is IPProtocol.UDP:
            tls = call.tls()
            plane = plane_of(asyncio.get_running_loop())
            with plane.held():
                return await _race(
                    call, transport, socket.SOCK_DGRAM, partial(_connect_quic, plane, tls, call.quic_driver)
                )
        if transport.traits.rdma:
            return await _connect_rdma(call, transport)
        return await _race(call, transport, socket.SOCK_STREAM, partial(_connect, call, transport))


async def _race(
    call: Call,
    transport: TransportAddress,
    kind: socket.SocketKind,
    connect: Callable[[_Found], Awaitable[Reached]],
) -> Reached:
    """The first address that answers; the error of the last one when none does."""
    found = await _addresses(call.host, transport.port or transport.traits.port, kind)
    try:
        attempts = [partial(connect, address) for address in found]
        return await race(attempts, [index * _NEXT_ADDRESS_S for index in range(len(found))])
    except AllFailed as failed:
        raise failed.errors[-1] from None


async def _addresses(host: str, port: int, kind: socket.SocketKind) -> Sequence[_Found]:
    """What getaddrinfo finds. For a numeric address no thread is used: it would cost a command 4 ms."""
    with contextlib.suppress(UnicodeEncodeError, socket.gaierror):
        return socket.getaddrinfo(host.encode("ascii"), port, type=kind, flags=socket.AI_NUMERICHOST)
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)


async def _connect(call: Call, transport: TransportAddress, found: _Found) -> Reached:
    """A TCP connection, for nbt with its session request answered."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = found
    connected = socket.socket(family, kind, protocol)
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
        if transport.traits.session_request:
            await _request_session(loop, connected, call.netbios_name)
    except BaseException:
        connected.close()
        raise
    return ConnectedSocket(connected, transport.name)


async def _request_session(loop: asyncio.AbstractEventLoop, connected: socket.socket, calling: str) -> None:
    """The NetBIOS session request ([RFC1002] 4.3.2); every server answers to *SMBSERVER."""
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


async def _connect_rdma(call: Call, transport: TransportAddress) -> Reached:
    provider = choose(call.smb_direct.provider)
    if provider == "emulated":
        from frevo.client.connection.emulated import connect_emulated

        port = transport.port or transport.traits.port
        return await connect_emulated(call.smb_direct, call.host, port, transport.name)
    if provider == "verbs":
        if call.smb_direct.provider != "auto":
            return await _connect_cards(call, transport)
        with contextlib.suppress(OSError):  # no card reaches the host, or its server speaks iWARP over TCP
            return await _connect_cards(call, transport)
        provider = "iwarp"
    if provider == "kernel":
        return await _race(call, transport, socket.SOCK_STREAM, partial(_connect_kernel, transport))
    reached = await _race(call, transport, socket.SOCK_STREAM, partial(_connect, call, transport))
    assert isinstance(reached, ConnectedSocket)
    return replace(reached, direct=call.smb_direct.native(provider))


async def _connect_kernel(transport: TransportAddress, found: _Found) -> Reached:
    """A connection by one of the kernel's SMB Direct sockets: a stream of framed messages, as TCP's."""
    connected = socket.socket(found[0], socket.SOCK_STREAM, smbdirect.IPPROTO_SMBDIRECT)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, found[4])
    except BaseException:
        connected.close()
        raise
    return ConnectedSocket(connected, transport.name)


async def _connect_cards(call: Call, transport: TransportAddress) -> Reached:
    """Over an RDMA card, on the ports that its kind has; one after another."""
    usual = transport.traits.port
    ports = card_ports(transport.port or usual, usual, rdma_devices()) or [usual]

    async def connect(port: int, found: _Found) -> Reached:
        direct = call.smb_direct.native("verbs")
        return ConnectedCard(await connect_card(found[4][0], port, direct), transport.name)

    for port in ports[:-1]:
        with contextlib.suppress(OSError):
            return await _race(call, transport, socket.SOCK_STREAM, partial(connect, port))
    return await _race(call, transport, socket.SOCK_STREAM, partial(connect, ports[-1]))


async def _connect_quic(plane: Plane, tls: QuicClientTls, wanted: WantedDriver, found: _Found) -> Reached:
    family, _, _, _, address = found
    from frevo.client.connection.quic import connect_quic

    return await connect_quic(plane, tls, wanted, family, address)
