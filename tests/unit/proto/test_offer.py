"""What the client offers and which responses it accepts: against our server's own decision, and bad responses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from frevo.errors import RemoteProtocolError
from frevo.proto.dialect import DIALECTS, SMB_2_0_2, SMB_3_0, SMB_3_0_2, SMB_3_1_1, Cipher, Dialect, Signing
from frevo.proto.negotiation import Negotiated, NegotiationPolicy, negotiate
from frevo.proto.offer import accept, check_validation, offer, validation
from frevo.wire.smb2 import (
    EncryptionCapabilities,
    NegotiateContext,
    NegotiateResponse,
    PreauthIntegrityCapabilities,
    SigningCapabilities,
    TransportCapabilitiesContext,
    ValidateNegotiateInfoResponse,
)

GUID = b"client guid 0123"
PREAUTH = PreauthIntegrityCapabilities([1], b"x" * 32).context()


def policy(maximum: Dialect = SMB_3_1_1, ciphers: Sequence[Cipher] = tuple(Cipher)[1:]) -> NegotiationPolicy:
    return NegotiationPolicy(
        SMB_2_0_2, maximum, True, [Signing.AES_GMAC, Signing.AES_CMAC], ciphers, 1 << 20, 1 << 20, 1 << 20
    )


def answer_of(agreed: Negotiated) -> NegotiateResponse:
    return NegotiateResponse(
        agreed.security_mode, agreed.dialect.revision, b"s" * 16, agreed.capabilities,
        agreed.max_transact, agreed.max_read, agreed.max_write, contexts=agreed.contexts,
    )  # fmt: skip


@pytest.mark.parametrize("mine", DIALECTS)
@pytest.mark.parametrize("theirs", DIALECTS)
def test_both_sides_agree(mine: Dialect, theirs: Dialect) -> None:
    """The server's decision about our offer, sent back, is our decision."""
    request = offer(policy(mine), GUID, "nas")
    decided = negotiate(request, policy(theirs, [Cipher.AES_256_GCM, Cipher.AES_128_CCM]))
    assert accept(request, answer_of(decided), policy(mine)) == decided


@pytest.mark.parametrize("mine", [False, True])
@pytest.mark.parametrize("theirs", [False, True])
def test_both_sides_rely_on_the_transport(mine: bool, theirs: bool) -> None:
    """Only when both want to; who does not want to does not offer it ([MS-SMB2] 3.2.4.2.2.2)."""
    ours, others = replace(policy(), transport_security=mine), replace(policy(), transport_security=theirs)
    request = offer(ours, GUID, "nas")
    offered = [one.data for one in request.contexts if one.context_type == TransportCapabilitiesContext.TYPE]
    assert offered == ([b"\1\0\0\0"] if mine else [])
    decided = negotiate(request, others)
    assert accept(request, answer_of(decided), ours) == decided
    assert decided.transport_security == (mine and theirs)


def test_an_answer_that_was_not_asked_for_changes_nothing() -> None:
    """A server cannot talk us out of encryption."""
    answer = NegotiateResponse(1, 0x0311, contexts=[PREAUTH, TransportCapabilitiesContext(1).context()])
    answer.max_transact_size = answer.max_read_size = answer.max_write_size = 65536
    assert not accept(offer(policy(), GUID, "nas"), answer, policy()).transport_security


BAD = {
    "another dialect": NegotiateResponse(1, 0x02FF, max_transact_size=65536),
    "no preauth": NegotiateResponse(1, 0x0311, contexts=[]),
    "another hash": NegotiateResponse(1, 0x0311, contexts=[PreauthIntegrityCapabilities([2], b"").context()]),
    "a cipher not offered": NegotiateResponse(
        1, 0x0311, contexts=[PREAUTH, EncryptionCapabilities([9]).context()]
    ),
    "two ciphers": NegotiateResponse(1, 0x0311, contexts=[PREAUTH, EncryptionCapabilities([1, 2]).context()]),
    "a signature not offered": NegotiateResponse(
        1, 0x0311, contexts=[PREAUTH, SigningCapabilities([7]).context()]
    ),
    "encryption twice": NegotiateResponse(
        1, 0x0311, contexts=[PREAUTH, *[EncryptionCapabilities([1]).context()] * 2]
    ),
    "transport twice": NegotiateResponse(
        1, 0x0311, contexts=[PREAUTH, *[TransportCapabilitiesContext(1).context()] * 2]
    ),
    "half a transport context": NegotiateResponse(
        1, 0x0311, contexts=[PREAUTH, NegotiateContext(TransportCapabilitiesContext.TYPE, b"\1\0")]
    ),
    "tiny requests": NegotiateResponse(
        1, 0x0210, max_transact_size=512, max_read_size=512, max_write_size=512
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers(name: str) -> None:
    """A response that does not match this request ends the connection."""
    with pytest.raises(RemoteProtocolError):
        accept(offer(policy(), GUID, "nas"), BAD[name], policy())


@pytest.mark.parametrize("maximum", [SMB_3_0, SMB_3_0_2])
def test_the_later_check(maximum: Dialect) -> None:
    """The signed answer must repeat the unsigned one, field by field."""
    request = offer(policy(maximum), GUID, "nas")
    assert validation(request).guid == GUID and validation(request).dialects == request.dialects
    first = NegotiateResponse(3, maximum.revision, b"s" * 16, 0x44)
    check_validation(first, ValidateNegotiateInfoResponse(0x44, b"s" * 16, 3, maximum.revision))
    for capabilities, guid, mode, revision in (
        (0x04, b"s" * 16, 3, maximum.revision),
        (0x44, b"t" * 16, 3, maximum.revision),
        (0x44, b"s" * 16, 1, maximum.revision),
        (0x44, b"s" * 16, 3, 0x0210),
    ):
        with pytest.raises(RemoteProtocolError, match="changed"):
            check_validation(first, ValidateNegotiateInfoResponse(capabilities, guid, mode, revision))
