"""Sessions over the pair: log-on right and wrong, re-authentication, expiry by the virtual clock, logoff, takeover."""

from __future__ import annotations

import pytest
from peers.target import SHARES, USER

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    ChangeNotifyRequest,
    Command,
    CreateOptions,
    EchoRequest,
    FlushRequest,
    LogoffRequest,
    ReadRequest,
    SessionSetupRequest,
    TreeDisconnectRequest,
)
from pair.client import Client, Disconnected, Session
from pair.conftest import MakePair
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

LOGOFF = LogoffRequest().pack()
HOUR = {"frevo:max session lifetime": "3600"}


@pytest.mark.parametrize(
    ("user", "password"), [(USER, "wrong"), (USER, ""), ("nobody-here", "Passw0rd!"), ("", "")]
)
def test_refused_log_on(pair: Pair, user: str, password: str) -> None:
    """Goal: LOGON_FAILURE for a wrong name or password alike, and no session remains. Method: log on with each."""
    client = pair.connect()
    client.negotiate()
    session, reply = client.try_log_on(user, password)
    assert reply.status in (NTStatus.LOGON_FAILURE, NTStatus.ACCESS_DENIED)
    assert not pair.server.sessions
    session.sign = False
    assert client.call(Command.LOGOFF, LOGOFF, session=session).status == NTStatus.USER_SESSION_DELETED
    client.log_on()


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"\0",
        b"NTLMSSP\0",
        b"\x60\x82\xff\xff" + bytes(40),
        bytes(65000),
        b"NTLMSSP\0\3\0\0\0" + b"\1" * 80,
    ],
)
def test_hostile_tokens(pair: Pair, token: bytes) -> None:
    """Goal: an invalid token fails the log-on. Method: junk as the first leg and as the second."""
    client = pair.connect()
    client.negotiate()
    body = SessionSetupRequest(security_buffer=token).pack()
    reply = client.call(Command.SESSION_SETUP, body)
    assert reply.status in (NTStatus.INVALID_PARAMETER, NTStatus.LOGON_FAILURE, NTStatus.NOT_SUPPORTED)
    first = SessionSetupRequest(
        security_buffer=b"NTLMSSP\0\1\0\0\0" + (0xE2088297).to_bytes(4, "little") + bytes(24)
    ).pack()
    reply = client.call(Command.SESSION_SETUP, first)
    assert reply.status == NTStatus.MORE_PROCESSING_REQUIRED
    reply = client.call(Command.SESSION_SETUP, body, session=Session(reply.header.session_id))
    assert reply.status in (NTStatus.INVALID_PARAMETER, NTStatus.LOGON_FAILURE)
    assert not pair.server.sessions


def test_spnego(pair: Pair) -> None:
    """Goal: SPNEGO's wrapping works with the preauth hash. Method: pyspnego's "negotiate" client."""
    client = pair.connect()
    client.negotiate()
    session, reply = client.try_log_on(protocol="negotiate")
    assert reply.status == NTStatus.SUCCESS and reply.signed
    client.session = session
    client.connect_tree()


@pytest.mark.parametrize("dialect", [0x0202, 0x0311])
def test_re_authentication_keeps_keys(pair: Pair, dialect: int) -> None:
    """Goal: [MS-SMB2] 3.3.5.5.2: a session that logs on again keeps its keys and opens. Method: re-authenticate twice
    with a file open; reads before and after."""
    client = pair.logged_on((dialect,))
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    for _ in range(2):
        client.log_on(session=client.session)
        assert client.read(file_id, 0, 9) == b"data"
    assert len(pair.server.sessions) == 1


