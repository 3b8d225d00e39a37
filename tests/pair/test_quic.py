"""What SMB says about QUIC, over the pair with a transport of that name: dialects, encryption, pipes, handshake."""

from __future__ import annotations

import hashlib
import threading

import pytest
from peers.target import SHARES

from frevo.server.rules import hosts
from frevo.transport.base import Secured
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Capabilities,
    Command,
    NegotiateContext,
    NegotiateContextType,
    NegotiateResponse,
    SessionFlags,
    ShareFlags,
    TransportCapabilitiesContext,
    TreeConnectResponse,
)
from frevo.wire.smb2.smb1_negotiate import SMB1NegotiateRequest
from pair.client import CONTEXTS, Client, negotiate_request
from pair.conftest import MakePair
from pair.machine import Pair

DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
TRANSPORT = int(NegotiateContextType.TRANSPORT_CAPABILITIES)
OFFER = TransportCapabilitiesContext(1).context()
RELYING = {"server smb encryption over quic": "no"}
REQUIRED = {"server smb encrypt": "required"}
SECRET = {**SHARES, "secret": {"read only": "no", "server smb encrypt": "required"}}


@pytest.fixture
def quic(make_pair: MakePair) -> Pair:
    """A server over QUIC as the defaults make it."""
    return make_pair(transport="quic")


def relying(pair: Pair, *, offered: bool = True) -> Client:
    """A logged-on client that has offered to rely on the transport, or not."""
    client = pair.connect()
    client.negotiate((0x0311,), (*CONTEXTS, OFFER) if offered else CONTEXTS)
    client.log_on()
    return client


# -- dialects


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_3_1_1(quic: Pair, dialect: int) -> None:
    """Goal: [MS-SMB2] 2.1, QUIC carries 3.1.1 alone. Method: each dialect by itself."""
    reply = quic.connect().call(Command.NEGOTIATE, negotiate_request((dialect,)).pack())
    assert reply.status == (NTStatus.SUCCESS if dialect == 0x0311 else NTStatus.NOT_SUPPORTED)


def test_3_1_1_among_others(quic: Pair) -> None:
    """Goal: a client that offers everything gets 3.1.1 with all that TCP has. Method: requests of many credits."""
    client = quic.connect()
    answer = client.negotiate(DIALECTS)
    assert answer.dialect_revision == 0x0311
    assert answer.capabilities & Capabilities.LARGE_MTU and answer.max_read_size == 8 << 20
    client.log_on()
    client.connect_tree("share")
    file_id = client.open("large")
    assert client.write(file_id, 0, bytes(200_000)).status == NTStatus.SUCCESS
    assert len(client.read(file_id, 0, 200_000)) == 200_000


def test_nothing_is_served_below_3_1_1(make_pair: MakePair) -> None:
    """Goal: `server max protocol` still holds. Method: a server that ends at 3.0.2, every dialect offered."""
    pair = make_pair({"server max protocol": "SMB3_02"}, transport="quic")
    reply = pair.connect().call(Command.NEGOTIATE, negotiate_request(DIALECTS).pack())
    assert reply.status == NTStatus.NOT_SUPPORTED


def test_the_climb_from_smb1(quic: Pair) -> None:
    """Goal: "SMB 2.002" names a dialect that QUIC has not, "SMB 2.???" none at all. Method: both climbs; after the
    second 3.0 is refused and 3.1.1 not."""
    client = quic.connect()
    client.raw(SMB1NegotiateRequest(["NT LM 0.12", "SMB 2.002"]).pack())
    assert client.closed and not client.replies
    client = quic.connect()
    client.raw(SMB1NegotiateRequest(["SMB 2.???"]).pack())
    assert client.wait(0).ok(NegotiateResponse).dialect_revision == 0x02FF
    client.next_id = 1
    reply = client.call(Command.NEGOTIATE, negotiate_request((0x0300,)).pack())
    assert reply.status == NTStatus.NOT_SUPPORTED
    assert client.negotiate(DIALECTS).dialect_revision == 0x0311


# -- SMB2_TRANSPORT_CAPABILITIES


