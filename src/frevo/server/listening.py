"""The sockets that a server listens on, bound before anything else."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from frevo.transport import kernel_quic
from frevo.transport.interfaces import listen_hosts
from frevo.transport.quic import bind_sockets
from frevo.transport.tcp import bind_listeners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frevo.config import Config
    from frevo.transport.kernel_quic import Driver

#: More threads of the data plane than this are only there when the configuration says so.
_THREADS_MAX = 8


class Bound(msgspec.Struct, frozen=True, eq=False):
    """The sockets of one address: one that listens on TCP, for QUIC one for each I/O thread or one of the kernel's."""

    transport: str
    sockets: Sequence[socket.socket]
    driver: Driver = "user"  # of QUIC

    @property
    def address(self) -> tuple[str, str, int]:
        """(transport, host, port)."""
        host, port = self.sockets[0].getsockname()[:2]
        return self.transport, host, port

    def close(self) -> None:
        """Closes the sockets, which may be closed already."""
        for one in self.sockets:
            one.close()


def threads_of(config: Config) -> int:
    """How many I/O threads the data plane has."""
    return config.globals.frevo_data_plane_threads or min(os.cpu_count() or 1, _THREADS_MAX)


def bind(config: Config) -> list[Bound]:
    """The sockets of every address of `server smb transports`; all or none.

    Raises OSError with the address in `filename`.
    """
    settings = config.globals
    hosts = listen_hosts(settings.interfaces, only=settings.bind_interfaces_only)
    bound: list[Bound] = []
    with ExitStack() as undo:
        for address in settings.server_smb_transports:
            sockets: Sequence[Sequence[socket.socket]]
            driver = kernel_quic.choose(settings.frevo_quic_driver) if address.traits.secure else "user"
            if driver == "kernel":
                sockets = [[one] for one in kernel_quic.bind_sockets(hosts, address.port)]
            elif address.traits.secure:
                sockets = bind_sockets(hosts, address.port, threads_of(config))
            else:
                sockets = [[one] for one in bind_listeners(hosts, address.port, settings.keepalive)]
            for siblings in sockets:
                bound.append(Bound(address.name, siblings, driver))
                undo.callback(bound[-1].close)
        undo.pop_all()
    return bound
