"""QUIC listeners and their certificates, which are looked after while the server runs."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING

from frevo.status.snapshot import CertificateStatus
from frevo.tls.server import CHECK_SECONDS, ServerCertificates
from frevo.tls.settings import settings_of
from frevo.tls.warnings import date_warning
from frevo.transport.kernel_quic import missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frevo.config import Config
    from frevo.transport.dataplane import DataPlaneTransport

log = logging.getLogger(__name__)


class QuicListeners:
    """Listeners with TLS. What they present and whom they admit follows the files, at most CHECK_SECONDS late."""

    def __init__(
        self, config: Config, transport: DataPlaneTransport, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Reads the certificates, or makes one. Raises TlsError or PrivateFileError."""
        self._transport = transport
        self._loop = loop
        self._source = ServerCertificates(settings_of(config.globals))
        self._wanted = config.globals.frevo_quic_driver
        self._numbers: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def listen(self, sockets: Sequence[socket.socket], driver: str) -> None:
        """Accepts connections on the sockets of one address, which are taken over. *driver*: user or kernel."""
        tls = self._source.current()
        if driver == "kernel":
            log.info("QUIC: sockets of the kernel")
            self._numbers.append(self._transport.listen_quic_kernel(sockets[0], tls))
        else:
            if self._wanted != "user":
                log.info("QUIC in user space: the kernel has no QUIC sockets (%s)", missing())
            self._numbers.append(self._transport.listen_quic(sockets, tls))
        if self._timer is None:
            self._look()

    @property
    def certificates(self) -> list[CertificateStatus]:
        """What is presented, for people."""
        now, found = time.time(), []
        for path, pair in self._source.pairs:
            facts = pair.facts
            dates = date_warning(facts, now, f"the certificate {path}")
            warning = "; ".join(filter(None, (self._source.failure, dates)))
            found.append(
                CertificateStatus(facts.subject, facts.names, facts.fingerprint, facts.not_after_s, warning)
            )
        return found

    def reload(self, config: Config) -> None:
        """Takes a new configuration; if its certificates cannot be used, the log says so and the old ones stay."""
        if self._source.reconfigure(settings_of(config.globals)):
            self._present()

    def close(self) -> None:
        """Looks after nothing any more. The transport closes the listeners."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(CHECK_SECONDS, self._look)
        if self._source.changed():
            self._present()

    def _present(self) -> None:
        for number in self._numbers:
            self._transport.set_quic_tls(number, self._source.current())
