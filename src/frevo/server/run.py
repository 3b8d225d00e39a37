"""Starts a server from a configuration, runs it until told to stop, drains and ends it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from frevo.aio.acting import act_as, prepare_process
from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings
from frevo.config import Config
from frevo.server.core.lanes import MountWatch
from frevo.server.core.unix_users import acts_as_users
from frevo.server.listening import Bound, bind, listening_of, threads_of
from frevo.server.service import Service
from frevo.transport.base import FRAME_OVERHEAD
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.traits import TRANSPORTS

if TYPE_CHECKING:
    from frevo.server.quic_listeners import QuicListeners
    from frevo.status.snapshot import CertificateStatus
    from frevo.transport.base import Limits

log = logging.getLogger("frevo.server")

#: How long the shutdown waits for file systems that do not respond.
_LANES_SECONDS = 2.0


class Running(msgspec.Struct, eq=False):
    """A server that accepts connections."""

    server: Service
    transport: DataPlaneTransport
    quic: QuicListeners | None = None
    #: (transport, host, port) of every listener.
    addresses: Sequence[tuple[str, str, int]] = ()

    @property
    def engine(self) -> str:
        """The data plane's engine: uring or epoll."""
        return self.transport.engine

    @property
    def read_path(self) -> str:
        """How large responses are sent."""
        return self.transport.read_path

    @property
    def unused_read_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""
        return self.transport.unused_read_paths

    @property
    def write_path(self) -> str:
        """How the data of large WRITEs reach their file."""
        return self.transport.write_path

    @property
    def unused_write_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""
        return self.transport.unused_write_paths

    @property
    def certificates(self) -> Sequence[CertificateStatus]:
        """What the server presents over QUIC."""
        return self.quic.certificates if self.quic is not None else ()

    def statistics(self) -> dict[str, Any]:
        """Counters of the data plane."""
        return self.transport.statistics()

    def reload(self, config: Config) -> None:
        """Takes a new configuration: connections and trees stay, new ones use the new shares and users."""
        act_as(None)  # accounts are read as the server's own user
        self.server.reload(config, _authenticator(config))
        if self.quic is not None:
            self.quic.reload(config)


async def run_server(
    config: Config,
    *,
    stop: asyncio.Event,
    ready: Callable[[Running], None],
    bound: Callable[[], None] = lambda: None,
) -> int:
    """Serves until *stop* is set, then drains for at most `frevo:drain timeout`; returns the exit code.

    *bound* is called right after the ports are bound: root can become another user there. Raises OSError (with the
    address in `filename`) if a listener cannot be bound, FrevoError if there is no certificate for QUIC. If cancelled,
    everything is closed without draining.
    """
    loop = asyncio.get_running_loop()
    settings = config.globals
    os.umask(0)  # modes of new files come from `create mask` and so on, not from the shell
    sockets = bind(config)
    with ExitStack() as unused:
        for one in sockets:
            unused.callback(one.close)
        bound()
        if acts_as_users(config):
            prepare_process()
        authenticator = _authenticator(config)
        transport = DataPlaneTransport(
            loop,
            threads=threads_of(config),
            engine=settings.frevo_engine,
            read_path=settings.frevo_read_path,
            write_path=settings.frevo_write_path,
            splice=settings.frevo_splice,
            limits=limits_of(config),
        )
        unused.callback(transport.shutdown)
        quic = None
        if any(TRANSPORTS[one.transport].secure for one in sockets):
            from frevo.server.quic_listeners import QuicListeners  # with everything about certificates

            quic = QuicListeners(config, transport, loop)
            unused.callback(quic.close)
        running = Running(Service(config, transport, authenticator, loop), transport, quic)
        unused.callback(running.server.lanes.stop)
        unused.callback(running.server.lookups.stop)
        watch = MountWatch(loop, running.server.lanes.look_again)
        unused.callback(watch.close)
        try:
            transport.start(running.server.on_events)
            transport.fast_echo(settings.frevo_fast_path)
            running.addresses = _listen(sockets, transport, quic)
            running.server.listening = listening_of(sockets, running.addresses)
            ready(running)
            await stop.wait()
            transport.close_listeners()
            await _drain(running.server, settings.frevo_drain_timeout)
            running.server.close_all()
            await running.server.lanes.drain(_LANES_SECONDS)
        except BaseException:  # stopped at once
            running.server.close_all()
            raise
    return 0


def _authenticator(config: Config) -> Authenticator:
    settings = config.globals
    return Authenticator(
        AccountStore(Path(settings.private_dir)),
        AuthSettings(
            netbios_name=settings.netbios_name,
            workgroup=settings.workgroup,
            map_to_guest="never" if settings.map_to_guest == "bad uid" else settings.map_to_guest,
            guest_account=settings.guest_account,
            username_map=settings.username_map,
            ntlm=settings.ntlm_auth != "disabled",
            keytab=settings.kerberos_keytab,
            realm=settings.realm,
        ),
    )


def limits_of(config: Config) -> Limits:
    """The data plane's limits from the configuration."""
    settings = config.globals
    return {
        "max_connections": settings.frevo_max_connections,
        "max_unauthenticated": settings.frevo_max_unauthenticated_connections,
        "max_preauth_frame": settings.frevo_preauth_message_size,
        "max_frame": max(settings.smb2_max_write, settings.smb2_max_trans) + FRAME_OVERHEAD,
        "preauth_timeout": settings.frevo_preauth_timeout,
        "idle_timeout": settings.frevo_idle_timeout or settings.deadtime * 60.0,
        "max_credits": settings.smb2_max_credits,
        "max_requests_in_flight": settings.frevo_max_requests_in_flight,
        "max_bytes_in_flight": settings.frevo_max_bytes_in_flight,
        "max_unread_bytes": settings.frevo_max_unread_bytes,
    }


def _listen(
    bound: Sequence[Bound], transport: DataPlaneTransport, quic: QuicListeners | None
) -> list[tuple[str, str, int]]:
    addresses = []
    for one in bound:
        addresses.append(one.address)
        if TRANSPORTS[one.transport].secure:
            assert quic is not None
            quic.listen(one.sockets, one.driver)
        elif one.card is not None:
            assert one.direct is not None
            transport.listen_rdma(one.card, one.transport, one.direct)
        else:
            transport.listen(one.sockets[0], one.transport, one.direct)
    return addresses


async def _drain(server: Service, timeout: float) -> None:
    """Waits for running requests, except those that wait for a client."""
    deadline = server.monotonic() + timeout
    while server.busy() and server.monotonic() < deadline:
        await asyncio.sleep(0.01)