def test_failed_re_authentication_ends_the_session(pair: Pair) -> None:
    """Goal: a wrong password, or another user, on a session ends it. Method: both, the session is gone after each."""
    for user, password in ((USER, "wrong"), (OTHER_USER, OTHER_PASSWORD)):
        client = pair.logged_on()
        client.open("a")
        assert client.session is not None
        _, reply = client.try_log_on(user, password, session=client.session)
        assert reply.status in (NTStatus.LOGON_FAILURE, NTStatus.ACCESS_DENIED)
        assert client.echo().status in (NTStatus.SUCCESS, NTStatus.USER_SESSION_DELETED)
        assert client.create("a").status == NTStatus.USER_SESSION_DELETED
        assert not pair.server.sessions and not pair.server.opens


def expired(pair: Pair) -> tuple[Client, tuple[int, int]]:
    client = pair.logged_on()
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"
    pair.advance(3599)
    assert client.read(file_id, 0, 4) == b"data"
    pair.advance(1.5)
    return client, file_id


def test_expiry(make_pair: MakePair) -> None:
    """Goal: after its lifetime a session serves only CLOSE, LOGOFF and a new log-on, even if the data plane had its
    opens. Method: the clock jumps; everything else is NETWORK_SESSION_EXPIRED; a log-on renews it."""
    client, file_id = expired(make_pair(HOUR))
    for command, body in (
        (Command.READ, ReadRequest(file_id, 0, 4).pack()),
        (Command.FLUSH, FlushRequest(file_id).pack()),
        (Command.READ, ReadRequest(file_id, 0, 4).pack()),
    ):
        reply = client.call(command, body)
        assert reply.status == NTStatus.NETWORK_SESSION_EXPIRED and reply.signed
    assert client.create("b").status == NTStatus.NETWORK_SESSION_EXPIRED
    assert client.try_tree("share").status == NTStatus.NETWORK_SESSION_EXPIRED
    client.log_on(session=client.session)
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"
    client.pair.advance(3601)
    assert client.create("b").status == NTStatus.NETWORK_SESSION_EXPIRED
    assert client.close(file_id).status == NTStatus.SUCCESS
    assert client.call(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack()).status == NTStatus.SUCCESS
    assert client.call(Command.LOGOFF, LOGOFF).status == NTStatus.SUCCESS


def test_logoff(pair: Pair) -> None:
    """Goal: LOGOFF ends the session and everything in it, its response still signed; others on the connection stay.
    Method: two sessions, one logs off with a file open."""
    client = pair.logged_on()
    client.open("a")
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    reply = client.call(Command.LOGOFF, LOGOFF)
    assert reply.status == NTStatus.SUCCESS and reply.signed
    assert len(pair.server.sessions) == 1 and not pair.server.opens
    for sign in (True, False):
        reply = client.call(Command.LOGOFF, LOGOFF, sign=sign)
        assert reply.status == NTStatus.USER_SESSION_DELETED
    assert client.try_tree("share", session=other).status == NTStatus.SUCCESS


@pytest.mark.parametrize("encrypt", [False, True])
def test_logoff_ends_waiting_requests(pair: Pair, encrypt: bool) -> None:
    """Goal: requests that wait when the session ends get a response, protected as they came. Method: CHANGE_NOTIFY
    waits, LOGOFF; both responses come, signed or encrypted, and the connection lives."""
    client = pair.logged_on()
    assert client.session is not None
    client.session.encrypt = encrypt
    folder = client.open(
        "", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=1
    )
    waiting = client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 1000, folder, 0xFFF).pack())
    reply = client.call(Command.LOGOFF, LOGOFF)
    assert reply.status == NTStatus.SUCCESS and reply.encrypted == encrypt
    reply = client.wait(waiting)
    assert reply.status & 0xC0000000 or reply.status == NTStatus.NOTIFY_CLEANUP
    assert reply.encrypted == encrypt and reply.signed != encrypt
    assert not client.closed
    client.log_on()


def test_previous_session(pair: Pair) -> None:
    """Goal: [MS-SMB2] 3.3.5.5.3: a client that lost its connection ends its old session. Method: log on from a second
    connection with PreviousSessionId; the first session and its opens are gone, and its keys with them."""
    old = pair.logged_on()
    old.open("a", share_access=0)
    assert old.session is not None
    new = pair.connect()
    new.negotiate()
    new.log_on(previous_session_id=old.session.id)
    new.connect_tree()
    new.open("a", share_access=0)
    assert old.create("b").status == NTStatus.USER_SESSION_DELETED


