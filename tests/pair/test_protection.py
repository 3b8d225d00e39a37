"""Signing and encryption over the pair: every algorithm; missing, wrong and foreign protection."""

from __future__ import annotations

import itertools

import pytest
from peers.target import SHARES

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    EchoRequest,
    EncryptionCapabilities,
    Header,
    IoctlRequest,
    IoctlResponse,
    ReadRequest,
    SecurityMode,
    SessionFlags,
    SigningCapabilities,
    TreeConnectRequest,
    ValidateNegotiateInfoRequest,
    ValidateNegotiateInfoResponse,
)
from pair.client import CONTEXTS, SIGNED, Client, Element
from pair.conftest import MakePair
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

MANDATORY = {"server signing": "mandatory"}
AUTO = {"server signing": "auto"}
ENCRYPTED = {**SHARES, "secret": {"read only": "no", "server smb encrypt": "required"}}
VALIDATE = 0x00140204


def agreed(pair: Pair, cipher: int, signing: int) -> Client:
    """A logged-on client that offered only these algorithms."""
    client = pair.connect()
    contexts = (
        CONTEXTS[0],
        EncryptionCapabilities([cipher]).context(),
        SigningCapabilities([signing]).context(),
    )
    client.negotiate((0x0311,), contexts)
    assert (client.cipher, client.signing) == (cipher, signing)
    client.log_on()
    return client


@pytest.mark.parametrize(
    ("cipher", "signing", "encrypt"), itertools.product((1, 2, 3, 4), (0, 1, 2), (False, True))
)
def test_algorithms(pair: Pair, cipher: int, signing: int, encrypt: bool) -> None:
    """Goal: each cipher with each signing algorithm, both planes. Method: write, then read until the data plane
    answers; every response is protected as its request was."""
    client = agreed(pair, cipher, signing)
    assert client.session is not None
    client.session.encrypt = encrypt
    client.connect_tree("share")
    file_id = client.open("a")
    assert client.write(file_id, 0, bytes(range(256)) * 300).status == NTStatus.SUCCESS
    for _ in range(2):
        reply = client.call(Command.READ, ReadRequest(file_id, 7, 70000).pack(), charge=2)
        assert reply.status == NTStatus.SUCCESS and len(reply.message) == 80 + 70000
        assert reply.encrypted == encrypt and reply.signed != encrypt
    assert pair.transport.statistics()["fast_reads"] == 2 * pair.config.globals.frevo_fast_path


@pytest.mark.parametrize("options", [{}, MANDATORY])
@pytest.mark.parametrize("dialect", [0x0202, 0x0210, 0x0302, 0x0311])
def test_unsigned_when_required(make_pair: MakePair, options: dict[str, str], dialect: int) -> None:
    """Goal: [MS-SMB2] 3.3.5.2.4: a request that must be signed (by default every one) and is not is ACCESS_DENIED.
    Method: unsigned requests of each plane; the session continues afterwards."""
    client = make_pair(options).logged_on((dialect,))
    assert client.try_tree("share", sign=False).status == NTStatus.ACCESS_DENIED
    file_id = client.open("a")
    client.write(file_id, 0, b"secret")
    client.read(file_id, 0, 4)
    for body in (EchoRequest().pack(), ReadRequest(file_id, 0, 4).pack()):
        command = Command.ECHO if len(body) == 4 else Command.READ
        assert client.call(command, body, sign=False).status == NTStatus.ACCESS_DENIED
    assert client.read(file_id, 0, 6) == b"secret"


@pytest.mark.parametrize("signing", ["auto", "disabled"])
def test_unsigned_when_not_required(make_pair: MakePair, signing: str) -> None:
    """Goal: signing can be left to the client, but TREE_CONNECT of 3.1.1 must be signed (3.3.5.7). Method: an unsigned
    ECHO gets an unsigned response; an unsigned TREE_CONNECT ends the connection."""
    client = make_pair({"server signing": signing}).logged_on()
    reply = client.echo(sign=False)
    assert reply.status == NTStatus.SUCCESS and not reply.signed
    body = TreeConnectRequest("\\\\server\\share").pack()
    message_id = client.send(Command.TREE_CONNECT, body, sign=False)
    assert client.closed and not client.answers(message_id)


