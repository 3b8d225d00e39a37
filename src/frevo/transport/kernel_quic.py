"""QUIC in the kernel: its stream sockets (IPPROTO_QUIC), where the kernel has them, instead of QUIC in user space.

No released Linux has them; the module of github.com/lxin/quic adds them. The data plane runs their TLS
(docs/decisions/0016-kernel-quic.md).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import Literal

from frevo.transport.quic import enlarge_buffers
from frevo.transport.tcp import address_text, resolved

#: Who speaks QUIC: this process or the kernel.
Driver = Literal["user", "kernel"]
#: What a configuration may say about it; auto: the kernel where it can.
WantedDriver = Literal["auto", "user", "kernel"]

#: Its number and that of its options, of uapi/linux/quic.h.
IPPROTO_QUIC, _SOL_QUIC = 261, 288
#: The option that says why a connection has ended, and the size of its record.
_CONNECTION_CLOSE, _CLOSE_BYTES = 5, 72


@cache
def missing() -> str:
    """Why the kernel's sockets cannot be used; empty if they can. Asked once in a process."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_QUIC) as probe:
            if len(probe.getsockopt(_SOL_QUIC, _CONNECTION_CLOSE, _CLOSE_BYTES)) != _CLOSE_BYTES:
                return "their interface is another one"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def choose(wanted: WantedDriver) -> Driver:
    """The driver to use. OSError if the kernel's is demanded and missing."""
    if wanted == "user":
        return "user"
    reason = missing()
    if not reason:
        return "kernel"
    if wanted == "kernel":
        text = f"frevo:quic driver = kernel, but this kernel has no QUIC sockets ({reason}): use auto or user"
        raise OSError(errno.EPROTONOSUPPORT, text)
    return "user"


def bind_sockets(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """A QUIC socket of the kernel on each of *hosts*, which does not listen yet, all on one port (port 0: the first
    one's free port).

    IPv6 sockets take IPv6 only. Raises OSError with `UDP address` in `filename`; none stays open then.
    """
    bound: list[socket.socket] = []
    with ExitStack() as undo:
        for host in hosts:
            bound.append(undo.enter_context(_bind(host, port)))
            port = port or bound[-1].getsockname()[1]
        undo.pop_all()
    return bound


def client_socket(family: int) -> socket.socket:
    """A QUIC socket of the kernel for one connection of a client."""
    made = socket.socket(family, socket.SOCK_STREAM, IPPROTO_QUIC)
    try:
        made.setblocking(False)
        enlarge_buffers(made)
    except BaseException:
        made.close()
        raise
    return made


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = resolved(host, port, socket.SOCK_STREAM)
        made = client_socket(family)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"UDP {address_text(host, port)}") from error
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise OSError(error.errno, error.strerror, f"UDP {address_text(host, port)}") from error
    return made
