"""Listening sockets for SMB over TCP ([MS-SMB2] 2.1), with or without the NetBIOS session service."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

#: Connections that may wait to be accepted.
_BACKLOG = 1024
#: Seconds of silence after which a client is asked for, and between two questions without an answer.
KEEPALIVE_S = 300
_KEEPALIVE_INTERVAL_S = 30


def bind_listeners(
    hosts: Sequence[str], port: int, keepalive_s: int = KEEPALIVE_S, *, protocol: int = socket.IPPROTO_TCP
) -> list[socket.socket]:
    """A listening socket for each of *hosts*, all on one port (port 0: the first one's free port).

    A connection that is silent for *keepalive_s* seconds is probed (TCP keepalive); 0: never. *protocol*: another one
    that has TCP's addresses and streams.

    IPv6 sockets accept only IPv6, so that `0.0.0.0` and `::` can be used together. Raises OSError with the address in
    `filename`; then no socket stays open.
    """
    listeners: list[socket.socket] = []
    with ExitStack() as undo:
        for host in hosts:
            listener = undo.enter_context(_bind(host, port, keepalive_s, protocol))
            port = port or listener.getsockname()[1]
            listeners.append(listener)
        undo.pop_all()
    return listeners


def _bind(host: str, port: int, keepalive_s: int, protocol: int) -> socket.socket:
    try:
        family, kind, _, _, address = resolved(host, port, socket.SOCK_STREAM)
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(error.errno, error.strerror, address_text(host, port)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if keepalive_s:  # accepted sockets inherit the options of their listener
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, address_text(host, port)) from error
    return listener


def resolved(host: str, port: int, kind: socket.SocketKind) -> tuple[int, int, int, str, tuple[Any, ...]]:
    """What `getaddrinfo` says first about an address to listen on."""
    return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV)[0]


def address_text(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6 addresses."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
