"""NEGOTIATE and SESSION_SETUP from the client's side: rounds, keys, guests, and answers that must be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.auth.kerberos import KerberosError
from frevo.auth.ntlm_initiator import NTLMInitiator
from frevo.client.connection import logon
from frevo.client.connection.logon import Handshake, Session, log_on, log_on_again, negotiate
from frevo.client.connection.messages import Element, Pending, Protection, Reply
from frevo.client.credentials import Credentials
from frevo.client.errors import ConnectionLost, LogonError, PeerFault, RemoteError, lost
from frevo.errors import RemoteProtocolError, SMBError, WireError
from frevo.proto.dialect import SMB_3_0_2, SMB_3_1_1, Cipher, Dialect, Signing
from frevo.proto.keys import derive_session_keys
from frevo.proto.negotiation import Negotiated, NegotiationPolicy
from frevo.proto.preauth import INITIAL, update
from frevo.proto.protection import server_keys
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    Header,
    HeaderFlags,
    NegotiateRequest,
    NegotiateResponse,
    SecurityMode,
    SessionFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)

KEY = bytes(range(16))
SESSION = 0x77
MORE = int(NTStatus.MORE_PROCESSING_REQUIRED)
EVE = Credentials("eve", "secret")
POLICY = NegotiationPolicy(
    SMB_3_0_2, SMB_3_1_1, True, (Signing.AES_CMAC,), (Cipher.AES_128_GCM,), 1 << 20, 1 << 20, 1 << 20
)


class Connection:
    """Gives the *answers* in turn: a message, or an exception. Requests have a header of zeros."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.server, self.number, self.multi_credit = "server", 1, False
        self.negotiated: Negotiated | None = None
        self.transport_security = False
        self.last_sent: bytes = b""
        self.requests: list[bytes] = []
        self.protections: list[Protection] = []
        self.sessions: dict[int, Any] = {}
        self.settings: list[Any] = []
        self.plane = SimpleNamespace(
            transport=SimpleNamespace(
                set_session=lambda number, session_id, keys: self.sessions.update({session_id: keys}),
                set_connection=lambda number, settings: self.settings.append(settings),
            )
        )

    async def reserve(self, charge: int) -> None:
        """There are always credits."""

    def send(self, elements: Sequence[Element], protection: Protection) -> list[Pending]:
        self.last_sent = bytes(64) + elements[0].body
        self.requests.append(self.last_sent)
        self.protections.append(protection)
        return []

    async def collect(self, pending: Sequence[Pending]) -> list[Reply]:
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(self)
        if isinstance(answer, Exception):
            raise answer
        return [Reply(Header.parse(answer).status, answer)]


def message(
    body: bytes = b"", status: int = 0, command: int = Command.SESSION_SETUP, flags: int = 0
) -> bytes:
    header = Header(
        command=command, status=int(status), session_id=SESSION, flags=flags | HeaderFlags.SERVER_TO_REDIR
    )
    return header.pack() + body


class Mechanism:
    """A security context of *rounds* tokens; its key is there after the last one."""

    def __init__(self, rounds: int = 2, key: bytes = KEY) -> None:
        self.rounds, self.key, self.taken = rounds, key, list[bytes | None]()

    def step(self, token: bytes | None) -> bytes:
        self.taken.append(token)
        return b"token%d" % len(self.taken)

    @property
    def complete(self) -> bool:
        return len(self.taken) >= self.rounds

    @property
    def session_key(self) -> bytes:
        return self.key if self.complete else b""


def negotiated(
    dialect: Dialect = SMB_3_1_1, cipher: Cipher = Cipher.AES_128_GCM, mode: int = 1
) -> Negotiated:
    return Negotiated(dialect, Signing.AES_CMAC, cipher, 0, mode, 1 << 20, 1 << 20, 1 << 20, [])


HANDSHAKE = Handshake(NegotiateRequest(), NegotiateResponse(), INITIAL)


def setup(token: bytes = b"", flags: int = 0, status: int = 0, signed: int = 0) -> bytes:
    return message(SessionSetupResponse(flags, token).pack(), status, flags=signed)


def signed_success(dialect: Dialect = SMB_3_1_1, key: bytes = KEY, flags: int = 0) -> Any:
    """The last answer, signed with keys from *key* and what was said before, as an honest server does."""

    def answer(connection: Connection) -> bytes:
        value = INITIAL
        value = update(value, connection.requests[0])
        value = update(value, setup(b"challenge", status=MORE))
        value = update(value, connection.requests[1])
        made = derive_session_keys(dialect, Cipher.AES_128_GCM, key, value if dialect.contexts else b"")
        keys = server_keys(
            made, Signing.AES_CMAC, Cipher.AES_128_GCM, signing_required=True, encryption_required=False
        )
        return bytes(keys.sign(setup(flags=flags, signed=int(HeaderFlags.SIGNED))))

    return answer


