"""Signatures that arrive before the server has the keys: with the last request of a log-on, or instead of one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import spnego
from peers.target import DOMAIN, PASSWORD, USER

from frevo.proto import preauth
from frevo.proto.keys import derive_session_keys
from frevo.proto.protection import SessionKeys, client_keys
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    Command,
    EchoRequest,
    LogoffRequest,
    SessionSetupRequest,
    SessionSetupResponse,
    TreeConnectRequest,
)
from pair.client import CONTEXTS, RELATED, SIGNED, Client, Element, Reply, Session, negotiate_request
from pair.conftest import MakePair
from pair.machine import Pair
from pair.test_waiting import folder, notify

AUTO = {"server signing": "auto"}
TREE = TreeConnectRequest("\\\\server\\share").pack()
Signature = Callable[[SessionKeys, bytes], bytes]


def unsigned(_: SessionKeys, message: bytes) -> bytes:
    return message


def made_up(_: SessionKeys, message: bytes) -> bytes:
    return message[:16] + (message[16] | SIGNED).to_bytes(1) + message[17:48] + b"\xaa" * 16 + message[64:]


def right(keys: SessionKeys, message: bytes) -> bytes:
    return keys.sign(message)


def log_on_and_more(client: Client, sign: Signature, more: Element) -> list[Reply]:
    """A log-on whose last request is the first element of a compound; *sign* signs the second one, *more*."""
    client.echo()  # brings credits for two requests at once
    context = spnego.client(f"{DOMAIN}\\{USER}", PASSWORD, protocol="ntlm")
    session = Session(0, preauth_hash=client.preauth_hash)

    def leg(token: bytes | None) -> bytes:
        body = SessionSetupRequest(security_mode=1, security_buffer=token or b"").pack()
        element = Element(Command.SESSION_SETUP, body, session=session, tree=0, fields={"credits": 33})
        client.next_id += 1
        return client.element(element, client.next_id - 1)

    message = leg(context.step())
    client.raw(message)
    reply = client.wait(client.next_id - 1)
    session.id = reply.header.session_id
    for one in (message, reply.message):
        session.preauth_hash = preauth.update(session.preauth_hash, one)
    message = bytearray(leg(context.step(SessionSetupResponse.parse(reply.message).security_buffer)))
    message += bytes(-len(message) % 8)
    message[20:24] = len(message).to_bytes(4, "little")
    session.preauth_hash = preauth.update(session.preauth_hash, bytes(message))
    derived = derive_session_keys(client.dialect, client.cipher, context.session_key, session.preauth_hash)
    session.keys = client_keys(
        derived, client.signing, client.cipher, signing_required=True, encryption_required=False
    )
    client.sessions[session.id] = session
    more.session = session
    client.raw(bytes(message) + sign(session.keys, client.element(more, client.next_id)))
    client.next_id += 1
    client.pump()
    return [reply for reply in client.replies if reply.header.message_id >= client.next_id - 2]


@pytest.mark.parametrize("options", [{}, AUTO])
@pytest.mark.parametrize("flags", [0, RELATED])
@pytest.mark.parametrize("dialect", [0x0300, 0x0311])
def test_made_up(make_pair: MakePair, options: dict[str, str], flags: int, dialect: int) -> None:
    """Goal: [MS-SMB2] 3.3.5.7, an attacker who relays a log-on gets no tree. Method: TREE_CONNECT that only claims to
    be signed, in the compound of the last SESSION_SETUP, when nobody had the keys to check it."""
    client = make_pair(options).connect()
    client.negotiate((dialect,))
    first, second = log_on_and_more(client, made_up, Element(Command.TREE_CONNECT, TREE, flags, tree=0))
    assert first.status == NTStatus.SUCCESS
    assert second.status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize("options", [{}, AUTO])
def test_unsigned(make_pair: MakePair, options: dict[str, str]) -> None:
    """Goal: 3.3.5.7, an unsigned TREE_CONNECT of 3.1.1 ends the connection; required signatures come first. Method:
    as above, without the flag."""
    client = make_pair(options).connect()
    client.negotiate()
    replies = log_on_and_more(client, unsigned, Element(Command.TREE_CONNECT, TREE, tree=0))
    if options:
        assert client.closed and not replies
    else:
        assert [one.status for one in replies] == [NTStatus.SUCCESS, NTStatus.ACCESS_DENIED]


@pytest.mark.parametrize("dialect", [0x0210, 0x0300, 0x0311])
def test_right(pair: Pair, dialect: int) -> None:
    """Goal: a signature is checked once the keys exist, whenever it came (3.3.5.2.4). Method: a client that knows the
    keys already and signs what it sends with its last SESSION_SETUP."""
    client = pair.connect()
    client.negotiate((dialect,))
    replies = log_on_and_more(client, right, Element(Command.TREE_CONNECT, TREE, tree=0))
    assert [one.status for one in replies] == [NTStatus.SUCCESS] * 2
    assert all(one.signed for one in replies)


@pytest.mark.parametrize("options", [{}, AUTO])
def test_other_requests(make_pair: MakePair, options: dict[str, str]) -> None:
    """Goal: what holds for TREE_CONNECT holds for every request. Method: LOGOFF with a made-up signature."""
    client = make_pair(options).connect()
    client.negotiate()
    body = LogoffRequest().pack()
    replies = log_on_and_more(client, made_up, Element(Command.LOGOFF, body, tree=0))
    assert [one.status for one in replies] == [NTStatus.SUCCESS, NTStatus.ACCESS_DENIED]


def test_signed_for_an_unknown_session(pair: Pair) -> None:
    """Goal: 3.3.5.2.4, a signed request of an unknown session is USER_SESSION_DELETED. Method: ECHO, which otherwise
    needs no session."""
    client = pair.logged_on()
    body = EchoRequest().pack()
    reply = client.call(Command.ECHO, body, flags=SIGNED, sign=False, session_id=4711)
    assert reply.status == NTStatus.USER_SESSION_DELETED and not reply.signed
    assert client.call(Command.ECHO, body, sign=False, session_id=0).status == NTStatus.SUCCESS


def test_refused_before_the_session(make_pair: MakePair) -> None:
    """Goal: 3.3.4.1.1, where signing is required every response to a signed request is signed, also one that precedes
    the look-up of the session. Method: a chain that begins related; an unknown command."""
    client = make_pair({"server signing": "mandatory"}).logged_on()
    body = EchoRequest().pack()
    ids = client.compound(Element(Command.ECHO, body, RELATED), Element(Command.ECHO, body, RELATED))
    ids += client.compound(Element(255, body))
    assert client.session is not None and client.session.keys is not None
    for reply in map(client.wait, ids):
        assert reply.status == NTStatus.INVALID_PARAMETER and reply.signed
        assert client.session.keys.verify(reply.message)


def test_signed_negotiate(pair: Pair) -> None:
    """Goal: 3.3.5.2.4, a signed NEGOTIATE is INVALID_PARAMETER. Method: the flag."""
    client = pair.connect()
    body = negotiate_request((0x0311,), CONTEXTS).pack()
    assert client.call(Command.NEGOTIATE, body, flags=SIGNED).status == NTStatus.INVALID_PARAMETER


@pytest.mark.parametrize("signature", ["none", "made up"])
def test_log_on_again(make_pair: MakePair, signature: str) -> None:
    """Goal: where signing is required no other party ends or renews a session. Method: SESSION_SETUP of the session,
    unsigned or with a made-up signature; the session continues."""
    client = make_pair({"server signing": "mandatory"}).logged_on()
    body = SessionSetupRequest(security_mode=1, security_buffer=b"junk").pack()
    flags = SIGNED if signature == "made up" else 0
    reply = client.call(Command.SESSION_SETUP, body, tree=0, flags=flags, sign=False)
    assert reply.status == NTStatus.ACCESS_DENIED
    assert client.session is not None
    client.log_on(session=client.session)
    assert client.open("a")


@pytest.mark.parametrize("signature", ["none", "made up"])
def test_cancel(make_pair: MakePair, signature: str) -> None:
    """Goal: where signing is required no other party cancels. Method: CANCEL unsigned or with a made-up signature,
    then a signed one."""
    client = make_pair({"server signing": "mandatory"}).logged_on()
    message_id = notify(client, folder(client))
    cancel = CancelRequest().pack()
    flags = SIGNED if signature == "made up" else 0
    client.send(Command.CANCEL, cancel, message_id=message_id, flags=flags, sign=False)
    assert client.echo().status == NTStatus.SUCCESS
    assert len(client.answers(message_id)) == 1, "still waiting"
    client.send(Command.CANCEL, cancel, message_id=message_id)
    assert client.wait(message_id).status == NTStatus.CANCELLED
