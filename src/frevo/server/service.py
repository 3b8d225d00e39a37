"""The running server: handles events of the transport, divides its time among users, reloads and shuts down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from frevo.aio.acting import act_as
from frevo.config import Config
from frevo.server.core.server import Server
from frevo.server.core.shares import build_shares, guard_of
from frevo.server.core.state import Connection
from frevo.server.core.turns import SLICE_S
from frevo.server.lifecycle import drop_connection, end_connection, end_session
from frevo.server.receive import receive
from frevo.server.rules.homes import forget_homes
from frevo.server.rules.hosts import HostGate, host_of, share_allows
from frevo.transport import base as events

if TYPE_CHECKING:
    from frevo.auth.authenticator import Authenticator
    from frevo.transport.base import Transport

log = logging.getLogger("frevo.server")


class Service(Server):
    """A running server: handles events of the transport, reloads its configuration, shuts down."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        authenticator: Authenticator,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, transport, authenticator, loop)
        self.hosts = HostGate(self, self.admit, self.on_events, self._turn_away)
        #: Messages that wait for a turn, by connection.
        self._backlog: dict[int, deque[tuple[Any, ...]]] = {}

    # -- events of the transport --------------------------------------------------------------------------------

    def on_events(self, batch: list[tuple[Any, ...]]) -> None:
        """Handles one batch of transport events (frevo.transport.base).

        Messages left after a slice of time wait for the turn of their connection.
        """
        backlog = self._backlog
        if len(batch) == 1 and not backlog:  # the usual one is short
            self._on_event(batch[0])
            return
        clock = self.turns.clock
        ends = 0.0  # each slice does something, even on a busy machine
        for event in batch:
            if event[0] == events.MESSAGE and (event[1] in backlog or (ends and clock() >= ends)):
                self._put_off(event)
            else:
                ends = ends or clock() + SLICE_S
                self._on_event(event)

    def _put_off(self, event: tuple[Any, ...]) -> None:
        """Keeps a message until it is its user's turn; later messages of the connection wait, too."""
        number = event[1]
        waiting = self._backlog.get(number)
        if waiting is not None:
            waiting.append(event)
            return
        connection = self.connections.get(number)
        if connection is not None:
            self._backlog[number] = deque((event,))
            self._call_catch_up(connection)

    def _call_catch_up(self, connection: Connection) -> None:
        self.turns.call(connection.party, lambda: self._catch_up(connection))

    def _catch_up(self, connection: Connection) -> None:
        """Handles waiting messages of *connection* for one slice."""
        waiting = self._backlog.get(connection.id)
        piece = self.turns.slice()
        while waiting:
            self._on_event(waiting.popleft())
            if piece.over():
                break
        if connection.closed or not waiting:
            self._backlog.pop(connection.id, None)
        else:
            self._call_catch_up(connection)

    def _abandon(self, number: int) -> None:
        act_as(None)
        connection = self.connections.get(number)
        if connection is None:
            return
        self.transport.close(number, abort=True)
        try:
            end_connection(self, connection)
        except Exception:
            log.exception("internal error while closing a connection")
            self.connections.pop(number, None)

    def _on_event(self, event: tuple[Any, ...]) -> None:
        kind, number = event[0], event[1]
        try:
            if kind == events.MESSAGE:
                connection = self.connections.get(number)
                if connection is not None:
                    receive(self, connection, event)
                else:
                    self.hosts.held(event)
                return
            act_as(None)  # closing opens takes the right user itself
            if kind == events.ACCEPTED:
                self.hosts.arrived(event)
            elif kind == events.SECURED:
                self._secured(event)
            elif kind == events.MOVED:
                self._moved(event)
            elif kind == events.CLOSED:
                self._closed(event)
            elif kind == events.IDLE:
                self._idle(event)
            elif kind == events.REJECTED:
                log.warning("%s refused: %s", event[2], event[3])
        except Exception:
            # An internal error ends this connection, but not the others in the batch.
            log.exception("internal error; closing the connection")
            self._abandon(number)

    def admit(self, event: tuple[Any, ...], names: frozenset[str] | None) -> None:
        """Adds a connection that `hosts allow` and `hosts deny` admit, or leaves one where it has moved; *names* of its
        machine, None if not looked up."""
        if event[0] == events.MOVED:
            self._check_shares(event[1], names)
            return
        _, number, listener, peer, local = event
        transport = self.transport.listener_name(listener)
        self.connections[number] = Connection(number, transport, peer, local, time.time(), host_names=names)
        log.info("%s connected by %s to %s", peer, transport, local)

    def _turn_away(self, number: int) -> None:
        """Ends a connection that is not admitted, also one that was, where it has moved from."""
        self.transport.close(number, abort=True)
        connection = self.connections.get(number)
        if connection is not None:
            end_connection(self, connection)

    def _secured(self, event: tuple[Any, ...]) -> None:
        connection = self.connections.get(event[1])
        if connection is None:
            self.hosts.held(event)
            return
        secured = connection.secured = events.Secured.of(event)
        who = ""
        if secured.peer_chain:
            from frevo.tls.load import subject_of  # takes long to import, and few clients have a certificate

            connection.peer_subject = subject_of(secured.peer_chain[0])
            who = f", certificate {connection.peer_subject} (SHA-256 {secured.fingerprint})"
        log.info("%s: %s for %s%s", connection.peer, secured.cipher, secured.server_name or "no name", who)

    def _moved(self, event: tuple[Any, ...]) -> None:
        """A client of QUIC has another address ([RFC 9000] 9): the rules for addresses hold there, too."""
        connection = self.connections.get(event[1])
        if connection is None:
            self.hosts.held(event)
            return
        # Each datagram may come from another port; from other machines only some may.
        same = host_of(connection.peer) == host_of(event[2])
        log.log(logging.DEBUG if same else logging.INFO, "%s is at %s now", connection.peer, event[2])
        connection.move(event[2])
        self.hosts.arrived(event)

    def _check_shares(self, number: int, names: frozenset[str] | None) -> None:
        """Ends a connection that has moved if a share in use does not allow its address."""
        connection = self.connections.get(number)
        if connection is None:
            return
        connection.host_names = names
        trees = [tree for session in connection.sessions.values() for tree in session.trees.values()]
        if not all(share_allows(tree.share.config, connection) for tree in trees):
            log.warning("%s refused: by `hosts allow` and `hosts deny` of a share in use", connection.peer)
            drop_connection(self, connection)

    def _closed(self, event: tuple[Any, ...]) -> None:
        self.hosts.gone(event[1])
        connection = self.connections.get(event[1])
        if connection is not None:
            log.info("%s disconnected: %s", connection.peer, event[2])
            end_connection(self, connection)

    def _idle(self, event: tuple[Any, ...]) -> None:
        """After `frevo:idle timeout` without a message, disconnects a client that has nothing open."""
        connection = self.connections.get(event[1])
        if connection is not None and not any(session.opens for session in connection.sessions.values()):
            log.info("%s: idle", connection.peer)
            drop_connection(self, connection)

    # -- reload and end ---------------------------------------------------------------------------------------

    def reload(self, config: Config, authenticator: Authenticator) -> None:
        """Takes a new configuration without disconnecting anyone: new connects use it, opens stay."""
        act_as(None)
        before, self.config, self.authenticator = self.shares, config, authenticator
        self.budgets.configure(config)
        self.hosts.take(config)
        self.guard = guard_of(config)
        forget_homes(self)
        self.shares = build_shares(config, self.guard, acted=self.unix_users is not None)
        for key, share in self.shares.items():
            old = before.get(key)
            if old is not None and old.config == share.config:
                self.shares[key] = old

    def busy(self) -> bool:
        """Whether a request is under way that will end by itself, so none that waits for a client."""
        return bool(self.turns) or any(
            not request.async_id
            for connection in self.connections.values()
            for request in connection.waiting.values()
        )

    def close_all(self) -> None:
        """Ends every session and connection, as at shutdown."""
        act_as(None)
        self.hosts.close()
        for connection in tuple(self.connections.values()):
            for session in tuple(connection.sessions.values()):
                end_session(self, session)
            drop_connection(self, connection)
        self.turns.drain()
        forget_homes(self)
        for share in self.shares.values():
            share.close()
