"""SESSION_SETUP: log-on, re-authentication, keys ([MS-SMB2] 3.3.5.5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from frevo.auth.failed_logons import WAIT_MAX_S
from frevo.auth.identity import StepResult
from frevo.config.choices import SIGNING_REQUIRED
from frevo.errors import SMBError
from frevo.proto import preauth
from frevo.proto.dialect import Cipher
from frevo.proto.keys import derive_session_keys
from frevo.proto.protection import server_keys
from frevo.server.core.budget import user_of
from frevo.server.core.request import Request
from frevo.server.core.state import Connection, Session, SessionState
from frevo.server.lifecycle import drop_keys, end_session, session_closed, watch_expiry
from frevo.server.rules.acting import check_log_on
from frevo.server.rules.encryption import encryption_on
from frevo.transport.base import ConnectionSettings
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    SecurityMode,
    SessionFlags,
    SessionSetupFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)

if TYPE_CHECKING:
    from frevo.auth.identity import Identity
    from frevo.server.core.server import Server

log = logging.getLogger("frevo.server")

_TICKS = 10_000_000
#: Most unfinished log-ons of one connection: limits what unauthenticated clients can make the server store.
LOG_ONS_MAX = 64
#: Characters of a claimed user name that the log shows.
NAME_SHOWN = 64


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """One leg of a log-on: SUCCESS, MORE_PROCESSING_REQUIRED, or an error that ends the session."""
    fields = SessionSetupRequest.parse(request.message)
    connection = request.connection
    if fields.flags & SessionSetupFlags.BINDING:
        # A second channel for a session: not offered in NEGOTIATE (no SMB2_GLOBAL_CAP_MULTI_CHANNEL).
        raise SMBError(NTStatus.REQUEST_NOT_ACCEPTED, "no session binding")
    if (
        encryption_on(connection, request.server.config.globals.defaults) == "required"
        and not connection.cipher
    ):
        raise SMBError(NTStatus.ACCESS_DENIED, "server smb encrypt = required, and the client cannot encrypt")
    session = _find_or_start(request, connection)
    request.session = session
    request.header.session_id = session.id
    if connection.dialect is not None and connection.dialect.contexts:
        session.preauth_hash = preauth.update(session.preauth_hash, request.message)
    session.deciding = True  # users may have to be looked up, and another leg may arrive meanwhile
    try:
        return _decide(request, session, fields)
    finally:
        session.deciding = False


def _decide(request: Request, session: Session, fields: SessionSetupRequest) -> bytes | Awaitable[bytes]:
    """The result of this leg, at once or later."""
    acceptor, connection = session.acceptor, request.connection
    verdict: StepResult | SMBError
    try:
        verdict = acceptor.step(fields.security_buffer)
    except SMBError as error:
        verdict = error
    _check_there(session)
    claim = acceptor.take_claim()
    wait_s = _wait_s(request, claim, verdict) if claim is not None else 0.0
    if wait_s <= 0:
        return _tell(request, session, fields, verdict, claim)
    if wait_s > WAIT_MAX_S:
        log.info("%s: log-on of %a refused: too many failed attempts", connection.peer, claim)
        _forget(request, session)
        raise SMBError(NTStatus.REQUEST_NOT_ACCEPTED, "too many failed log-ons")
    return _tell_later(request, session, fields, verdict, claim, wait_s)


def _check_there(session: Session) -> None:
    """Raises USER_SESSION_DELETED if the session has ended meanwhile."""
    if session.state is SessionState.GONE:
        raise SMBError(NTStatus.USER_SESSION_DELETED, f"session {session.id:#x}")


def _wait_s(request: Request, claim: str, verdict: StepResult | SMBError) -> float:
    """Seconds to delay the result for the password of *claim*; no other guess is accepted meanwhile."""
    server, settings = request.server, request.server.config.globals
    interval_s = settings.frevo_log_on_delay
    if not interval_s:
        return 0.0
    address = request.connection.address
    wait_s = server.failed_logons.wait_s(
        address, claim, free=settings.frevo_log_on_attempts, interval_s=interval_s
    )
    if wait_s <= WAIT_MAX_S and _is_wrong(server, claim, verdict):
        server.failed_logons.failed(address, claim, interval_s=interval_s)
    return wait_s


def _is_wrong(server: Server, claim: str, verdict: StepResult | SMBError) -> bool:
    """Whether a guess has failed. Becoming a guest because of a wrong password also counts."""
    if isinstance(verdict, SMBError):
        return True
    guest = verdict.identity is not None and verdict.identity.is_guest
    return guest and server.authenticator.accounts.lookup(claim) is not None


async def _tell_later(
    request: Request,
    session: Session,
    fields: SessionSetupRequest,
    verdict: StepResult | SMBError,
    claim: str | None,
    wait_s: float,
) -> bytes:
    """`_tell` after *wait_s* seconds. The connection is not logged on yet, and its time limit for that still runs."""
    session.deciding = True
    try:
        await asyncio.sleep(wait_s)
    finally:
        session.deciding = False
    _check_there(session)
    answer = _tell(request, session, fields, verdict, claim)
    return answer if isinstance(answer, bytes) else await answer


def _tell(
    request: Request,
    session: Session,
    fields: SessionSetupRequest,
    verdict: StepResult | SMBError,
    claim: str | None,
) -> bytes | Awaitable[bytes]:
    """The response to this leg."""
    if isinstance(verdict, SMBError):
        who = "log-on" if claim is None else f"log-on of {claim[:NAME_SHOWN]!a}"
        log.warning("%s: %s refused: %s", session.connection.peer, who, NTStatus(verdict.status).name)
        log.debug("%s: %a", session.connection.peer, str(verdict))
        _forget(request, session)
        raise verdict
    if not verdict.done:
        return _more(request, session, verdict)
    previous = _finish(request, session, fields, verdict)
    if claim is not None and not _is_wrong(request.server, claim, verdict):
        request.server.failed_logons.succeeded(session.connection.address, claim)
    answer = SessionSetupResponse(_session_flags(session), verdict.token).pack()
    if previous is not None and (previous.opens or previous.closing):
        return _when_closed(request, previous, answer)
    return answer


async def _when_closed(request: Request, previous: Session, answer: bytes) -> bytes:
    """*answer*, once no late write of the replaced session can overwrite what the client writes again."""
    await session_closed(request.server, previous, request.connection.party)
    return answer


def _find_or_start(request: Request, connection: Connection) -> Session:
    """The session that this leg belongs to; a new one for SessionId 0 ([MS-SMB2] 3.3.5.5.1)."""
    server, number = request.server, request.header.session_id
    if number == 0:
        if len(connection.sessions) >= server.config.globals.frevo_max_sessions_per_connection:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many sessions on this connection")
        if sum(one.identity is None for one in connection.sessions.values()) >= LOG_ONS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many unfinished log-ons on this connection")
        server.budgets.sessions.check(connection.party)
        session = Session(server.new_session_id(), connection, server.now(), user=connection.party)
        server.budgets.sessions.take(session.user)
        session.preauth_hash = connection.preauth_hash
        server.sessions[session.id] = connection.sessions[session.id] = session
    else:
        found = connection.sessions.get(number)
        if found is None:
            raise SMBError(NTStatus.USER_SESSION_DELETED, f"session {number:#x}")
        session = found
        if session.identity is not None and session.encrypt and not request.encrypted:
            raise SMBError(NTStatus.ACCESS_DENIED, "this session requires encryption")
    if session.deciding:
        raise SMBError(NTStatus.REQUEST_NOT_ACCEPTED, "the previous log-on has not been answered yet")
    if session.acceptor is None:
        session.acceptor = server.authenticator.begin()
    return session


def _more(request: Request, session: Session, step: StepResult) -> bytes:
    request.status = NTStatus.MORE_PROCESSING_REQUIRED
    # One credit is always granted, so that the header is final before it is hashed.
    request.header.credits = 1
    if session.connection.dialect is not None and session.connection.dialect.contexts:

        def hash_response(message: bytes) -> None:
            session.preauth_hash = preauth.update(session.preauth_hash, message)

        request.chain.before_sending = hash_response
    return SessionSetupResponse(0, step.token).pack()


def _finish(
    request: Request, session: Session, fields: SessionSetupRequest, step: StepResult
) -> Session | None:
    """Completes a successful log-on: identity, keys, expiry. Returns the session that this one has replaced."""
    server = request.server
    identity = step.identity
    assert identity is not None
    first = session.identity is None
    if not first and session.identity is not None and session.identity.sid != identity.sid:
        # Like Windows and Samba: a re-authentication may not change the user of a session.
        _forget(request, session)
        raise SMBError(NTStatus.ACCESS_DENIED, "re-authentication as a different user")
    if first:
        _count_for(request, session, user_of(identity))
    session.acceptor = None
    session.identity = identity
    session.tokens = {}
    try:
        check_log_on(server, session)
    except SMBError:
        _forget(request, session)
        raise
    _check_there(session)
    if first:
        _set_protection(request, session, fields, identity, step.session_key)
    session.state = SessionState.VALID
    session.expires_at = _expiry(request, identity)
    watch_expiry(server, session)
    request.sign = session.keys is not None
    if not identity.is_anonymous:  # anonymous users keep the limits of clients that have not logged on
        mark_authenticated(server, session)
    if first:
        log.info(
            "%s: %s logged on with %s",
            session.connection.peer,
            identity.account or "anonymous",
            identity.package,
        )
    return _replace_previous(server, session, fields.previous_session_id)


def _replace_previous(server: Server, session: Session, number: int) -> Session | None:
    """Ends the previous session that a client names ([MS-SMB2] 3.3.5.5.3) if it belongs to this user."""
    previous = server.sessions.get(number) if number and number != session.id else None
    if previous is None or previous.identity is None or session.identity is None:
        return None
    if previous.identity.sid != session.identity.sid:
        return None
    end_session(server, previous, waiting_status=NTStatus.USER_SESSION_DELETED)
    drop_keys(server, previous)
    return previous


def _count_for(request: Request, session: Session, user: str) -> None:
    """From now on, counts the session for *user*, and the connection, too, if this is its first session."""
    connection, budgets = session.connection, request.server.budgets
    try:
        budgets.sessions.check(user)
        if not connection.user:
            budgets.connections.check(user)
    except SMBError:
        _forget(request, session)
        raise
    budgets.sessions.give(session.user)
    budgets.sessions.take(user)
    session.user = user
    if not connection.user:
        budgets.connections.take(user)
        connection.user = connection.party = user


def _set_protection(
    request: Request, session: Session, fields: SessionSetupRequest, identity: Identity, session_key: bytes
) -> None:
    """Sets the keys and when to use them ([MS-SMB2] 3.3.5.5.3). Guests have no trustworthy keys."""
    connection, settings = session.connection, request.server.config.globals
    policy = encryption_on(connection, settings.defaults)
    if identity.is_guest or identity.is_anonymous:
        if policy == "required":
            _forget(request, session)
            raise SMBError(NTStatus.ACCESS_DENIED, "server smb encrypt = required, and guests cannot encrypt")
        return
    assert connection.dialect is not None
    session.signing_required = bool(
        fields.security_mode & SecurityMode.SIGNING_REQUIRED or settings.server_signing in SIGNING_REQUIRED
    )
    session.may_encrypt = connection.cipher is not Cipher.NONE
    session.encrypt = session.may_encrypt and policy in ("desired", "required")
    session.full_session_key = session_key
    keys = derive_session_keys(connection.dialect, connection.cipher, session_key, session.preauth_hash)
    session.keys = server_keys(
        keys,
        connection.signing,
        connection.cipher,
        signing_required=session.signing_required,
        encryption_required=session.encrypt,
    )
    request.server.transport.set_session(
        connection.id, session.id, session.keys, session.attached_opens
    )


def mark_authenticated(server: Server, session: Session) -> None:
    """Raises the limits of the connection to those of an authenticated user."""
    connection = session.connection
    assert connection.dialect is not None
    server.transport.set_connection(
        connection.id,
        ConnectionSettings(
            authenticated=True,
            max_read=connection.max_read,
            max_write=connection.max_write,
            multi_credit=connection.multi_credit,
            user=server.budgets.number_of(connection.user),
            rdma=connection.rdma,
        ),
    )


def _expiry(request: Request, identity: Identity) -> float | None:
    """The time on the monotonic clock of the server when the session must authenticate again."""
    server = request.server
    ends = []
    if identity.expires is not None:
        ends.append((identity.expires - server.now()) / _TICKS)
    if server.config.globals.frevo_max_session_lifetime:
        ends.append(server.config.globals.frevo_max_session_lifetime)
    return server.monotonic() + min(ends) if ends else None


def _session_flags(session: Session) -> int:
    flags = 0
    if session.identity is not None and session.identity.is_guest:
        flags |= SessionFlags.IS_GUEST
    if session.identity is not None and session.identity.is_anonymous:
        flags |= SessionFlags.IS_NULL
    if session.encrypt:
        flags |= SessionFlags.ENCRYPT_DATA
    return int(flags)


def _forget(request: Request, session: Session) -> None:
    """Ends the session of a failed log-on ([MS-SMB2] 3.3.5.5.3)."""
    server = request.server
    end_session(server, session)
    request.chain.after_sending = lambda: drop_keys(server, session)
