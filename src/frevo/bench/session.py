"""The session workload: SESSION_SETUP (log-on) and LOGOFF, repeated on each connection."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.bench.links import Link
from frevo.bench.load import PythonLoad
from frevo.bench.tally import Tally
from frevo.client import Credentials, RemoteError
from frevo.client.connection.logon import Session, log_on
from frevo.client.connection.messages import Element
from frevo.client.errors import remote_error
from frevo.wire.smb2 import Command, LogoffRequest

_LOGOFF = LogoffRequest().pack()


class SessionLoad(PythonLoad):
    """Like smb2.bench.session-setup: sessions come and go while the connection's first one stays."""

    parts: ClassVar[tuple[str, ...]] = ("setup", "logoff")
    needs_share: ClassVar[bool] = False

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """One for each request in flight on each connection."""
        return [self._loop(link) for link in self.links for _ in range(self.settings.qdepth)]

    async def _loop(self, link: Link) -> None:
        options = link.target.options
        credentials = options.credentials(link.target.location)
        ntlm = _ntlm(credentials)
        setups, logoffs = self.counts
        while self.more():
            started = time.perf_counter_ns()
            try:
                session = await log_on(
                    link.server.connection,
                    link.server.handshake,
                    credentials,
                    signing=options.signing,
                    encryption=options.encryption,
                    mechanism=ntlm and NTLMInitiator(ntlm, f"cifs/{link.server.connection.server}"),
                )
                setups.record(time.perf_counter_ns() - started)
                await self._log_off(link, session, logoffs)
            except RemoteError as error:
                setups.failed(error.ntstatus)
                if link.server.connection.lost:
                    raise

    @staticmethod
    async def _log_off(link: Link, session: Session, tally: Tally) -> None:
        connection = link.server.connection
        started = time.perf_counter_ns()
        reply = await connection.exchange(Element(Command.LOGOFF, _LOGOFF), session.protection)
        connection.plane.transport.drop_session(connection.number, session.protection.session_id)
        if reply.status:
            raise remote_error(reply.status)
        tally.record(time.perf_counter_ns() - started)


def _ntlm(credentials: Credentials) -> NTLMCredentials | None:
    """The hashes for NTLMv2, computed once; None for other log-ons."""
    password, another = credentials.password, credentials.guest or credentials.anonymous
    if another or password is None or credentials.kerberos == "required":
        return None
    return NTLMCredentials(credentials.user, password, credentials.domain)
