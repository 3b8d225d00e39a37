"""The result of NEGOTIATE for server and client: dialect, signing, cipher, preauth ([MS-SMB2] 3.3.5.4)."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence

import msgspec

from frevo.errors import SMBError
from frevo.proto.dialect import BY_REVISION, SMB_2_0_2, Cipher, Dialect, Signing, choose
from frevo.proto.rdma import answer_transforms, offer_transforms
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CREDIT_BYTES,
    Capabilities,
    EncryptionCapabilities,
    NegotiateContext,
    NegotiateContextType,
    NegotiateRequest,
    PreauthHash,
    PreauthIntegrityCapabilities,
    RDMATransform,
    SecurityMode,
    SigningCapabilities,
    TransportCapabilities,
    TransportCapabilitiesContext,
)

SALT_LENGTH = 32


class NegotiationPolicy(msgspec.Struct, frozen=True):
    """This side's offer; the sequences are in order of preference."""

    minimum: Dialect
    maximum: Dialect
    signing_required: bool
    signing: Sequence[Signing]
    ciphers: Sequence[Cipher]  # empty: encryption is off
    max_transact: int
    max_read: int
    max_write: int
    #: False on NetBIOS, whose frames end at 128 KiB ([MS-SMB2] 3.3.5.4: Connection.SupportsMultiCredit).
    multi_credit: bool = True
    #: The transport encrypts, and this side relies on that instead of SMB encryption if the other one does too
    #: ([MS-SMB2] 3.1.1.1: DisableEncryptionOverSecureTransport).
    transport_security: bool = False
    #: How data that RDMA carries may be protected; empty: the transport has no RDMA, or nothing is to protect it.
    rdma_transforms: Sequence[RDMATransform] = ()


class Negotiated(msgspec.Struct, frozen=True):
    """The negotiated values, and the fields of the response for them."""

    dialect: Dialect
    signing: Signing
    cipher: Cipher
    capabilities: int
    security_mode: int
    max_transact: int
    max_read: int
    max_write: int
    contexts: list[NegotiateContext]
    #: Connection.AcceptTransportSecurity: nothing needs to be encrypted again.
    transport_security: bool = False
    #: Connection.RDMATransformIds
    rdma_transforms: tuple[RDMATransform, ...] = ()

    @property
    def multi_credit(self) -> bool:
        """Connection.SupportsMultiCredit."""
        return bool(self.capabilities & Capabilities.LARGE_MTU)


def negotiate(request: NegotiateRequest, policy: NegotiationPolicy) -> Negotiated:
    """Negotiate as the server. Raises SMBError: INVALID_PARAMETER, NOT_SUPPORTED (no common dialect),
    SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP."""
    if not request.dialects:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no dialects")
    dialect = choose(request.dialects, policy.minimum, policy.maximum)
    if dialect is None:
        offered = ", ".join(f"{revision:#06x}" for revision in request.dialects)
        raise SMBError(NTStatus.NOT_SUPPORTED, f"none of the dialects {offered} is supported")
    if dialect.contexts:
        return _answer_contexts(request.contexts, dialect, policy)
    can_encrypt = dialect.encryption and request.capabilities & Capabilities.ENCRYPTION and policy.ciphers
    return agreed(dialect, dialect.signing, Cipher.AES_128_CCM if can_encrypt else Cipher.NONE, [], policy)


def agreed(
    dialect: Dialect,
    signing: Signing,
    cipher: Cipher,
    contexts: list[NegotiateContext],
    policy: NegotiationPolicy,
    *,
    transport_security: bool = False,
    rdma_transforms: tuple[RDMATransform, ...] = (),
) -> Negotiated:
    """The response's fields for the values chosen."""
    multi_credit = dialect.multi_credit and policy.multi_credit
    capabilities = int(Capabilities.LARGE_MTU) if multi_credit else 0
    if cipher and not dialect.contexts:
        capabilities |= Capabilities.ENCRYPTION
    mode = int(SecurityMode.SIGNING_ENABLED)
    if policy.signing_required:
        mode |= SecurityMode.SIGNING_REQUIRED
    # Without multi-credit requests, 64 KiB is the most that one credit covers ([MS-SMB2] 3.3.5.4).
    limit = policy.max_transact if multi_credit else CREDIT_BYTES
    return Negotiated(
        dialect, signing, cipher, capabilities, mode,
        limit, min(policy.max_read, limit) if limit == CREDIT_BYTES else policy.max_read,
        min(policy.max_write, limit) if limit == CREDIT_BYTES else policy.max_write, contexts,
        transport_security, rdma_transforms,
    )  # fmt: skip


