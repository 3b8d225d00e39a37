"""NEGOTIATE and SESSION_SETUP from the client's side ([MS-SMB2] 3.2.4.2, 3.2.5.2, 3.2.5.3)."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

import msgspec
from msgspec.structs import replace

from frevo.auth.kerberos import KerberosError
from frevo.auth.kerberos_initiator import KerberosInitiator
from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.client.connection.connection import Connection
from frevo.client.connection.messages import Element, Protection, Reply
from frevo.client.credentials import Credentials
from frevo.client.errors import ConnectionLost, LogonError, PeerFault, RemoteError, fault, remote_error
from frevo.errors import SMBError, WireError
from frevo.proto import preauth
from frevo.proto.dialect import Cipher
from frevo.proto.keys import derive_session_keys
from frevo.proto.negotiation import NegotiationPolicy
from frevo.proto.offer import accept, offer
from frevo.proto.protection import SessionKeys, client_keys
from frevo.proto.rdma import ways
from frevo.transport.base import ConnectionSettings
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    HeaderFlags,
    NegotiateRequest,
    NegotiateResponse,
    SecurityMode,
    SessionFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)

_SETUP_ROUNDS_MAX = 10
#: Why a server may close a connection instead of answering its first message.
_TURNED_AWAY = (
    "the server closed the connection without a response: it has too many clients, refuses this address, "
    "or supports only SMB1, which frevo does not"
)
#: ACCESS_DENIED as the response to a log-on.
_NOT_LIKE_THIS = (
    "the server refused this log-on: the user may not log on from here, or the server requires "
    "encryption (SMB 3)"
)


class Handshake(msgspec.Struct):
    """The result of NEGOTIATE, for the log-on and for VALIDATE_NEGOTIATE_INFO."""

    request: NegotiateRequest
    response: NegotiateResponse
    preauth_hash: bytes


class Session(msgspec.Struct):
    """A user that is logged on to a connection."""

    protection: Protection
    user: str
    guest: bool = False


async def negotiate(
    connection: Connection, policy: NegotiationPolicy, client_guid: bytes | None = None
) -> Handshake:
    """Agrees on dialect, signing and cipher. RemoteProtocolError for a response that violates the protocol."""
    request = offer(policy, client_guid or os.urandom(16), connection.server)
    try:
        reply, sent = await _exchange(connection, Command.NEGOTIATE, request.pack(), Protection())
    except ConnectionLost as error:
        if not isinstance(error, PeerFault):
            reason = str(error.strerror).rpartition("ended: ")[2]
            # Over QUIC the server has said why (TLS 1.3 judges the client's certificate after the handshake).
            told = reason.startswith("the server ")
            error.strerror, error.filename = reason if told else f"{_TURNED_AWAY} ({reason})", connection.server
        raise
    if reply.status != NTStatus.SUCCESS:
        sentence = ""
        if reply.status == NTStatus.NOT_SUPPORTED:
            sentence = f"the server supports no dialect from {policy.minimum.name} to {policy.maximum.name}"
        raise remote_error(reply.status, connection.server, "negotiating the dialect", sentence)
    response = NegotiateResponse.parse(reply.message)
    connection.negotiated = accept(request, response, policy)
    connection.multi_credit = connection.negotiated.multi_credit
    value = preauth.update(preauth.update(preauth.INITIAL, sent), reply.message)
    return Handshake(request, response, value)


async def _exchange(
    connection: Connection, command: int, body: bytes, protection: Protection
) -> tuple[Reply, bytes]:
    """The response of one request, and the request as it was sent, for the preauth hash."""
    await connection.reserve(1)
    pending = connection.send([Element(command, body)], protection)
    sent = connection.last_sent
    (reply,) = await connection.collect(pending)
    assert isinstance(sent, bytes)
    return reply, sent


async def log_on(
    connection: Connection,
    handshake: Handshake,
    credentials: Credentials,
    *,
    signing: bool = True,
    encryption: bool = False,
    mechanism: Any = None,
    rdma_threshold: int = 0,
) -> Session:
    """All rounds of SESSION_SETUP. LogonError if the server refuses the user.

    *mechanism*: a security context with `step`, `complete` and `session_key` to log on with, instead of one made from
    the credentials. *encryption*: required, but not from SMB if both sides rely on the transport. *rdma_threshold*: the
    fewest bytes of a READ or WRITE that the server moves by RDMA, 0 for none.
    """
    assert connection.negotiated is not None
    encryption = encryption and not connection.transport_security
    dialect = connection.negotiated.dialect
    mode = SecurityMode.SIGNING_REQUIRED if signing else SecurityMode.SIGNING_ENABLED
    context = mechanism or _mechanism(credentials, connection.server)
    reply, value = await _set_up(
        connection, credentials, context, Protection(), int(mode), handshake.preauth_hash
    )
    answer = SessionSetupResponse.parse(reply.message)
    session = Session(Protection(reply.header.session_id), credentials.user)
    # Some servers do not flag an anonymous session.
    if credentials.anonymous or answer.session_flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL):
        _accept_guest(credentials, connection.server, signing, encryption)
        session.guest = True
    else:
        keys = derive_session_keys(
            dialect, connection.negotiated.cipher, _session_key(context), value if dialect.contexts else b""
        )
        _protect(connection, session, reply, keys, signing, encryption, answer.session_flags)
    connection.plane.transport.set_connection(
        connection.number,
        ConnectionSettings(
            authenticated=True,
            max_read=connection.negotiated.max_read,
            multi_credit=connection.negotiated.multi_credit,
            rdma=ways(dialect, connection.negotiated.rdma_transforms) if rdma_threshold else 0,
            rdma_threshold=rdma_threshold,
        ),
    )
    return session


async def _set_up(
    connection: Connection, credentials: Credentials, context: Any, protection: Protection, mode: int, value: bytes
) -> tuple[Reply, bytes]:  # fmt: skip
    """The rounds of SESSION_SETUP: the last response, and the preauth hash before it."""
    token = await _step(context, None, connection.server)
    for _ in range(_SETUP_ROUNDS_MAX):
        body = SessionSetupRequest(security_mode=mode, security_buffer=token).pack()
        reply, sent = await _exchange(connection, Command.SESSION_SETUP, body, protection)
        value = preauth.update(value, sent)
        if reply.status != NTStatus.MORE_PROCESSING_REQUIRED:
            break
        if not protection.session_id:
            protection = Protection(reply.header.session_id)
        value = preauth.update(value, reply.message)
        answer = SessionSetupResponse.parse(reply.message)
        token = await _step(context, bytes(answer.security_buffer), connection.server)
    if reply.status != NTStatus.SUCCESS:
        who = credentials.user or ("anonymous" if credentials.anonymous else "guest")
        sentence = _NOT_LIKE_THIS if reply.status == NTStatus.ACCESS_DENIED else ""
        raise remote_error(reply.status, connection.server, f"logging on as {who}", sentence)
    answer = SessionSetupResponse.parse(reply.message)
    if answer.security_buffer and not context.complete:
        await _step(context, bytes(answer.security_buffer), connection.server)
    return reply, value


async def log_on_again(connection: Connection, session: Session, credentials: Credentials) -> None:
    """SESSION_SETUP on an expired session: the same id, the same keys, signed ([MS-SMB2] 3.2.4.2.3)."""
    if session.protection.keys is None:
        raise RemoteError(errno.ESTALE, "a guest's session cannot be renewed", connection.server)
    protection = replace(session.protection, sign=True, encrypt=False)
    mode = SecurityMode.SIGNING_REQUIRED if session.protection.sign else SecurityMode.SIGNING_ENABLED
    context = _mechanism(credentials, connection.server)
    await _set_up(connection, credentials, context, protection, int(mode), b"\0" * 64)


def _accept_guest(credentials: Credentials, server: str, signing: bool, encryption: bool) -> None:
    """Accepts being a guest only if the user requested it, as messages of guests are neither signed nor encrypted."""
    if encryption:
        raise LogonError(errno.EACCES, "guests cannot encrypt: log on as a user", server)
    if not (credentials.guest or credentials.anonymous):
        error = LogonError(
            errno.EACCES,
            (
                "the server logged this user on as a guest (unknown user?): check the name, or request a "
                "guest log-on"
            ),
            server,
        )
        error.ntstatus = NTStatus.SMB_GUEST_LOGON_BLOCKED_SIGNING_REQUIRED
        raise error


def _protect(
    connection: Connection,
    session: Session,
    reply: Reply,
    keys: Any,
    signing: bool,
    encryption: bool,
    flags: int,
) -> None:
    """Gives the data plane the keys, with which the last response of the log-on must be signed ([MS-SMB2]
    3.2.5.3.1)."""
    negotiated = connection.negotiated
    assert negotiated is not None
    server_wants = bool(flags & SessionFlags.ENCRYPT_DATA)
    if encryption and negotiated.cipher is Cipher.NONE:
        text = f"encryption is required, but the server chose {negotiated.dialect.name} without a cipher"
        raise RemoteError(errno.EACCES, text, connection.server)
    encrypt = (encryption or server_wants) and negotiated.cipher is not Cipher.NONE
    made: SessionKeys = client_keys(
        keys, negotiated.signing, negotiated.cipher, signing_required=signing, encryption_required=encrypt
    )
    signed = bool(reply.header.flags & HeaderFlags.SIGNED)
    if signed and not made.verify(reply.message):
        raise fault("the signature of the log-on response is wrong: the connection may be under attack")
    if not signed and (negotiated.dialect.contexts or signing):
        raise fault("the log-on response is not signed, but must be")
    protection = session.protection
    # 3.1.1 without encryption: TREE_CONNECT must be signed for preauth integrity; the rest as requested.
    protection.keys, protection.sign, protection.encrypt = made, signing or _required(connection), encrypt
    connection.plane.transport.set_session(connection.number, protection.session_id, made)


def _required(connection: Connection) -> bool:
    negotiated = connection.negotiated
    return negotiated is not None and bool(negotiated.security_mode & SecurityMode.SIGNING_REQUIRED)


def _mechanism(credentials: Credentials, server: str) -> Any:
    """The security context: NTLM in SPNEGO with a password, Kerberos with tickets."""
    target = f"cifs/{server}"
    if credentials.anonymous:
        return NTLMInitiator(None, target)
    user = credentials.user or ("guest" if credentials.guest else "")
    password = "" if credentials.guest and credentials.password is None else credentials.password
    try:
        if credentials.kerberos == "required" or (credentials.kerberos == "auto" and password is None):
            principal = f"{user}@{credentials.domain}" if user and credentials.domain else user
            return KerberosInitiator("cifs", server, principal)
        return NTLMInitiator(NTLMCredentials(user, password or "", credentials.domain), target)
    except (ValueError, KerberosError) as error:
        raise _no_logon(server, error) from None


async def _step(context: Any, token: bytes | None, server: str) -> bytes:
    try:
        if isinstance(context, KerberosInitiator):  # it may have to contact the KDC
            return await asyncio.to_thread(context.step, token)
        made: bytes = context.step(token)
        return made
    except WireError as error:
        raise fault(f"the server's log-on message is malformed ({error})") from None
    except (SMBError, KerberosError) as error:
        raise _no_logon(server, error) from None


def _session_key(context: Any) -> bytes:
    """The session key; PeerFault before the server has contributed to it.

    Otherwise anyone could answer with success at once and sign with keys derived from nothing.
    """
    key = bytes(context.session_key)
    if not key:
        raise fault("the server accepted the log-on without proving that it knows this user")
    return key


def _no_logon(server: str, error: BaseException) -> LogonError:
    reason = " ".join(str(error).split())
    text = f"cannot log on: {reason}; give a user and password, or get a Kerberos ticket with kinit"
    return LogonError(errno.EACCES, text, server)