def test_guests_are_not_asked_to_sign(make_pair: MakePair) -> None:
    """Goal: sessions without a key are served without signatures where guests are allowed, and NEGOTIATE tells the
    others to sign. Method: a guest writes and reads, through both planes, one request with the SIGNED flag."""
    pair = make_pair({"map to guest": "bad user"})
    client = pair.connect()
    assert client.negotiate().security_mode == SecurityMode.SIGNING_ENABLED | SecurityMode.SIGNING_REQUIRED
    session = client.log_on("nobody-here", "x")
    assert session.keys is None and session.flags & SessionFlags.IS_GUEST
    client.connect_tree("guest")
    assert client.try_tree("guest", flags=SIGNED).status == NTStatus.SUCCESS
    file_id = client.open("a")
    assert client.write(file_id, 0, b"data").status == NTStatus.SUCCESS
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"


@pytest.mark.parametrize("options", [{}, AUTO])
def test_wrong_signature(make_pair: MakePair, options: dict[str, str]) -> None:
    """Goal: a wrong signature is ACCESS_DENIED even when signing is optional. Method: one bit of each part flipped."""
    client = make_pair(options).logged_on()
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    client.read(file_id, 0, 4)
    assert client.session is not None and client.session.keys is not None
    for position in (14, 50, 63, 70, 84):
        body = ReadRequest(file_id, 0, 4).pack()
        message = bytearray(
            client.session.keys.sign(client.element(Element(Command.READ, body), client.next_id))
        )
        message[position] ^= 1
        client.raw(bytes(message))
        reply = client.wait(client.next_id)
        client.next_id += 1
        assert reply.status == NTStatus.ACCESS_DENIED, position
    assert client.read(file_id, 0, 4) == b"data"


def test_signed_flag_without_a_signature(pair: Pair) -> None:
    """Goal: the flag alone is not enough. Method: SIGNED set, signature zero."""
    client = pair.logged_on()
    assert client.echo(sign=False, flags=SIGNED).status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize("command", [Command.READ, Command.ECHO])
def test_encrypted_for_another_session(pair: Pair, command: Command) -> None:
    """Goal: one session's keys do not protect another's requests: such a one ends the connection ([MS-SMB2]
    3.3.5.2.1.1). Method: two users on one connection, a request of one encrypted by the other, for either plane."""
    client = pair.logged_on()
    second = client.log_on(OTHER_USER, OTHER_PASSWORD)
    assert second.keys is not None
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    client.read(file_id, 0, 4)
    body = ReadRequest(file_id, 0, 4).pack() if command == Command.READ else EchoRequest().pack()
    received = len(client.replies)
    client.raw(second.keys.encrypt(second.id, client.element(Element(command, body), client.next_id)))
    assert client.closed and len(client.replies) == received


@pytest.mark.parametrize("position", [4, 20, 36, 38, 42, 44, 52, 116])
def test_encrypted_and_changed(pair: Pair, position: int) -> None:
    """Goal: what cannot be decrypted ends the connection, nothing else. Method: flip a bit of each transform field and
    of the text."""
    other = pair.logged_on()
    client = pair.logged_on()
    assert client.session is not None and client.session.keys is not None
    message = bytearray(
        client.session.keys.encrypt(client.session.id, client.element(Element(13, EchoRequest().pack()), 50))
    )
    message[position % len(message)] ^= 1
    client.raw(bytes(message))
    assert client.closed
    assert other.echo().status == NTStatus.SUCCESS


def test_replay(pair: Pair) -> None:
    """Goal: a recorded message cannot be sent again. Method: the same encrypted, and the same signed, bytes twice."""
    for encrypt in (True, False):
        client = pair.logged_on()
        assert client.session is not None and client.session.keys is not None
        plain = client.element(Element(13, EchoRequest().pack()), client.next_id)
        keys = client.session.keys
        message = keys.encrypt(client.session.id, plain) if encrypt else keys.sign(plain)
        client.raw(message)
        assert client.wait(client.next_id).status == NTStatus.SUCCESS
        client.raw(message)
        assert client.closed


