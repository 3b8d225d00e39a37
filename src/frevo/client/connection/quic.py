"""A QUIC connection to one address: the socket for it, and the wait for the handshake.

Nobody answers where no server listens, but the kernel hears of it (ICMP port unreachable) and tells who asks:
`refused` spares the user the time limit, and a server that restarts is found as quickly as over TCP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import TYPE_CHECKING, Any

from frevo.client.connection.plane import Plane, QuicConnection
from frevo.transport import kernel_quic
from frevo.transport.quic import client_socket

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from frevo._native import QuicClientTls
    from frevo.transport.kernel_quic import WantedDriver

#: Seconds between two looks for a refusal.
_LOOK_S = 0.05
#: Level and option that let the kernel keep such news (ip(7): IP_RECVERR; ipv6(7): IPV6_RECVERR).
_KEEP_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
#: ee_origin of linux/errqueue.h: said by ICMP or ICMPv6, not by this machine.
_BY_ICMP = (2, 3)


async def connect_quic(
    plane: Plane, tls: QuicClientTls, wanted: WantedDriver, family: int, address: tuple[Any, ...]
) -> QuicConnection:
    """A connection whose handshake is done: the server is who it should be. OSError with the reason when it fails."""
    host, port, *rest = address
    if (
        zone := rest[1] if len(rest) > 1 else 0
    ):  # of fe80::1%eth0; its number, as the data plane knows no names
        host = f"{host.partition('%')[0]}%{zone}"
    if kernel_quic.choose(wanted) == "kernel":
        with kernel_quic.client_socket(family) as quic:
            connection = plane.connect_quic_kernel(quic, host, port, tls)
        return await _or_closed(connection, _established(connection, None))
    with client_socket(family) as udp:
        udp.setsockopt(*_KEEP_ERRORS[udp.family], 1)
        connection = plane.connect_quic(udp, host, port, tls)
        await _or_closed(connection, _established(connection, udp))
        udp.setsockopt(*_KEEP_ERRORS[udp.family], 0)  # what was kept goes as well
    return connection


async def _or_closed(connection: QuicConnection, established: Coroutine[Any, Any, None]) -> QuicConnection:
    try:
        await established
    except BaseException:
        await connection.close()
        raise
    return connection


async def _established(connection: QuicConnection, udp: socket.socket | None) -> None:
    """Waits for the handshake; *udp* may tell that nobody is there, which the kernel's QUIC sockets do not."""
    while not connection.secured.done():
        await asyncio.wait(
            (connection.secured, connection.ended),
            timeout=None if udp is None else _LOOK_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if connection.ended.done():
            raise ConnectionError(errno.ECONNREFUSED, connection.ended.result())
        if udp is not None and refused(udp):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")


def refused(udp: socket.socket) -> bool:
    """Whether the kernel has heard that no one listens where *udp* sends to. Takes the news."""
    while True:
        try:
            _, ancillary, _, _ = udp.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return False  # there are none
        for _, _, data in ancillary:  # a sock_extended_err
            if int.from_bytes(data[:4], sys.byteorder) == errno.ECONNREFUSED and data[4] in _BY_ICMP:
                return True
