"""NEGOTIATE over the pair: every dialect, multi-protocol negotiation, contexts right, wrong, doubled and unknown."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    CompressionCapabilities,
    EchoRequest,
    EncryptionCapabilities,
    NegotiateContext,
    NegotiateContextType,
    NegotiateResponse,
    NetnameNegotiateContextId,
    PreauthIntegrityCapabilities,
    SigningCapabilities,
)
from frevo.wire.smb2.smb1_negotiate import SMB1NegotiateRequest
from pair.client import CONTEXTS, Disconnected, negotiate_request
from pair.conftest import MakePair
from pair.machine import Pair

DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect(pair: Pair, dialect: int) -> None:
    """Goal: every dialect works from NEGOTIATE to a file. Method: offer it alone, write and read a file."""
    client = pair.connect()
    answer = client.negotiate((dialect,))
    assert answer.dialect_revision == dialect
    assert bool(answer.capabilities & 4) == (dialect > 0x0202)
    client.log_on()
    client.connect_tree("share")
    file_id = client.open("a.txt")
    assert client.write(file_id, 0, b"data").status == NTStatus.SUCCESS
    assert client.read(file_id, 1, 10) == b"ata"
    assert client.read(file_id, 0, 2) == b"da"


@pytest.mark.parametrize("offered", [DIALECTS, DIALECTS[::-1], (0x0202, 0x0300), (0x0202, 0x0777)])
def test_newest_common_dialect_wins(pair: Pair, offered: tuple[int, ...]) -> None:
    """Goal: order and unknown numbers do not matter. Method: several offers, the highest known one is chosen."""
    assert pair.connect().negotiate(offered).dialect_revision == max(set(offered) & set(DIALECTS))


@pytest.mark.parametrize(
    ("low", "high", "offered", "expected"),
    [
        ("SMB2_10", "SMB3_00", DIALECTS, 0x0300),
        ("SMB3_11", "SMB3_11", (0x0202, 0x0302), NTStatus.NOT_SUPPORTED),
        ("SMB2_02", "SMB2_02", DIALECTS, 0x0202),
    ],
)
def test_configured_range(
    make_pair: MakePair, low: str, high: str, offered: tuple[int, ...], expected: int
) -> None:
    """Goal: min and max protocol bound the choice. Method: configured ranges against offers."""
    client = make_pair({"server min protocol": low, "server max protocol": high}).connect()
    reply = client.call(Command.NEGOTIATE, negotiate_request(offered).pack())
    if expected == NTStatus.NOT_SUPPORTED:
        assert reply.status == expected
    else:
        assert reply.ok(NegotiateResponse).dialect_revision == expected


def test_smb1_climb_with_wildcard(pair: Pair) -> None:
    """Goal: "SMB 2.???" leads to an SMB2 NEGOTIATE on the same connection. Method: both messages, then log on with
    3.1.1."""
    client = pair.connect()
    client.raw(SMB1NegotiateRequest(["NT LM 0.12", "SMB 2.002", "SMB 2.???"]).pack())
    reply = client.wait(0)
    assert reply.ok(NegotiateResponse).dialect_revision == 0x02FF
    client.next_id = 1
    assert client.negotiate(DIALECTS).dialect_revision == 0x0311
    client.log_on()
    assert client.echo().status == NTStatus.SUCCESS


def test_smb1_climb_to_2_002(pair: Pair) -> None:
    """Goal: "SMB 2.002" alone selects that dialect at once. Method: negotiate, log on."""
    client = pair.connect()
    client.raw(SMB1NegotiateRequest(["NT LM 0.12", "SMB 2.002"]).pack())
    assert client.wait(0).ok(NegotiateResponse).dialect_revision == 0x0202
    client.next_id = 1
    client.log_on()
    client.connect_tree("share")


@pytest.mark.parametrize("names", [["NT LM 0.12"], [], ["PC NETWORK PROGRAM 1.0"]])
def test_smb1_alone_is_not_served(pair: Pair, names: list[str]) -> None:
    """Goal: SMB1 ends the connection. Method: offers without SMB2."""
    client = pair.connect()
    client.raw(SMB1NegotiateRequest(names).pack())
    assert client.closed and not client.replies


def test_smb1_twice_or_later(pair: Pair) -> None:
    """Goal: SMB1 is only ever the first message. Method: SMB1 NEGOTIATE twice; SMB1 after an SMB2 NEGOTIATE."""
    climb = SMB1NegotiateRequest(["SMB 2.???"]).pack()
    client = pair.connect()
    client.raw(climb)
    client.raw(climb)
    assert client.closed
    client = pair.connect()
    client.negotiate()
    client.raw(climb)
    assert client.closed


def test_second_negotiate_ends_the_connection(pair: Pair) -> None:
    """Goal: [MS-SMB2] 3.3.5.4, NEGOTIATE only once. Method: send it twice; another client is not affected."""
    other = pair.logged_on()
    client = pair.connect()
    client.negotiate()
    client.send(Command.NEGOTIATE, negotiate_request((0x0311,)).pack())
    assert client.closed
    assert other.echo().status == NTStatus.SUCCESS


@pytest.mark.parametrize("command", [c for c in range(19) if c != Command.NEGOTIATE] + [99, 0xFFFF])
def test_anything_before_negotiate_ends_the_connection(pair: Pair, command: int) -> None:
    """Goal: NEGOTIATE comes first. Method: each other command as the first message."""
    client = pair.connect()
    client.send(command, EchoRequest().pack())
    assert client.closed and not client.replies


def test_no_dialects(pair: Pair) -> None:
    """Goal: DialectCount 0 is INVALID_PARAMETER. Method: an empty list."""
    reply = pair.connect().call(Command.NEGOTIATE, negotiate_request(()).pack())
    assert reply.status == NTStatus.INVALID_PARAMETER


PREAUTH, ENCRYPTION, SIGNING = CONTEXTS


@pytest.mark.parametrize(
    ("contexts", "status"),
    [
        ((), NTStatus.INVALID_PARAMETER),
        ((ENCRYPTION, SIGNING), NTStatus.INVALID_PARAMETER),
        ((PREAUTH, PREAUTH), NTStatus.INVALID_PARAMETER),
        ((PREAUTH, ENCRYPTION, ENCRYPTION), NTStatus.INVALID_PARAMETER),
        ((PREAUTH, SIGNING, SIGNING), NTStatus.INVALID_PARAMETER),
        ((PreauthIntegrityCapabilities([], b"s").context(),), NTStatus.INVALID_PARAMETER),
        (
            (PreauthIntegrityCapabilities([7, 8], b"s").context(),),
            NTStatus.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP,
        ),
        ((PREAUTH, EncryptionCapabilities([]).context()), NTStatus.INVALID_PARAMETER),
        ((PREAUTH, SigningCapabilities([]).context()), NTStatus.INVALID_PARAMETER),
        ((NegotiateContext(NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES, b"\1"),), NTStatus.INVALID_PARAMETER),
        ((PREAUTH, NegotiateContext(ENCRYPTION.context_type, b"\xff\xff")), NTStatus.INVALID_PARAMETER),
    ],
)  # fmt: skip
def test_wrong_contexts(pair: Pair, contexts: tuple[NegotiateContext, ...], status: NTStatus) -> None:
    """Goal: [MS-SMB2] 3.3.5.4 on contexts. Method: missing, doubled, empty and cut ones."""
    reply = pair.connect().call(Command.NEGOTIATE, negotiate_request((0x0311,), contexts).pack())
    assert reply.status == status


def test_unknown_contexts_are_ignored(pair: Pair) -> None:
    """Goal: unknown contexts are harmless and get no response. Method: unknown types (twice), netname, compression."""
    unknown = NegotiateContext(0x4711, b"whatever")
    extra = (
        unknown,
        *CONTEXTS,
        unknown,
        NetnameNegotiateContextId("server").context(),
        CompressionCapabilities([1]).context(),
    )
    answer = pair.connect().negotiate((0x0311,), extra)
    assert [context.context_type for context in answer.contexts] == [1, 2, 8]


def test_nothing_in_common(pair: Pair) -> None:
    """Goal: without a common cipher the response has 0, without a common signing algorithm no context (AES-CMAC then).
    Method: unknown numbers; log on, which signs with CMAC."""
    contexts = (PREAUTH, EncryptionCapabilities([77]).context(), SigningCapabilities([55]).context())
    client = pair.connect()
    answer = client.negotiate((0x0311,), contexts)
    assert [context.context_type for context in answer.contexts] == [1, 2]
    assert client.cipher == 0 and client.signing == 1
    client.log_on()
    assert client.echo().signed


def test_preauth_alone(pair: Pair) -> None:
    """Goal: encryption and signing contexts are optional. Method: only the preauth context."""
    client = pair.connect()
    assert len(client.negotiate((0x0311,), (PREAUTH,)).contexts) == 1
    client.log_on()
    client.connect_tree("share")


def test_changed_negotiate_is_noticed(pair: Pair) -> None:
    """Goal: preauth integrity: a NEGOTIATE changed in transit gives other keys. Method: the client hashes something
    else; it cannot verify the signature of the last log-on response."""
    client = pair.connect()
    client.negotiate()
    client.preauth_hash = bytes(64)
    with pytest.raises(AssertionError, match="has a wrong signature"):
        client.log_on()


def test_failed_negotiate_can_be_repeated(pair: Pair) -> None:
    """Goal: an error settles nothing. Method: no common dialect first, then a good offer on the same connection."""
    client = pair.connect()
    assert (
        client.call(Command.NEGOTIATE, negotiate_request((0x0999,)).pack()).status == NTStatus.NOT_SUPPORTED
    )
    client.negotiate()
    client.log_on()


def test_message_ids_start_at_zero(pair: Pair) -> None:
    """Goal: the window opens with one credit for id 0. Method: NEGOTIATE with id 1 ends the connection."""
    client = pair.connect()
    client.send(Command.NEGOTIATE, negotiate_request((0x0311,)).pack(), message_id=1)
    assert client.closed
    with pytest.raises(Disconnected):
        client.echo()
