"""The sockets that a server listens on, bound before anything else."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from frevo.server.core.network_interfaces import Listening
from frevo.transport import emulated, kernel_quic, smbdirect
from frevo.transport.cards import bind_cards
from frevo.transport.interfaces import listen_hosts
from frevo.transport.quic import bind_sockets
from frevo.transport.rdma_devices import rdma_devices
from frevo.transport.tcp import bind_listeners
from frevo.transport.traits import TRANSPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from frevo._native import RdmaListener, SmbDirect
    from frevo.config import Config
    from frevo.transport.address import TransportAddress

#: More threads of the data plane than this are only there when the configuration says so.
_THREADS_MAX = 8


class Bound(msgspec.Struct, frozen=True, eq=False):
    """The sockets of one address: one that listens, for QUIC in user space one for each I/O thread.

    driver: what carries the transport where there is a choice: user or kernel for QUIC, the provider of SMB Direct.
    """

    transport: str
    sockets: Sequence[socket.socket]
    driver: str = ""
    at: tuple[str, int] | None = None  # host and port, if the sockets do not tell
    release: Callable[[], None] | None = None
    direct: SmbDirect | None = None  # of SMB Direct, for the data plane
    card: RdmaListener | None = None  # in place of a socket

    @property
    def address(self) -> tuple[str, str, int]:
        """(transport, host, port)."""
        host, port = self.at or self.sockets[0].getsockname()[:2]
        return self.transport, host, port

    def close(self) -> None:
        """Closes the sockets, which may be closed already."""
        for one in self.sockets:
            one.close()
        if self.release is not None:
            self.release()


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
            for one in _bind(config, hosts, address):
                bound.append(one)
                undo.callback(one.close)
        undo.pop_all()
    return bound


def _bind(config: Config, hosts: Sequence[str], address: TransportAddress) -> Iterator[Bound]:
    settings, traits = config.globals, address.traits
    if traits.secure:
        driver = kernel_quic.choose(settings.frevo_quic_driver)
        if driver == "kernel":
            sockets = [[one] for one in kernel_quic.bind_sockets(hosts, address.port)]
        else:
            sockets = bind_sockets(hosts, address.port, threads_of(config))
        yield from (Bound(address.name, siblings, driver) for siblings in sockets)
    elif traits.rdma:
        yield from _bind_rdma(config, hosts, address)
    else:
        for one in bind_listeners(hosts, address.port, settings.keepalive):
            yield Bound(address.name, [one])


def _bind_rdma(config: Config, hosts: Sequence[str], address: TransportAddress) -> Iterator[Bound]:
    settings = config.globals
    provider = smbdirect.choose(settings.smb_direct.provider)
    try:
        if provider == "kernel":
            # The kernel speaks SMB Direct: its sockets are streams of framed messages, as TCP's.
            for listener in bind_listeners(hosts, address.port, 0, protocol=smbdirect.IPPROTO_SMBDIRECT):
                yield Bound(address.name, [listener], provider)
            return
        direct = settings.smb_direct.native(provider)
        if provider == "emulated":
            folder = emulated.folder_of_server(settings.smb_direct.directory)
            one = emulated.bind_port(folder, address.port)
            yield Bound(address.name, [one.socket], provider, ("localhost", one.port), one.close, direct)
            return
        if provider == "verbs":
            usual = address.traits.port
            ports = smbdirect.card_ports(address.port, usual, rdma_devices()) or [usual]
            for card in bind_cards(hosts, ports):
                at = card.getsockname()
                yield Bound(address.name, [], provider, at, card.close, direct=direct, card=card)
            return
        for listener in bind_listeners(hosts, address.port, settings.keepalive):
            yield Bound(address.name, [listener], provider, direct=direct)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"SMB Direct {error.filename}") from error


def listening_of(bound: Sequence[Bound], addresses: Sequence[tuple[str, str, int]]) -> Listening:
    """What clients are told of *bound*, whose addresses are *addresses*; emulated RDMA is for this machine only."""
    networked = [(one, host) for one, (_, host, _) in zip(bound, addresses, strict=True) if one.driver != "emulated"]
    rdma = [(one.driver, host) for one, host in networked if TRANSPORTS[one.transport].rdma]
    cards = None
    if any(driver == "verbs" for driver, _ in rdma):
        cards = {name for device in rdma_devices() if device.active for name in device.interfaces}
    return Listening({host for _, host in networked}, {host for _, host in rdma}, cards)