async def logged_on(
    *answers: Any, credentials: Credentials = EVE, known: Negotiated | None = None, mechanism: Any = None,
    **options: bool,
) -> tuple[Session, Connection]:  # fmt: skip
    connection = Connection(*answers)
    connection.negotiated = known or negotiated()
    made = await log_on(
        cast(Any, connection), HANDSHAKE, credentials, mechanism=mechanism or Mechanism(), **options
    )
    return made, connection


CHALLENGE = setup(b"challenge", status=MORE)


async def test_two_rounds() -> None:
    """Tokens go to and fro, the second request has the session's id, and the data plane gets the keys."""
    mechanism = Mechanism()
    session, connection = await logged_on(CHALLENGE, signed_success(), mechanism=mechanism)
    requests = [SessionSetupRequest.parse(one) for one in connection.requests]
    assert [bytes(one.security_buffer) for one in requests] == [b"token1", b"token2"]
    assert mechanism.taken == [None, b"challenge"]
    assert [one.session_id for one in connection.protections] == [0, SESSION]
    protection = session.protection
    assert (protection.session_id, protection.sign, protection.encrypt) == (SESSION, True, False)
    assert connection.sessions == {SESSION: protection.keys} and len(connection.settings) == 1
    assert session.user == "eve" and not session.guest


@pytest.mark.parametrize(
    ("options", "flags", "cipher", "sign", "encrypt"),
    [
        ({"signing": False}, 0, Cipher.AES_128_GCM, False, False),
        ({"signing": False, "encryption": True}, 0, Cipher.AES_128_GCM, False, True),
        ({}, int(SessionFlags.ENCRYPT_DATA), Cipher.AES_128_GCM, True, True),  # the server wants it
    ],
)
async def test_signing_and_encryption(
    options: dict[str, bool], flags: int, cipher: Cipher, sign: bool, encrypt: bool
) -> None:
    """As asked for, and more where the server wants it."""
    session, connection = await logged_on(CHALLENGE, signed_success(flags=flags), **options)
    assert (session.protection.sign, session.protection.encrypt) == (sign, encrypt)
    mode = SessionSetupRequest.parse(connection.requests[0]).security_mode
    assert bool(mode & SecurityMode.SIGNING_REQUIRED) is options.get("signing", True)


async def test_a_server_that_requires_signing() -> None:
    """signing=False does not help against a server that demands it."""
    known = negotiated(mode=int(SecurityMode.SIGNING_REQUIRED))
    session, _ = await logged_on(CHALLENGE, signed_success(), known=known, signing=False)
    assert session.protection.sign


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (setup(), "not signed"),
        (signed_success(key=bytes(16)), "signature of the log-on response is wrong"),
    ],
)
async def test_a_response_of_an_impostor(last: Any, text: str) -> None:
    """Without the password nobody can sign the last response ([MS-SMB2] 3.2.5.3.1)."""
    with pytest.raises(PeerFault, match=text):
        await logged_on(CHALLENGE, last)


async def test_success_at_once() -> None:
    """The server has not proved that it knows the user: there is no key yet, and an empty one must not be used."""
    with pytest.raises(PeerFault, match="without proving"):
        await logged_on(setup(signed=int(HeaderFlags.SIGNED)), mechanism=Mechanism(rounds=2, key=b""))


async def test_encryption_that_cannot_be() -> None:
    """A server without a cipher, when encryption was demanded."""
    with pytest.raises(RemoteError, match="without a cipher"):
        await logged_on(CHALLENGE, signed_success(), known=negotiated(cipher=Cipher.NONE), encryption=True)


@pytest.mark.parametrize(
    ("credentials", "flags", "options", "text"),
    [
        (EVE, SessionFlags.IS_GUEST, {}, "as a guest"),
        (EVE, SessionFlags.IS_NULL, {}, "as a guest"),
        (Credentials(guest=True), SessionFlags.IS_GUEST, {}, None),
        (Credentials(anonymous=True), 0, {}, None),  # some servers do not flag it
        (Credentials(anonymous=True), SessionFlags.IS_NULL, {"encryption": True}, "guests cannot encrypt"),
    ],
)
async def test_guests(
    credentials: Credentials, flags: int, options: dict[str, bool], text: str | None
) -> None:
    """Only on request: a guest's messages are neither signed nor encrypted."""
    work = logged_on(CHALLENGE, setup(flags=int(flags)), credentials=credentials, **options)
    if text is None:
        session, _ = await work
        assert session.guest and session.protection.keys is None
    else:
        with pytest.raises(LogonError, match=text):
            await work


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (NTStatus.LOGON_FAILURE, LogonError, "wrong user or password .logging on as eve"),
        (NTStatus.ACCESS_DENIED, PermissionError, "may not log on from here"),
        (NTStatus.ACCOUNT_LOCKED_OUT, LogonError, "locked"),
    ],
)
async def test_refusals(status: int, kind: type[OSError], text: str) -> None:
    """The status, and what it means for a log-on."""
    with pytest.raises(kind, match=text):
        await logged_on(CHALLENGE, message(status=int(status)))


