"""UDP sockets for SMB over QUIC ([MS-SMB2] 2.1): bound for a server, fresh for a client.

The data plane speaks QUIC on them. Several threads of a server share one port: each has a socket of its own, and the
kernel chooses among them (SO_REUSEPORT).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from frevo.transport.tcp import address_text, resolved

#: What a socket should be able to hold: a burst at 10 Gbit/s for 6 ms. The kernel gives ordinary users less, up to
#: `net.core.rmem_max` and `wmem_max`; that costs losses under load, nothing else.
BUFFER_BYTES = 8 << 20

# Numbers of linux/socket.h and linux/in.h that Python's `socket` does not have.
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_PKTINFO, _IP_MTU_DISCOVER, _IP_RECVTOS = 8, 10, 13
_IPV6_MTU_DISCOVER = 23
#: Datagrams are never fragmented, and only QUIC's own probes decide how large they may be: not what an ICMP message
#: says that anybody can forge.
_PMTUDISC_PROBE = 3


def bind_sockets(hosts: Sequence[str], port: int, threads: int) -> list[list[socket.socket]]:
    """For each of *hosts* one socket for each of *threads*, all on one port (port 0: the first one's free port).

    IPv6 sockets take IPv6 only. Raises OSError with `UDP address` in `filename`, also when another process has the
    port, whatever its options; none of the sockets stays open then.
    """
    bound: list[list[socket.socket]] = []
    with ExitStack() as undo:
        for host in hosts:
            # Bound alone, so that a port that is taken is an error; then it lets its siblings in.
            first = undo.enter_context(_bind(host, port, shared=False))
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            port = port or first.getsockname()[1]
            siblings = [undo.enter_context(_bind(host, port, shared=True)) for _ in range(threads - 1)]
            bound.append([first, *siblings])
        undo.pop_all()
    return bound


def client_socket(family: int) -> socket.socket:
    """A socket of *family* (AF_INET or AF_INET6) for one connection of a client; neither bound nor connected."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _prepare(made)
    except BaseException:
        made.close()
        raise
    return made


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = resolved(host, port, socket.SOCK_DGRAM)
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"UDP {address_text(host, port)}") from error
    try:
        _prepare(made)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise OSError(error.errno, error.strerror, f"UDP {address_text(host, port)}") from error
    return made


def _prepare(made: socket.socket) -> None:
    """Options that both sides need: where a datagram was sent to, ECN, no fragments, room for bursts."""
    made.setblocking(False)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    enlarge_buffers(made)


def enlarge_buffers(made: socket.socket) -> None:
    """Asks for BUFFER_BYTES in both directions."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:  # needs CAP_NET_ADMIN
            made.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
        except OSError:
            with contextlib.suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)
