"""The server's decision about a NEGOTIATE request: contexts, limits, modes, and requests that are refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from frevo.errors import SMBError
from frevo.proto.dialect import (
    SMB_2_0_2,
    SMB_2_1,
    SMB_3_0,
    SMB_3_0_2,
    SMB_3_1_1,
    Cipher,
    Dialect,
    Signing,
)
from frevo.proto.negotiation import SALT_LENGTH, NegotiationPolicy, dialect_of, negotiate
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Capabilities,
    EncryptionCapabilities,
    NegotiateContext,
    NegotiateContextType,
    NegotiateRequest,
    PreauthIntegrityCapabilities,
    SecurityMode,
    SigningCapabilities,
)

MIB = 1 << 20
ALL_CIPHERS = (Cipher.AES_128_GCM, Cipher.AES_128_CCM, Cipher.AES_256_GCM, Cipher.AES_256_CCM)
POLICY = NegotiationPolicy(
    SMB_2_0_2, SMB_3_1_1, False, (Signing.AES_GMAC, Signing.AES_CMAC), ALL_CIPHERS, MIB, 8 * MIB, 4 * MIB
)
PREAUTH = PreauthIntegrityCapabilities([1], b"s" * 32).context()
ENCRYPTION = int(NegotiateContextType.ENCRYPTION_CAPABILITIES)


def request(
    *dialects: int, contexts: list[NegotiateContext] | None = None, capabilities: int = 0x7F
) -> NegotiateRequest:
    return NegotiateRequest(list(dialects), 1, capabilities, b"g" * 16, contexts=contexts or [])


def ciphers(*numbers: int) -> NegotiateContext:
    return EncryptionCapabilities(list(numbers)).context()


def signings(*numbers: int) -> NegotiateContext:
    return SigningCapabilities(list(numbers)).context()


@pytest.mark.parametrize(
    ("offered", "preferred", "chosen"),
    [
        ((1, 2, 3, 4), ALL_CIPHERS, Cipher.AES_128_GCM),  # the order is ours
        ((4, 1), ALL_CIPHERS, Cipher.AES_128_CCM),
        ((1, 2), (Cipher.AES_256_GCM,), Cipher.NONE),  # none in common: 0 in the response, [MS-SMB2] 3.3.5.4
        ((9, 0xFFFF), ALL_CIPHERS, Cipher.NONE),
        ((1, 2, 3, 4), (), Cipher.NONE),  # switched off
    ],
)
def test_the_cipher_of_3_1_1(offered: tuple[int, ...], preferred: tuple[Cipher, ...], chosen: Cipher) -> None:
    """Goal: the first of the server's ciphers that the client has; the capabilities do not mention it. Method: the
    context."""
    agreed = negotiate(request(0x0311, contexts=[PREAUTH, ciphers(*offered)]), replace(POLICY, ciphers=preferred))
    assert agreed.cipher == chosen and not agreed.capabilities & Capabilities.ENCRYPTION
    said = {context.context_type: context.data for context in agreed.contexts}
    assert EncryptionCapabilities.parse(said[ENCRYPTION]).ciphers == [chosen]


@pytest.mark.parametrize(
    ("contexts", "chosen", "said"),
    [
        ([], Signing.AES_CMAC, None),
        ([signings(2, 1, 0)], Signing.AES_GMAC, 2),
        ([signings(0, 1)], Signing.AES_CMAC, 1),
        ([signings(0, 7)], Signing.AES_CMAC, None),  # none in common: the dialect's own, no context in the response
    ],
)
def test_the_signing_of_3_1_1(contexts: list[NegotiateContext], chosen: Signing, said: int | None) -> None:
    """[MS-SMB2] 3.3.5.4: the common algorithm, or AES-CMAC without a response context."""
    agreed = negotiate(request(0x0311, contexts=[PREAUTH, *contexts]), POLICY)
    answer = [c for c in agreed.contexts if c.context_type == NegotiateContextType.SIGNING_CAPABILITIES]
    assert agreed.signing == chosen
    assert [SigningCapabilities.parse(c.data).signing_algorithms for c in answer] == ([] if said is None else [[said]])


def test_the_answer_has_a_salt_of_its_own() -> None:
    """Goal: SHA-512 and a new salt each time ([MS-SMB2] 2.2.4.1.1). Method: two responses."""
    answers = [negotiate(request(0x0311, contexts=[PREAUTH]), POLICY).contexts[0] for _ in range(2)]
    first, second = (PreauthIntegrityCapabilities.parse(one.data) for one in answers)
    assert first.hash_algorithms == second.hash_algorithms == [1]
    assert first.salt != second.salt and len(first.salt) == len(second.salt) == SALT_LENGTH


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (request(), NTStatus.INVALID_PARAMETER),
        (request(0x0312), NTStatus.NOT_SUPPORTED),
        (request(0x0311), NTStatus.INVALID_PARAMETER),  # no preauth context
        (request(0x0311, contexts=[PREAUTH, PREAUTH]), NTStatus.INVALID_PARAMETER),
        (request(0x0311, contexts=[PREAUTH, ciphers(1), ciphers(1)]), NTStatus.INVALID_PARAMETER),
        (request(0x0311, contexts=[PREAUTH, signings(1), signings(1)]), NTStatus.INVALID_PARAMETER),
        (request(0x0311, contexts=[PREAUTH, ciphers()]), NTStatus.INVALID_PARAMETER),
        (request(0x0311, contexts=[PREAUTH, signings()]), NTStatus.INVALID_PARAMETER),
        (
            request(0x0311, contexts=[PreauthIntegrityCapabilities([], b"").context()]),
            NTStatus.INVALID_PARAMETER,
        ),
        (
            request(0x0311, contexts=[PreauthIntegrityCapabilities([2, 3], b"").context()]),
            NTStatus.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP,
        ),
    ],
)
def test_what_is_refused(refused: NegotiateRequest, status: NTStatus) -> None:
    """[MS-SMB2] 3.3.5.4: the status for each mistake in a request."""
    with pytest.raises(SMBError) as told:
        negotiate(refused, POLICY)
    assert told.value.status == status


def test_unknown_contexts() -> None:
    """[MS-SMB2] 3.3.5.4: unknown types are ignored, even twice."""
    unknown = NegotiateContext(0x4711, b"anything")
    agreed = negotiate(request(0x0311, contexts=[unknown, PREAUTH, unknown]), POLICY)
    assert [context.context_type for context in agreed.contexts] == [1]


def test_contexts_before_3_1_1_mean_nothing() -> None:
    """[MS-SMB2] 3.3.5.4: contexts belong to 3.1.1; before it even broken ones are ignored."""
    agreed = negotiate(request(0x0302, contexts=[NegotiateContext(1, b"")]), POLICY)
    assert (agreed.dialect, agreed.contexts) == (SMB_3_0_2, [])


@pytest.mark.parametrize("dialect", [SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2])
@pytest.mark.parametrize("offers", [True, False])
def test_encryption_before_3_1_1(dialect: Dialect, offers: bool) -> None:
    """[MS-SMB2] 3.3.5.4: AES-128-CCM from 3.0 on, when both sides have the capability, which the response repeats."""
    capabilities = int(Capabilities.ENCRYPTION) if offers else 0
    agreed = negotiate(request(dialect.revision, capabilities=capabilities), POLICY)
    encrypts = offers and dialect.encryption
    assert agreed.cipher == (Cipher.AES_128_CCM if encrypts else Cipher.NONE)
    assert bool(agreed.capabilities & Capabilities.ENCRYPTION) == encrypts
    off = negotiate(request(dialect.revision), replace(POLICY, ciphers=()))
    assert off.cipher == Cipher.NONE and not off.capabilities & Capabilities.ENCRYPTION


@pytest.mark.parametrize("netbios", [False, True])
@pytest.mark.parametrize("dialect", [SMB_2_0_2, SMB_2_1, SMB_3_1_1])
def test_sizes(dialect: Dialect, netbios: bool) -> None:
    """[MS-SMB2] 3.3.5.4: more than 64 KiB only where one request may cost several credits."""
    policy = replace(POLICY, multi_credit=not netbios)
    agreed = negotiate(request(dialect.revision, contexts=[PREAUTH]), policy)
    large = dialect.multi_credit and not netbios
    assert agreed.multi_credit == large == bool(agreed.capabilities & Capabilities.LARGE_MTU)
    sizes = (agreed.max_transact, agreed.max_read, agreed.max_write)
    assert sizes == ((MIB, 8 * MIB, 4 * MIB) if large else (65536,) * 3)


def test_signing_required_is_in_the_response() -> None:
    """[MS-SMB2] 2.2.4: SIGNING_ENABLED always, SIGNING_REQUIRED by configuration."""
    relaxed = negotiate(request(0x0210), POLICY).security_mode
    strict = negotiate(request(0x0210), replace(POLICY, signing_required=True)).security_mode
    assert relaxed == SecurityMode.SIGNING_ENABLED
    assert strict == SecurityMode.SIGNING_ENABLED | SecurityMode.SIGNING_REQUIRED


def test_configured_revisions() -> None:
    """A configured revision as a dialect; an unknown one is the oldest."""
    assert dialect_of(0x0302) is SMB_3_0_2
    assert dialect_of(0) is SMB_2_0_2