def test_encrypted_session(make_pair: MakePair) -> None:
    """Goal: `server smb encrypt = required`: encrypted requests only, and no session without a cipher. Method: plain
    requests (ACCESS_DENIED), encrypted ones, and a 2.1 client."""
    pair = make_pair({"server smb encrypt": "required"})
    client = pair.logged_on()
    assert client.session is not None and client.session.encrypt
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"
    for sign in (False, True):
        reply = client.call(Command.READ, ReadRequest(file_id, 0, 4).pack(), encrypt=False, sign=sign)
        assert reply.status == NTStatus.ACCESS_DENIED
        assert b"data" not in reply.message
    old = pair.connect()
    old.negotiate((0x0210,))
    _, reply = old.try_log_on()
    assert reply.status == NTStatus.ACCESS_DENIED


def test_encrypted_share(make_pair: MakePair) -> None:
    """Goal: a share that requires encryption never sends data in the clear, on either plane. Method: connect, open and
    read encrypted until the data plane answers, then the same READ signed only."""
    pair = make_pair({}, ENCRYPTED)
    client = pair.logged_on()
    assert client.session is not None
    plain = client.open("a")
    client.session.encrypt = True
    client.connect_tree("secret")
    file_id = client.open("b")
    client.write(file_id, 0, b"data")
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"
    assert pair.transport.statistics()["fast_reads"] == 2 * pair.config.globals.frevo_fast_path
    client.session.encrypt = False
    reply = client.call(Command.READ, ReadRequest(file_id, 0, 4).pack())
    assert reply.status == NTStatus.ACCESS_DENIED
    assert client.close(plain, tree=1).status == NTStatus.SUCCESS


def test_encrypted_share_needs_a_cipher(make_pair: MakePair) -> None:
    """Goal: a client that cannot encrypt is refused. Method: 2.1, and 3.1.1 without common ciphers."""
    pair = make_pair({}, ENCRYPTED)
    client = pair.logged_on((0x0210,))
    assert client.try_tree("secret").status == NTStatus.ACCESS_DENIED
    client = pair.connect()
    client.negotiate((0x0311,), CONTEXTS[:1])
    client.log_on()
    assert client.try_tree("secret").status == NTStatus.ACCESS_DENIED


def validate(client: Client, **changes: object) -> int:
    """Sends VALIDATE_NEGOTIATE_INFO as the client negotiated, with *changes*; the message id."""
    values = {
        "capabilities": 0x7F,
        "guid": b"pair test client",
        "security_mode": 1,
        "dialects": [client.dialect.revision],
    }
    data = ValidateNegotiateInfoRequest(**{**values, **changes}).pack()  # type: ignore[arg-type]
    body = IoctlRequest(VALIDATE, (2**64 - 1, 2**64 - 1), data, max_output_response=24).pack()
    return client.send(Command.IOCTL, body)


@pytest.mark.parametrize("dialect", [0x0202, 0x0210, 0x0300, 0x0302])
def test_validate_negotiate(pair: Pair, dialect: int) -> None:
    """Goal: [MS-SMB2] 3.3.5.15.12, the negotiation was not tampered with. Method: the negotiated values again."""
    client = pair.logged_on((dialect,))
    answer = client.wait(validate(client)).ok(IoctlResponse)
    info = ValidateNegotiateInfoResponse.parse(answer.output_buffer)
    assert info.dialect == dialect and info.guid == pair.server.guid


@pytest.mark.parametrize(
    "changes",
    [
        {"capabilities": 1},
        {"guid": bytes(16)},
        {"security_mode": 2},
        {"dialects": [0x0202, 0x0302, 0x0311]},
        {"dialects": []},
    ],
)
def test_validate_negotiate_differs(pair: Pair, changes: dict[str, object]) -> None:
    """Goal: a downgrade ends the connection. Method: each value changed."""
    client = pair.logged_on((0x0300,))
    validate(client, **changes)
    assert client.closed


def test_validate_negotiate_with_3_1_1(pair: Pair) -> None:
    """Goal: 3.1.1 has preauth integrity instead. Method: the request ends the connection."""
    client = pair.logged_on()
    validate(client)
    assert client.closed


def test_unknown_session(pair: Pair) -> None:
    """Goal: an error for an unknown session is not signed. Method: a made-up session id."""
    client = pair.logged_on()
    reply = client.call(
        Command.TREE_CONNECT, TreeConnectRequest("\\\\s\\share").pack(), sign=False, session_id=4711
    )
    assert reply.status == NTStatus.USER_SESSION_DELETED and not reply.signed
    assert Header.parse(reply.message).session_id == 4711
