"""NEGOTIATE: dialect, algorithms, limits; and the SMB1 negotiate that leads to SMB2 ([MS-SMB2] 3.3.5.3, 3.3.5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.config.choices import SIGNING_REQUIRED
from frevo.errors import RemoteProtocolError, SMBError
from frevo.proto import preauth
from frevo.proto.dialect import SMB_2_0_2, WILDCARD_REVISION, Cipher, Signing, newer
from frevo.proto.negotiation import Negotiated, NegotiationPolicy, agreed, dialect_of, negotiate
from frevo.proto.rdma import TRANSFORMS, ways
from frevo.server.core.request import Buffer, Request
from frevo.server.core.state import Connection
from frevo.transport.base import FRAME_OVERHEAD, ConnectionSettings
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, Header, HeaderFlags, NegotiateRequest, NegotiateResponse
from frevo.wire.smb2.smb1_negotiate import SMB_2_002, SMB_2_WILDCARD, SMB1NegotiateRequest

if TYPE_CHECKING:
    from frevo.server.core.server import Server

_SIGNING = {
    "AES-128-GMAC": Signing.AES_GMAC,
    "AES-128-CMAC": Signing.AES_CMAC,
    "HMAC-SHA256": Signing.HMAC_SHA256,
}
_CIPHERS = {
    "AES-128-CCM": Cipher.AES_128_CCM,
    "AES-128-GCM": Cipher.AES_128_GCM,
    "AES-256-CCM": Cipher.AES_256_CCM,
    "AES-256-GCM": Cipher.AES_256_GCM,
}


def policy_of(server: Server, connection: Connection) -> NegotiationPolicy:
    """What the configuration and the transport allow to negotiate."""
    settings = server.config.globals
    ciphers = () if settings.server_smb_encrypt == "off" else settings.server_smb3_encryption_algorithms
    traits = connection.traits
    message_max = traits.message_max
    if traits.rdma:  # responses: peers take smaller messages than they send
        message_max = min(message_max, settings.frevo_smbdirect_message_size)
    return NegotiationPolicy(
        newer(dialect_of(settings.server_min_protocol), traits.oldest),
        dialect_of(settings.server_max_protocol),
        settings.server_signing in SIGNING_REQUIRED,
        [_SIGNING[name] for name in settings.server_smb3_signing_algorithms],
        [_CIPHERS[name] for name in ciphers],
        min(settings.smb2_max_trans, message_max - FRAME_OVERHEAD),
        settings.smb2_max_read,
        settings.smb2_max_write,
        multi_credit=traits.multi_credit,
        transport_security=traits.secure and not settings.server_smb_encryption_over_quic,
        rdma_transforms=TRANSFORMS[settings.frevo_rdma_transforms] if traits.rdma else (),
    )


def handle(request: Request) -> bytes:
    """[MS-SMB2] 3.3.5.4."""
    connection, server = request.connection, request.server
    if request.header.flags & HeaderFlags.SIGNED:
        raise SMBError(NTStatus.INVALID_PARAMETER, "NEGOTIATE cannot be signed")  # 3.3.5.2.4
    fields = NegotiateRequest.parse(request.message)
    result = negotiate(fields, policy_of(server, connection))
    connection.client_guid = fields.client_guid
    connection.client_capabilities = fields.capabilities
    connection.client_security_mode = fields.security_mode
    body = _agree(server, connection, result)
    # One credit, so that the header is final: the data plane changes no header that goes into the hash.
    request.header.credits = 1
    if result.dialect.contexts:
        connection.preauth_hash = preauth.update(preauth.INITIAL, request.message)
        request.chain.before_sending = lambda message: _hash_response(connection, message)
    return body


def _hash_response(connection: Connection, message: bytes) -> None:
    connection.preauth_hash = preauth.update(connection.preauth_hash, message)


def _agree(server: Server, connection: Connection, result: Negotiated) -> bytes:
    connection.dialect = result.dialect
    connection.multi_credit = result.multi_credit
    connection.signing = result.signing
    connection.cipher = result.cipher
    connection.transport_security = result.transport_security
    connection.rdma = ways(result.dialect, result.rdma_transforms) if connection.traits.rdma else 0
    connection.server_capabilities = result.capabilities
    connection.server_security_mode = result.security_mode
    connection.max_transact = result.max_transact
    connection.max_read = result.max_read
    connection.max_write = result.max_write
    server.transport.set_connection(
        connection.id,
        ConnectionSettings(authenticated=False, max_read=result.max_read, multi_credit=result.multi_credit),
    )
    return _response(server, result, result.dialect.revision)


def _response(server: Server, result: Negotiated, revision: int) -> bytes:
    return NegotiateResponse(
        security_mode=result.security_mode,
        dialect_revision=revision,
        server_guid=server.guid,
        capabilities=result.capabilities,
        max_transact_size=result.max_transact,
        max_read_size=result.max_read,
        max_write_size=result.max_write,
        system_time=server.now(),
        security_buffer=server.authenticator.initial_token(),
        contexts=result.contexts,
    ).pack()


def handle_smb1(server: Server, connection: Connection, message: Buffer) -> bytes:
    """Answers an SMB1 NEGOTIATE that lists an SMB2 dialect with SMB2; returns the whole response.

    Anything else in SMB1 ends the connection. Reference: [MS-SMB2] 3.3.5.3.
    """
    if connection.dialect is not None:
        raise RemoteProtocolError("SMB1 after negotiate")
    fields = SMB1NegotiateRequest.parse(message)
    policy = policy_of(server, connection)
    if SMB_2_WILDCARD in fields.dialects and policy.maximum is not SMB_2_0_2:
        result = agreed(SMB_2_0_2, Signing.HMAC_SHA256, Cipher.NONE, [], policy)
        body = _response(server, result, WILDCARD_REVISION)
    elif SMB_2_002 in fields.dialects and policy.minimum is SMB_2_0_2:
        result = negotiate(NegotiateRequest([SMB_2_0_2.revision]), policy)
        body = _agree(server, connection, result)
    else:
        raise RemoteProtocolError(f"SMB1 only: {', '.join(fields.dialects[:16])}")
    header = Header(command=Command.NEGOTIATE, credits=1, flags=HeaderFlags.SERVER_TO_REDIR)
    return header.pack() + body