def _answer_contexts(
    offered: list[NegotiateContext], dialect: Dialect, policy: NegotiationPolicy
) -> Negotiated:
    """The 3.1.1 contexts: preauth is required, each known type may occur once, unknown ones are ignored."""
    try:
        known = by_type(offered, _ONCE_IN_REQUEST)
    except ValueError as error:
        raise SMBError(NTStatus.INVALID_PARAMETER, str(error)) from None
    contexts = [_answer_preauth(known.get(NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES))]
    signing, cipher = dialect.signing, Cipher.NONE
    data = known.get(NegotiateContextType.ENCRYPTION_CAPABILITIES)
    if data is not None:
        ciphers = EncryptionCapabilities.parse(data).ciphers
        if not ciphers:
            raise SMBError(NTStatus.INVALID_PARAMETER, "no ciphers in the encryption context")
        cipher = next((one for one in policy.ciphers if one in ciphers), Cipher.NONE)
        contexts.append(EncryptionCapabilities([int(cipher)]).context())
    data = known.get(NegotiateContextType.SIGNING_CAPABILITIES)
    if data is not None:
        algorithms = SigningCapabilities.parse(data).signing_algorithms
        if not algorithms:
            raise SMBError(NTStatus.INVALID_PARAMETER, "no algorithms in the signing context")
        common = next((one for one in policy.signing if one in algorithms), None)
        if common is not None:
            signing = common
            contexts.append(SigningCapabilities([int(signing)]).context())
    relied = False
    data = known.get(NegotiateContextType.TRANSPORT_CAPABILITIES)
    if data is not None:
        relied = accepts_transport_security(data) and policy.transport_security
        flags = TransportCapabilities.ACCEPT_TRANSPORT_LEVEL_SECURITY if relied else 0
        contexts.append(TransportCapabilitiesContext(int(flags)).context())
    transforms: tuple[RDMATransform, ...] = ()
    data = known.get(NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES)
    if data is not None and policy.rdma_transforms:
        try:
            transforms = answer_transforms(data, policy.rdma_transforms)
        except ValueError as error:
            raise SMBError(NTStatus.INVALID_PARAMETER, str(error)) from None
        contexts.append(offer_transforms(transforms))
    return agreed(
        dialect, signing, cipher, contexts, policy, transport_security=relied, rdma_transforms=transforms
    )


#: Contexts that a request may have only once ([MS-SMB2] 3.3.5.4).
_ONCE_IN_REQUEST = frozenset(
    {
        NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES,
        NegotiateContextType.ENCRYPTION_CAPABILITIES,
        NegotiateContextType.COMPRESSION_CAPABILITIES,
        NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES,
        NegotiateContextType.SIGNING_CAPABILITIES,
    }
)
#: Contexts that a response may have only once ([MS-SMB2] 3.2.5.2).
ONCE_IN_RESPONSE = _ONCE_IN_REQUEST | {NegotiateContextType.TRANSPORT_CAPABILITIES}


def by_type(contexts: Iterable[NegotiateContext], once: Container[int]) -> dict[int, bytes]:
    """The data of each context by its type; ValueError when a type of *once* occurs twice."""
    known: dict[int, bytes] = {}
    for context in contexts:
        if context.context_type in known and context.context_type in once:
            raise ValueError(f"negotiate context {context.context_type} twice")
        known[context.context_type] = context.data
    return known


def accepts_transport_security(data: bytes) -> bool:
    """Whether a transport context offers or accepts to rely on the transport. WireError if it is too short."""
    flags = TransportCapabilitiesContext.parse(data).flags
    return bool(flags & TransportCapabilities.ACCEPT_TRANSPORT_LEVEL_SECURITY)


def _answer_preauth(data: bytes | None) -> NegotiateContext:
    if data is None:
        raise SMBError(NTStatus.INVALID_PARAMETER, "3.1.1 without a preauth integrity context")
    offer = PreauthIntegrityCapabilities.parse(data)
    if not offer.hash_algorithms:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no hash in the preauth context")
    if PreauthHash.SHA512 not in offer.hash_algorithms:
        raise SMBError(NTStatus.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP, "only SHA-512 is supported")
    return PreauthIntegrityCapabilities([int(PreauthHash.SHA512)], os.urandom(SALT_LENGTH)).context()


def dialect_of(revision: int) -> Dialect:
    """The dialect with a configured revision number."""
    return BY_REVISION.get(revision, SMB_2_0_2)