def test_previous_session_of_another_user(pair: Pair) -> None:
    """Goal: nobody ends another user's session. Method: PreviousSessionId of user1 in a log-on of user2; unknown
    numbers and one's own are harmless, too."""
    victim = pair.logged_on()
    assert victim.session is not None
    for number in (victim.session.id, 1, 2**64 - 1):
        client = pair.connect()
        client.negotiate()
        client.log_on(OTHER_USER, OTHER_PASSWORD, previous_session_id=number)
    assert victim.create("a").status == NTStatus.SUCCESS


def test_session_of_another_connection(pair: Pair) -> None:
    """Goal: a session id is useless on another connection. Method: use, log off and re-authenticate it there."""
    victim, thief = pair.logged_on(), pair.connect()
    thief.negotiate()
    assert victim.session is not None
    stolen = Session(victim.session.id, victim.session.keys)
    for command in (Command.LOGOFF, Command.TREE_DISCONNECT, Command.SESSION_SETUP):
        body = (
            SessionSetupRequest(security_buffer=b"NTLMSSP\0").pack()
            if command == Command.SESSION_SETUP
            else LOGOFF
        )
        reply = thief.call(command, body, session=stolen)
        assert reply.status == NTStatus.USER_SESSION_DELETED
    assert victim.create("a").status == NTStatus.SUCCESS
    inner = victim.session.keys
    assert inner is not None
    thief.raw(inner.encrypt(stolen.id, bytes(100)))
    assert thief.closed


def test_binding_is_refused(pair: Pair) -> None:
    """Goal: no second channel: multichannel was not offered. Method: SESSION_SETUP with the binding flag."""
    first, second = pair.logged_on(), pair.connect()
    second.negotiate()
    assert first.session is not None
    body = SessionSetupRequest(flags=1, security_buffer=b"NTLMSSP\0").pack()
    reply = second.call(Command.SESSION_SETUP, body, session=Session(first.session.id), sign=False)
    assert reply.status in (NTStatus.REQUEST_NOT_ACCEPTED, NTStatus.USER_SESSION_DELETED)
    assert first.create("a").status == NTStatus.SUCCESS


def test_requests_during_log_on(pair: Pair) -> None:
    """Goal: a session that is not finished serves nothing. Method: TREE_CONNECT and LOGOFF between the legs."""
    client = pair.connect()
    client.negotiate()
    first = SessionSetupRequest(
        security_buffer=b"NTLMSSP\0\1\0\0\0" + (0xE2088297).to_bytes(4, "little") + bytes(24)
    ).pack()
    session = Session(client.call(Command.SESSION_SETUP, first).header.session_id)
    assert client.try_tree("share", session=session).status == NTStatus.USER_SESSION_DELETED
    assert client.call(Command.LOGOFF, LOGOFF, session=session).status == NTStatus.USER_SESSION_DELETED


def test_guest(make_pair: MakePair) -> None:
    """Goal: an unknown user becomes a guest where that is configured, and sees only `guest ok` shares. Method: log on
    as an unknown user; the flag, the shares; no keys, so nothing is signed."""
    pair = make_pair({"map to guest": "Bad User"})
    client = pair.connect()
    client.negotiate()
    session = client.log_on("somebody", "whatever")
    assert session.flags & 1 and session.keys is None
    assert client.try_tree("share").status == NTStatus.ACCESS_DENIED
    client.connect_tree("guest")
    file_id = client.open("a")
    client.write(file_id, 0, b"x")
    assert client.read(file_id, 0, 4) == b"x"
    _, reply = client.try_log_on(USER, "wrong")
    assert reply.status == NTStatus.LOGON_FAILURE


