"""The client's half of NEGOTIATE ([MS-SMB2] 3.2.4.2): offer, check of the response, and later validation."""

from __future__ import annotations

import os

from frevo.errors import RemoteProtocolError, WireError
from frevo.proto.dialect import BY_REVISION, DIALECTS, Cipher, Dialect, Signing
from frevo.proto.negotiation import (
    ONCE_IN_RESPONSE,
    SALT_LENGTH,
    Negotiated,
    NegotiationPolicy,
    accepts_transport_security,
    by_type,
)
from frevo.proto.rdma import accept_transforms, offer_transforms
from frevo.wire.smb2 import (
    CREDIT_BYTES,
    Capabilities,
    EncryptionCapabilities,
    NegotiateContextType,
    NegotiateRequest,
    NegotiateResponse,
    NetnameNegotiateContextId,
    PreauthHash,
    PreauthIntegrityCapabilities,
    RDMATransform,
    SecurityMode,
    SigningCapabilities,
    TransportCapabilities,
    TransportCapabilitiesContext,
    ValidateNegotiateInfoRequest,
    ValidateNegotiateInfoResponse,
)


def offer(policy: NegotiationPolicy, client_guid: bytes, server_name: str) -> NegotiateRequest:
    """A request for all dialects of the policy ([MS-SMB2] 2.2.3)."""
    dialects = [d for d in DIALECTS if policy.minimum.revision <= d.revision <= policy.maximum.revision]
    mode = SecurityMode.SIGNING_REQUIRED if policy.signing_required else SecurityMode.SIGNING_ENABLED
    request = NegotiateRequest([d.revision for d in dialects], int(mode), 0, client_guid)
    if any(d.encryption for d in dialects):
        request.capabilities = int(Capabilities.LARGE_MTU)
        if policy.ciphers:
            request.capabilities |= Capabilities.ENCRYPTION
    elif any(d.multi_credit for d in dialects):
        request.capabilities = int(Capabilities.LARGE_MTU)
    if any(d.contexts for d in dialects):
        salt = os.urandom(SALT_LENGTH)
        request.contexts.append(PreauthIntegrityCapabilities([int(PreauthHash.SHA512)], salt).context())
        if policy.ciphers:
            request.contexts.append(EncryptionCapabilities([int(c) for c in policy.ciphers]).context())
        request.contexts.append(SigningCapabilities([int(s) for s in policy.signing]).context())
        request.contexts.append(NetnameNegotiateContextId(server_name).context())
        if policy.transport_security:
            flags = int(TransportCapabilities.ACCEPT_TRANSPORT_LEVEL_SECURITY)
            request.contexts.append(TransportCapabilitiesContext(flags).context())
        if policy.rdma_transforms:
            request.contexts.append(offer_transforms(policy.rdma_transforms))
    return request


def accept(request: NegotiateRequest, response: NegotiateResponse, policy: NegotiationPolicy) -> Negotiated:
    """The negotiated values. RemoteProtocolError if the response does not match this request ([MS-SMB2] 3.2.5.2)."""
    dialect = BY_REVISION.get(response.dialect_revision)
    if dialect is None or dialect.revision not in request.dialects:
        raise RemoteProtocolError(
            f"the server chose dialect {response.dialect_revision:#06x}, which was not offered"
        )
    signing, cipher, relied = dialect.signing, Cipher.NONE, False
    transforms: tuple[RDMATransform, ...] = ()
    if dialect.contexts:
        signing, cipher, relied, transforms = _accept_contexts(response, dialect, policy)
    elif dialect.encryption and response.capabilities & Capabilities.ENCRYPTION and policy.ciphers:
        cipher = Cipher.AES_128_CCM
    capabilities = response.capabilities if dialect.multi_credit and policy.multi_credit else 0
    multi_credit = bool(capabilities & Capabilities.LARGE_MTU)

    def limit(ours: int, theirs: int) -> int:
        return min(ours, theirs) if multi_credit else min(ours, theirs, CREDIT_BYTES)

    max_transact = limit(policy.max_transact, response.max_transact_size)
    max_read = limit(policy.max_read, response.max_read_size)
    max_write = limit(policy.max_write, response.max_write_size)
    if min(max_transact, max_read, max_write) < 4096:
        raise RemoteProtocolError("the server allows less than 4096 bytes per request")
    return Negotiated(
        dialect, signing, cipher, capabilities, response.security_mode,
        max_transact, max_read, max_write, response.contexts, relied, transforms,
    )  # fmt: skip


def _accept_contexts(
    response: NegotiateResponse, dialect: Dialect, policy: NegotiationPolicy
) -> tuple[Signing, Cipher, bool, tuple[RDMATransform, ...]]:
    """The signing algorithm and the cipher, whether both sides rely on the transport instead of encrypting, and how
    data that RDMA carries is protected."""
    relied = False
    transforms: tuple[RDMATransform, ...] = ()
    try:
        known = by_type(response.contexts, ONCE_IN_RESPONSE)
        preauth = PreauthIntegrityCapabilities.parse(
            known.get(NegotiateContextType.PREAUTH_INTEGRITY_CAPABILITIES, b"")
        )
        ciphers, signings = list[int](), [int(dialect.signing)]
        if data := known.get(NegotiateContextType.ENCRYPTION_CAPABILITIES):
            ciphers = EncryptionCapabilities.parse(data).ciphers
        if data := known.get(NegotiateContextType.SIGNING_CAPABILITIES):
            signings = SigningCapabilities.parse(data).signing_algorithms
        if (data := known.get(NegotiateContextType.TRANSPORT_CAPABILITIES)) is not None:
            relied = accepts_transport_security(data) and policy.transport_security
        if policy.rdma_transforms and (data := known.get(NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES)):
            transforms = accept_transforms(data, policy.rdma_transforms)
    except (WireError, ValueError) as error:
        raise RemoteProtocolError(f"negotiate contexts: {error}") from None
    if preauth.hash_algorithms != [PreauthHash.SHA512]:
        raise RemoteProtocolError("the server did not choose SHA-512 for preauthentication integrity")
    cipher = ciphers[0] if ciphers else 0
    if len(ciphers) > 1 or (cipher and cipher not in policy.ciphers):
        raise RemoteProtocolError(f"the server chose ciphers {ciphers}, which were not offered")
    if len(signings) != 1 or signings[0] not in {*policy.signing, dialect.signing}:
        raise RemoteProtocolError(f"the server chose signing algorithms {signings}, which were not offered")
    return Signing(signings[0]), Cipher(cipher), relied, transforms


def validation(request: NegotiateRequest) -> ValidateNegotiateInfoRequest:
    """The input of FSCTL_VALIDATE_NEGOTIATE_INFO: the offer ([MS-SMB2] 3.2.5.5)."""
    return ValidateNegotiateInfoRequest(
        request.capabilities, request.client_guid, request.security_mode, request.dialects
    )


def check_validation(first: NegotiateResponse, second: ValidateNegotiateInfoResponse) -> None:
    """RemoteProtocolError if the signed response differs from the NEGOTIATE response, which was then changed in
    transit."""
    said = (first.capabilities, first.server_guid, first.security_mode, first.dialect_revision)
    if said != (second.capabilities, second.guid, second.security_mode, second.dialect):
        raise RemoteProtocolError("the negotiation was changed in transit (downgrade attack?)")