@pytest.mark.parametrize("transport", ["quic", "tcp", "nbt"])
@pytest.mark.parametrize("over_quic", ["yes", "no"])
@pytest.mark.parametrize("flags", [0, 1, 3, 0xFFFF_FFFE])
def test_who_relies_on_the_transport(make_pair: MakePair, transport: str, over_quic: str, flags: int) -> None:
    """Goal: [MS-SMB2] 3.3.5.4: accepted over QUIC, by our own setting, and when the client asks; answered whenever the
    client has sent the context. Method: every combination."""
    pair = make_pair({"server smb encryption over quic": over_quic}, transport=transport)
    context = TransportCapabilitiesContext(flags).context()
    contexts = pair.connect().negotiate((0x0311,), (*CONTEXTS, context)).contexts
    answered = [one.data for one in contexts if one.context_type == TRANSPORT]
    accepted = transport == "quic" and over_quic == "no" and flags & 1
    assert answered == [b"\1\0\0\0" if accepted else bytes(4)]


def test_no_answer_without_the_context(make_pair: MakePair) -> None:
    """Goal: nothing is answered that nobody asked. Method: a client without the context at a server that would rely."""
    answer = make_pair(RELYING, transport="quic").connect().negotiate((0x0311,))
    assert [one.context_type for one in answer.contexts] == [1, 2, 8]


@pytest.mark.parametrize("transport", ["quic", "tcp"])
@pytest.mark.parametrize("data", [b"", b"\1", b"\1\0\0"])
def test_a_cut_context(make_pair: MakePair, transport: str, data: bytes) -> None:
    """Goal: DataLength less than the structure is INVALID_PARAMETER. Method: 0 to 3 bytes."""
    client = make_pair(RELYING, transport=transport).connect()
    request = negotiate_request((0x0311,), (*CONTEXTS, NegotiateContext(TRANSPORT, data)))
    assert client.call(Command.NEGOTIATE, request.pack()).status == NTStatus.INVALID_PARAMETER


# -- encryption


@pytest.mark.parametrize(
    ("over_quic", "offered", "encrypted"), [("no", True, False), ("no", False, True), ("yes", True, True)]
)
def test_required_for_all(make_pair: MakePair, over_quic: str, offered: bool, encrypted: bool) -> None:
    """Goal: `server smb encrypt = required` asks for SMB encryption unless both ends rely on QUIC; signing stays.
    Method: a session of each kind; unencrypted requests, signed and not."""
    options = {**REQUIRED, "server smb encryption over quic": over_quic}
    client = relying(make_pair(options, transport="quic"), offered=offered)
    assert client.session is not None
    assert bool(client.session.flags & SessionFlags.ENCRYPT_DATA) == encrypted
    client.session.encrypt = False
    assert client.try_tree("share", encrypt=True).status == NTStatus.SUCCESS
    assert client.try_tree("share").status == (NTStatus.ACCESS_DENIED if encrypted else NTStatus.SUCCESS)
    assert client.echo(sign=False).status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize("policy", ["desired", "if_required"])
def test_wished_for(make_pair: MakePair, policy: str) -> None:
    """Goal: `desired` is as well satisfied, and a client may encrypt in any case. Method: a session of each policy."""
    client = relying(make_pair({**RELYING, "server smb encrypt": policy}, transport="quic"))
    assert client.session is not None and not client.session.flags & SessionFlags.ENCRYPT_DATA
    client.connect_tree("share")
    assert client.echo().signed
    assert client.echo(encrypt=True).encrypted


@pytest.mark.parametrize(
    ("over_quic", "offered", "encrypted"), [("no", True, False), ("no", False, True), ("yes", True, True)]
)
def test_required_for_a_share(make_pair: MakePair, over_quic: str, offered: bool, encrypted: bool) -> None:
    """Goal: the same for a single share. Method: its flags and a file, read with and without encryption."""
    pair = make_pair({"server smb encryption over quic": over_quic}, SECRET, transport="quic")
    client = relying(pair, offered=offered)
    reply = client.try_tree("secret")
    assert bool(reply.ok(TreeConnectResponse).share_flags & ShareFlags.ENCRYPT_DATA) == encrypted
    client.tree = reply.header.tree_id
    assert client.create("file").status == (NTStatus.ACCESS_DENIED if encrypted else NTStatus.SUCCESS)
    assert client.session is not None
    client.session.encrypt = True
    file_id = client.open("file")
    assert client.write(file_id, 0, b"data").status == NTStatus.SUCCESS
    assert client.read(file_id, 0, 4) == b"data"


