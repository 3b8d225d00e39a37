"""Checks of ports, and QUIC in the kernel."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path

from frevo.status.doctor.base import Check, State, read_number, read_text
from frevo.transport.kernel_quic import missing
from frevo.transport.listeners import listening_processes
from frevo.transport.traits import NBT, QUIC, SMBDIRECT, TCP, IPProtocol

GROUP = "network"

#: Port, kind and what it is for.
PORTS = (
    (TCP.port, socket.SOCK_STREAM, "SMB; older Windows supports this port only"),
    (NBT.port, socket.SOCK_STREAM, "NetBIOS session service, for old clients"),
    (QUIC.port, socket.SOCK_DGRAM, "SMB over QUIC"),
    (SMBDIRECT.port, socket.SOCK_STREAM, "SMB Direct by iWARP"),
    (4450, socket.SOCK_STREAM, "SMB without privileges; used by `make serve`"),
    (4433, socket.SOCK_DGRAM, "SMB over QUIC without privileges; used by `make serve`"),
)


def check_ports() -> list[Check]:
    """Whether this user can bind each port; if not, how to permit it."""
    return [_check_port(*port) for port in PORTS]


def _check_port(port: int, kind: socket.SocketKind, purpose: str) -> Check:
    protocol = IPProtocol.UDP if kind == socket.SOCK_DGRAM else IPProtocol.TCP
    name, data = f"port {port}/{protocol}", {"port": port, "transport": protocol}
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # As the server does it: connections of an earlier server in TIME_WAIT do not matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            text, fix = _port_problem(error, port, protocol)
            return Check(GROUP, name, State.LIMITED, f"{text} ({purpose})", fix, {**data, "free": False})
    return Check(GROUP, name, State.OK, f"free for this user ({purpose})", "", {**data, "free": True})


def _port_problem(error: OSError, port: int, protocol: IPProtocol) -> tuple[str, str]:
    if error.errno in (errno.EACCES, errno.EPERM):
        first = read_number("/proc/sys/net/ipv4/ip_unprivileged_port_start") or 1024
        text = f"this user may not use ports below {first}"
        python = Path(sys.executable).resolve()
        fix = (
            f"sudo sysctl net.ipv4.ip_unprivileged_port_start={min(port, NBT.port)}"
            f", or sudo setcap cap_net_bind_service=+ep {python}"
        )
        return text, fix
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port, protocol)
        return (
            f"in use{' by ' + holder if holder else ''}",
            "stop that program, or choose another port with --port",
        )
    return error.strerror or str(error), ""


def _holder(port: int, protocol: IPProtocol) -> str:
    """Name and ID of the process that uses the port, if /proc shows it to this user."""
    return next(
        (
            f"{read_text(f'/proc/{process}/comm')} (process {process})"
            for process in listening_processes(port, protocol)
        ),
        "",
    )


def check_quic() -> list[Check]:
    """Whether the kernel has QUIC sockets (an out-of-tree module in most distributions)."""
    reason = missing()
    if not reason:
        text = "IPPROTO_QUIC sockets are available: frevo uses them for QUIC unless frevo:quic driver = user"
        return [Check(GROUP, "quic in the kernel", State.OK, text, "", {"driver": "kernel"})]
    text = f"no IPPROTO_QUIC sockets ({reason}): frevo speaks QUIC in user space, which needs none"
    return [Check(GROUP, "quic in the kernel", State.LIMITED, text, "", {"reason": reason, "driver": "user"})]


NETWORK_CHECKS = (check_ports, check_quic)