def test_no_guests_where_encryption_is_required(make_pair: MakePair) -> None:
    """Goal: `server smb encrypt = required` excludes guests. Method: log on as an unknown user."""
    pair = make_pair({"map to guest": "Bad User", "server smb encrypt": "required"})
    client = pair.connect()
    client.negotiate()
    _, reply = client.try_log_on("somebody", "whatever")
    assert reply.status == NTStatus.ACCESS_DENIED and not pair.server.sessions


def test_sessions_per_connection(make_pair: MakePair) -> None:
    """Goal: sessions are bounded. Method: one more than configured; a logoff makes room."""
    pair = make_pair({"frevo:max sessions per connection": "3"})
    client = pair.logged_on()
    for _ in range(2):
        client.log_on()
    _, reply = client.try_log_on()
    assert reply.status == NTStatus.INSUFFICIENT_RESOURCES
    assert client.call(Command.LOGOFF, LOGOFF).status == NTStatus.SUCCESS
    client.log_on()


def test_unfinished_log_ons(pair: Pair) -> None:
    """Goal: what clients that never authenticate leave behind is bounded. Method: first legs without a second."""
    client = pair.connect()
    client.negotiate()
    first = SessionSetupRequest(
        security_buffer=b"NTLMSSP\0\1\0\0\0" + (0xE2088297).to_bytes(4, "little") + bytes(24)
    ).pack()
    statuses = [client.call(Command.SESSION_SETUP, first).status for _ in range(100)]
    assert statuses.count(NTStatus.MORE_PROCESSING_REQUIRED) == 64
    assert statuses[-1] == NTStatus.INSUFFICIENT_RESOURCES and len(pair.server.sessions) == 64


def test_lost_connection_frees_everything(pair: Pair) -> None:
    """Goal: a client that vanishes leaves nothing behind. Method: opens, a lock, a waiting notify; the link is cut."""
    client = pair.logged_on()
    client.open("a", share_access=0)
    folder = client.open(
        "", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=1
    )
    client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 1000, folder, 0xFFF).pack())
    client.disconnect()
    pair.turn()
    assert not pair.server.opens and not pair.server.sessions and not pair.server.connections
    pair.logged_on().open("a", share_access=0)


def test_reload_between_connections(make_pair: MakePair) -> None:
    """Goal: a reload adds and removes shares without dropping anybody. Method: reload with a client connected."""
    pair = make_pair()
    client = pair.logged_on()
    file_id = client.open("a")
    config = pair.configured({}, {"new": {"read only": "no"}, "ro": SHARES["ro"]})
    pair.inside(pair.server.reload, config, pair.authenticator(config))
    assert client.write(file_id, 0, b"still here").status == NTStatus.SUCCESS
    assert client.try_tree("share").status == NTStatus.BAD_NETWORK_NAME
    client.connect_tree("new")
    assert client.create("b").status == NTStatus.SUCCESS


def test_echo_without_a_session(pair: Pair) -> None:
    """Goal: ECHO needs no session ([MS-SMB2] 3.3.5.17). Method: right after NEGOTIATE."""
    client = pair.connect()
    client.negotiate()
    assert client.echo().status == NTStatus.SUCCESS
    client.raw(b"\xfeSM")
    with pytest.raises(Disconnected):
        client.wait(client.send(Command.ECHO, EchoRequest().pack()))


def test_anonymous(make_pair: MakePair) -> None:
    """Goal: an anonymous session gets IPC$ and stays within the limits of connections without a log-on, until a share
    for guests admits it. Method: the empty AUTHENTICATE message; large messages before and after."""
    pair = make_pair({}, {**SHARES})
    client = pair.connect()
    client.negotiate()
    assert not client.log_on_as_nobody().signed
    assert client.try_tree("share").status == NTStatus.ACCESS_DENIED
    client.connect_tree("IPC$")
    client.connect_tree("guest")
    file_id = client.open("a")
    assert client.write(file_id, 0, bytes(300_000)).status == NTStatus.SUCCESS