def test_a_client_without_ciphers(make_pair: MakePair) -> None:
    """Goal: who relies on QUIC needs no cipher where encryption is required. Method: no cipher in common, with the
    context and without."""
    pair = make_pair({**RELYING, **REQUIRED}, SECRET, transport="quic")
    client = pair.connect()
    client.negotiate((0x0311,), (CONTEXTS[0], CONTEXTS[2], OFFER))
    client.log_on()
    client.connect_tree("secret")
    client.open("file")
    client = pair.connect()
    client.negotiate((0x0311,), (CONTEXTS[0], CONTEXTS[2]))
    assert client.try_log_on()[1].status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize(("offered", "status"), [(True, NTStatus.SUCCESS), (False, NTStatus.ACCESS_DENIED)])
def test_guests(make_pair: MakePair, offered: bool, status: NTStatus) -> None:
    """Goal: guests have no keys, but QUIC encrypts for them too. Method: an unknown user where encryption is required,
    relying on QUIC and not."""
    options = {**RELYING, **REQUIRED, "map to guest": "Bad User"}
    client = make_pair(options, transport="quic").connect()
    client.negotiate((0x0311,), (*CONTEXTS, OFFER) if offered else CONTEXTS)
    session, reply = client.try_log_on("nobody-we-know", "guess")
    assert reply.status == status
    if offered:
        client.session = session
        client.connect_tree("guest")


# -- named pipes


def test_pipes_are_refused(quic: Pair) -> None:
    """Goal: [MS-SMB2] 3.3.5.9: a pipe is ACCESS_DENIED over QUIC; IPC$ itself and shares are not. Method: every pipe;
    then a file of the same session."""
    client = quic.logged_on()
    share = client.tree
    client.connect_tree("IPC$")
    for name in ("srvsvc", "wkssvc", "lsarpc", "samr", "no such pipe"):
        assert client.create(name).status == NTStatus.ACCESS_DENIED
    client.tree = share
    client.open("file")
    assert len(quic.server.opens) == 1


def test_pipes_can_be_allowed(make_pair: MakePair) -> None:
    """Goal: `frevo:quic named pipes`. Method: srvsvc opens where it is set; over TCP always."""
    client = make_pair({"frevo:quic named pipes": "yes"}, transport="quic").logged_on()
    client.connect_tree("IPC$")
    client.open("srvsvc")
    client = make_pair(transport="tcp").logged_on()
    client.connect_tree("IPC$")
    client.open("srvsvc")


# -- the handshake

LEAF = b"a certificate"
HANDSHAKE = Secured("TLS_AES_128_GCM_SHA256", "nas.example", (LEAF, b"its issuer"), True)


def test_the_handshake_is_kept(make_pair: MakePair, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: the server knows what a connection's TLS came to. Method: a handshake with a client certificate."""
    pair = make_pair(transport="quic", secured=HANDSHAKE)
    pair.connect("10.1.1.1:1000")
    [connection] = pair.server.connections.values()
    assert connection.transport == "quic" and connection.secured == HANDSHAKE
    fingerprint = hashlib.sha256(LEAF).hexdigest()
    assert connection.secured.fingerprint == fingerprint
    wanted = "10.1.1.1:1000: TLS_AES_128_GCM_SHA256 for nas.example, certificate (the certificate is not a readable "
    [said] = [text for text in caplog.messages if text.startswith(wanted)]
    assert fingerprint in said


def test_the_handshake_waits_for_names(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: it is not lost while the names of the client's machine are looked up. Method: a look-up that takes time."""
    answer = threading.Event()

    def look_up(address: hosts.Address, wanted: frozenset[str]) -> frozenset[str]:
        assert answer.wait(10)
        return frozenset({"pc.example"})

    monkeypatch.setattr(hosts, "names_of", look_up)
    pair = make_pair({"hosts allow": "pc.example"}, transport="quic", secured=HANDSHAKE)
    client = pair.connect("10.1.1.1:1000")
    assert not pair.server.connections
    answer.set()
    while not pair.server.connections:
        pair.turn(0.001)
    [connection] = pair.server.connections.values()
    assert connection.secured == HANDSHAKE
    assert client.negotiate().dialect_revision == 0x0311
