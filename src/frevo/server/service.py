"""The server: what it holds, how messages reach it from the data plane and how answers leave."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frevo.aio.acting import act_as
from frevo.auth.guesses import Guesses
from frevo.config import Config, expand
from frevo.dcerpc import RpcContext
from frevo.errors import RemoteProtocolError, SMBError, WireError
from frevo.locking.file_table import FileRecord, FileTable
from frevo.locking.file_table import Gate as FileGate
from frevo.server.core.budget import Budgets
from frevo.server.core.lanes import Lanes
from frevo.server.core.request import Chain, Request
from frevo.server.core.shares import Share, build_shares, describe, guard_of
from frevo.server.core.state import Connection, Open, Session, SessionState
from frevo.server.core.turns import SLICE_S, Turns
from frevo.server.handlers.lock import release_all
from frevo.server.handlers.negotiate import handle_smb1
from frevo.server.lifecycle import end_connection, end_session, expire_session
from frevo.server.pipes.account_names import directory
from frevo.server.receive import EMPTY_ERROR, Work, response_header
from frevo.server.rules.acting import unix_users_of
from frevo.server.rules.homes import Homes
from frevo.server.rules.hosts import HostGate
from frevo.server.rules.visibility import may_see
from frevo.transport import base as events
from frevo.transport.base import AttachedOpen, Gate, Position
from frevo.vfs.filesystems import mounts
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.vfs.offloaded import offloaded, offloaded_handle
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Header, HeaderFlags

if TYPE_CHECKING:
    from frevo.auth.authenticator import Authenticator
    from frevo.server.core.lane import Lane
    from frevo.server.core.unix_users import UnixUsers
    from frevo.transport.base import Transport
    from frevo.vfs.base import Backend

log = logging.getLogger("frevo.server")

SEAL = events.SEAL
#: After so long it is looked again whether a user has read its answers.
OVER_WAIT_S = 0.05
_ASYNC = int(HeaderFlags.ASYNC_COMMAND)
_SIGNED = int(HeaderFlags.SIGNED)


class Server:
    """One SMB server: shares, users, and every connection. Runs in one event loop; not thread-safe.

    `transport` is what moves bytes (the data plane's driver, or the memory transport in tests).
    """

    def __init__(
        self,
        config: Config,
        transport: Transport,
        authenticator: Authenticator,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.config = config
        self.transport = transport
        self.authenticator = authenticator
        self.loop = loop
        self.guid = secrets.token_bytes(16)
        self.started_at = time.time()
        #: The Unix users that sessions act as; None when everybody acts as the server's own user.
        self.unix_users: UnixUsers | None = unix_users_of(config)
        self.guard = guard_of(config)
        self.shares: dict[str, Share] = build_shares(config, self.guard, acted=self.unix_users is not None)
        self.lanes = Lanes(loop)
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[int, Session] = {}
        self.opens: dict[int, Open] = {}
        self.files = FileTable(Gate)
        self._next_open_id = secrets.randbits(24) + 1
        self._next_async_id = 1
        self.hosts = HostGate(self)
        self.homes = Homes(self)
        self.draining = False
        self.turns = Turns(loop)
        self.budgets = Budgets(config)
        self.guesses = Guesses(self.monotonic)
        #: Messages that came while there was no time for them, by connection: the next of each, turn by turn.
        self._backlog: dict[int, deque[tuple[Any, ...]]] = {}

    # -- clock and numbers ------------------------------------------------------------------------------------

    def now(self) -> int:
        """Wall clock as FILETIME."""
        return from_unix_ns(time.time_ns())

    def monotonic(self) -> float:
        """Seconds on the clock that session expiry and timeouts use."""
        return self.loop.time()

    def new_open_id(self) -> int:
        """A volatile file id that no open has."""
        self._next_open_id += 1
        return self._next_open_id

    def new_session_id(self) -> int:
        """An unpredictable session id that no session has."""
        while True:
            number = secrets.randbits(63)
            if number and number not in self.sessions:
                return number

    # -- what the transport says --------------------------------------------------------------------------------

    def on_events(self, batch: list[tuple[Any, ...]]) -> None:
        """Takes one batch of transport events (frevo.transport.base).

        What is left of it after a slice of time waits: each connection's messages for the connection's turn.
        """
        backlog, pressed = self._backlog, self.transport.pressed
        if len(batch) == 1 and not backlog and not pressed:  # the usual one is short
            self._on_event(batch[0])
            return
        clock = self.turns.clock
        ends = 0.0  # a slice does at least one thing, also on a machine that takes the processor away from it
        for event in batch:
            if event[0] == events.MESSAGE and (
                event[1] in backlog or pressed or (ends and clock() >= ends)
            ):
                self._put_off(event)
            else:
                ends = ends or clock() + SLICE_S
                self._on_event(event)

    def _put_off(self, event: tuple[Any, ...]) -> None:
        """Keeps a message until it is its party's turn; a connection's later messages stay behind it."""
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
        """Sees to it that the messages of *connection* are gone on with: in a while, where so many answers to its
        user have not been read that there are to be no more of them."""
        if self.transport.pressed and self.transport.is_over(self.budgets.number_of(connection.user)):
            self.loop.call_later(OVER_WAIT_S, self._call_catch_up, connection)
        else:
            self.turns.call(connection.party, lambda: self._catch_up(connection))

    def _catch_up(self, connection: Connection) -> None:
        """A slice of the messages that wait on *connection*."""
        waiting = self._backlog.get(connection.id)
        piece = self.turns.slice()
        while waiting:
            self._on_event(waiting.popleft())
            if piece.over() or self.transport.pressed:
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
            log.exception("internal error while a connection ended")
            self.connections.pop(number, None)

    def _on_event(self, event: tuple[Any, ...]) -> None:
        kind, number = event[0], event[1]
        try:
            if kind == events.MESSAGE:
                connection = self.connections.get(number)
                if connection is not None:
                    self._receive(connection, event)
                else:
                    self.hosts.held(event)
                return
            act_as(None)  # what ends a connection says itself for which user
            if kind == events.ACCEPTED:
                self.hosts.arrived(event)
            elif kind == events.CLOSED:
                self._closed(event)
            elif kind == events.IDLE:
                self._idle(event)
            elif kind == events.REJECTED:
                log.warning("%s refused: %s", event[2], event[3])
        except Exception:
            # A fault of ours: it may cost the connection that met it, but not the others in this batch.
            log.exception("internal error; the connection is closed")
            self._abandon(number)

    def admit(self, event: tuple[Any, ...], names: frozenset[str] | None) -> None:
        """A connection that `hosts allow` and `hosts deny` let in; *names* of its machine, None when unknown."""
        _, number, listener, peer, local = event
        transport = self.transport.listener_name(listener)
        self.connections[number] = Connection(number, transport, peer, local, time.time(), host_names=names)
        log.info("%s connected by %s to %s", peer, transport, local)

    def _closed(self, event: tuple[Any, ...]) -> None:
        connection = self.connections.get(event[1])
        if connection is not None:
            log.info("%s disconnected: %s", connection.peer, event[2])
            end_connection(self, connection)
        else:
            self.hosts.gone(event[1])

    def _idle(self, event: tuple[Any, ...]) -> None:
        """`frevo:idle timeout` has passed without a message: who has nothing open is sent away."""
        connection = self.connections.get(event[1])
        if connection is not None and not any(session.opens for session in connection.sessions.values()):
            log.info("%s: idle", connection.peer)
            self.drop(connection)

    def _receive(self, connection: Connection, event: tuple[Any, ...]) -> None:
        _, _, sealed_session, _, message, bad, unverified = event
        try:
            if message[0] == 0xFF:
                self.send_chain_raw(connection, 0, handle_smb1(self, connection, message))
            else:
                Work(self, connection, message, sealed_session, bad, unverified).run()
        except (RemoteProtocolError, WireError, SMBError) as error:
            self.blame(connection, error)

    def guarded(self, connection: Connection, action: Callable[[], None]) -> None:
        """Runs *action*; what the peer did wrong ends its connection and nothing else."""
        try:
            action()
        except (RemoteProtocolError, WireError, SMBError) as error:
            self.blame(connection, error)

    def blame(self, connection: Connection, error: Exception) -> None:
        """Ends the connection of a peer that broke the rules."""
        log.info("%s: %s", connection.peer, error)
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Ends a connection at once."""
        self.transport.close(connection.id)
        end_connection(self, connection)

    # -- answers ---------------------------------------------------------------------------------------------

    def send_chain(self, connection: Connection, chain: Chain) -> None:
        """Sends the answers of a compound, as one compound ([MS-SMB2] 3.3.4.1.3)."""
        responses = chain.responses
        if not responses:
            return
        if len(responses) == 1:
            header, body = responses[0]
            message = header.pack() + body
        else:
            message = _join(responses)
        session_id = chain.sealed_session or responses[-1][0].session_id
        chain.responses = []
        if chain.before_sending is not None:
            chain.before_sending(message)
            chain.before_sending = None
        if not connection.closed:  # as send_chain_raw
            self.transport.submit(connection.id, session_id, SEAL if chain.sealed_session else 0, message)
        if chain.after_sending is not None:
            chain.after_sending()
            chain.after_sending = None

    def send_chain_raw(self, connection: Connection, session_id: int, message: bytes, flags: int = 0) -> None:
        """Hands a complete message to the data plane, which grants credits, signs or seals it and frames it."""
        if not connection.closed:
            self.transport.submit(connection.id, session_id, flags, message)

    def send_interim(self, request: Request) -> None:
        """STATUS_PENDING now, the answer later ([MS-SMB2] 3.3.4.2). What was ready before goes out first.

        It is not signed: the answer will be, and with AES-GMAC two messages under one id give the key away.
        """
        connection, chain = request.connection, request.chain
        self.send_chain(connection, chain)
        request.async_id = self._next_async_id
        self._next_async_id += 1
        connection.waiting_async[request.async_id] = request
        header = response_header(request, NTStatus.PENDING)
        header.flags = header.flags & ~_SIGNED | _ASYNC
        header.async_id = request.async_id
        flags = SEAL if request.sealed else 0
        self.send_chain_raw(
            connection, chain.sealed_session or header.session_id, header.pack() + EMPTY_ERROR, flags
        )

    def send_async(self, request: Request, header: Header, body: bytes) -> None:
        """The final answer of a request that went async: no credits, they came with the interim response."""
        header.flags |= _ASYNC
        header.async_id = request.async_id
        header.credits = 0
        session_id = request.chain.sealed_session or header.session_id
        self.send_chain_raw(
            request.connection, session_id, header.pack() + body, SEAL if request.sealed else 0
        )

    # -- files -----------------------------------------------------------------------------------------------

    def gate_of(self, record: FileRecord) -> FileGate | None:
        """The gate that keeps the data plane off a file; None when there is no fast path."""
        return self.files.gate(record)

    def release_locks(self, opened: Open) -> None:
        """Drops every byte-range lock of an open that closes."""
        release_all(self, opened)

    def attach(self, opened: Open) -> None:
        """Lets the data plane answer READs of this open by itself from now on, where it can."""
        handle, record, session = opened.handle, opened.record, opened.session
        if not self.config.globals.frevo_fast_path or handle is None or record is None or handle.fd is None:
            return
        gate = self.gate_of(record)
        descriptors = self.budgets.descriptors
        if not isinstance(gate, Gate) or session.keys is None or not descriptors.room(session.user):
            return
        descriptors.take(session.user)
        opened.descriptors += 1
        position = Position()
        position.value, opened.cursor = opened.position, position
        attached = AttachedOpen(
            session_id=session.id,
            tree_id=opened.tree.id,
            file_id=opened.file_id,
            fd=handle.fd,
            gate=gate,
            encrypted_only=opened.tree.encrypt,
            position=position,
        )
        self.transport.attach(session.connection.id, attached)
        opened.attached = True

    def watch_expiry(self, session: Session) -> None:
        """Ends a session's validity in time, also when only the data plane serves it."""
        deadline = session.expires_at
        if deadline is not None:
            self.loop.call_at(deadline, self._expire, session, deadline)

    def _expire(self, session: Session, deadline: float) -> None:
        if session.expires_at == deadline and session.state is SessionState.VALID:
            expire_session(self, session)

    def rpc_context(self, session: Session) -> RpcContext:
        """What the RPC services may know when this session opens a pipe."""
        settings, identity = self.config.globals, session.identity
        known = identity is not None and not identity.is_anonymous
        return RpcContext(
            server_name=settings.netbios_name,
            domain=settings.workgroup,
            comment=expand(settings.server_string, server=settings.netbios_name),
            shares=describe(
                (*self.shares.values(), *self.homes.listed(session)),
                lambda share: may_see(self, session, share),
            ),
            is_admin=identity is not None and identity.is_admin,
            now=self.now(),
            logged_on_users=len(self.sessions),
            names=directory(self.authenticator, settings.netbios_name, settings.workgroup) if known else None,
            may_list=identity is not None and known and not identity.is_guest,
            user=identity.account if identity is not None else "",
            user_domain=settings.netbios_name.upper(),
        )

    # -- reload and end ---------------------------------------------------------------------------------------

    def reload(self, config: Config, authenticator: Authenticator) -> None:
        """Takes a new configuration without dropping anybody: new connects see it, what is open stays."""
        act_as(None)
        before, self.config, self.authenticator = self.shares, config, authenticator
        self.budgets.configure(config)
        self.hosts.take(config)
        self.homes.take(config)
        self.guard = guard_of(config)
        self.shares = build_shares(config, self.guard, acted=self.unix_users is not None)
        for key, share in self.shares.items():
            old = before.get(key)
            if old is not None and old.config == share.config:
                self.shares[key] = old

    def mounts_changed(self) -> None:
        """The table of mounts is another one: a tree below which a slow file system was mounted gets its lane."""
        act_as(None)
        table = mounts()
        for share in (*self.shares.values(), *self.homes.in_use()):
            for path, backend in tuple(share.backends.items()):
                if isinstance(backend, LocalBackend):
                    lane = self.lanes.of(path, share.config, table)
                    if lane is not None:
                        share.backends[path], share.lanes[path] = offloaded(backend, lane), lane
                        self._move_to_lane(backend, share.backends[path], lane)

    def _move_to_lane(self, before: LocalBackend, after: Backend, lane: Lane) -> None:
        for session in self.sessions.values():
            for tree in session.trees.values():
                if tree.backend is before:
                    tree.backend, tree.lane = after, lane
        for opened in self.opens.values():
            handle = opened.handle
            if opened.tree.lane is lane and isinstance(handle, LocalHandle):
                opened.handle = offloaded_handle(handle, lane)

    def busy(self) -> bool:
        """Whether a request is being worked on that will end by itself (one that waits for a client may never)."""
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
            self.drop(connection)
        self.turns.drain()
        self.homes.close()
        for share in self.shares.values():
            share.close()


def _join(responses: list[tuple[Header, bytes]]) -> bytes:
    """Several answers as one compound: each but the last padded to 8 bytes, NextCommand set."""
    out = bytearray()
    last = len(responses) - 1
    for index, (header, body) in enumerate(responses):
        size = 64 + len(body)
        padded = size if index == last else (size + 7) & ~7
        header.next_command = 0 if index == last else padded
        out += header.pack()
        out += body
        out += bytes(padded - size)
    return bytes(out)