async def test_rounds_without_an_end() -> None:
    """A server that always wants another round does not keep the client busy for ever."""
    mechanism = Mechanism(rounds=99)
    with pytest.raises(RemoteError, match="MORE_PROCESSING_REQUIRED"):
        await logged_on(*[CHALLENGE] * 50, mechanism=mechanism)
    assert len(mechanism.taken) < 15


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (WireError("short"), PeerFault, "log-on message is malformed"),
        (SMBError(NTStatus.LOGON_FAILURE, "no such realm"), LogonError, "no such realm"),
        (KerberosError("no ticket"), LogonError, "no ticket; give a user"),
    ],
)
async def test_a_mechanism_that_fails(error: Exception, kind: type[OSError], text: str) -> None:
    """What the server sent is its fault; what is missing here is told with what to do."""

    class Fails(Mechanism):
        def step(self, token: bytes | None) -> bytes:
            raise error

    with pytest.raises(kind, match=text):
        await logged_on(CHALLENGE, mechanism=Fails())


async def test_a_log_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same session, signed; a guest's cannot be renewed."""
    monkeypatch.setattr(logon, "_mechanism", lambda credentials, server: Mechanism())
    connection = Connection(CHALLENGE, setup())
    session = Session(Protection(SESSION, cast(Any, object()), False, True), "eve")
    await log_on_again(cast(Any, connection), session, EVE)
    assert [(one.session_id, one.sign, one.encrypt) for one in connection.protections] == [
        (SESSION, True, False)
    ] * 2
    with pytest.raises(RemoteError, match="guest"):
        await log_on_again(cast(Any, connection), Session(Protection(SESSION), "", True), EVE)


@pytest.mark.parametrize(
    ("credentials", "kerberos"),
    [
        (Credentials("eve", "pw"), False),
        (Credentials("eve"), True),  # no password: a ticket
        (Credentials("eve", "pw", kerberos="required"), True),
        (Credentials("eve", kerberos="off"), False),
        (Credentials(guest=True), False),
        (Credentials(anonymous=True), False),
    ],
)
def test_which_mechanism(monkeypatch: pytest.MonkeyPatch, credentials: Credentials, kerberos: bool) -> None:
    """NTLM with a password, Kerberos without one."""
    monkeypatch.setattr(logon, "KerberosInitiator", lambda *_: "kerberos")
    made = logon._mechanism(credentials, "server")
    assert (made == "kerberos") is kerberos and (kerberos or isinstance(made, NTLMInitiator))


async def test_negotiating() -> None:
    """The answer decides about credits, and both messages go into the preauthentication hash."""
    sizes = {"max_transact_size": 1 << 20, "max_read_size": 1 << 20, "max_write_size": 1 << 20}
    answer = message(NegotiateResponse(1, 0x0302, capabilities=4, **sizes).pack(), command=Command.NEGOTIATE)
    connection = Connection(answer)
    shaken = await negotiate(cast(Any, connection), POLICY, bytes(16))
    assert connection.negotiated is not None and connection.negotiated.dialect is SMB_3_0_2
    assert connection.multi_credit and shaken.request.dialects == [0x0302, 0x0311]
    assert shaken.preauth_hash == update(update(INITIAL, connection.requests[0]), answer)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (message(status=int(NTStatus.NOT_SUPPORTED)), RemoteError, "no dialect from SMB3_02 to SMB3_11"),
        (message(status=int(NTStatus.ACCESS_DENIED)), PermissionError, "negotiating the dialect"),
        (message(NegotiateResponse(1, 0x0202).pack()), RemoteProtocolError, "not offered"),
        (lost("reset by peer"), ConnectionLost, "too many clients.*reset by peer"),
    ],
)
async def test_negotiations_that_fail(answer: Any, kind: type[Exception], text: str) -> None:
    """A refusal, a dialect that was not offered, a server that closes the connection at once."""
    with pytest.raises(kind, match=text):
        await negotiate(cast(Any, Connection(answer)), POLICY)
