"""Session keys from the key of the authentication: the KDF of [MS-SMB2] 3.1.4.2 and its labels."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from frevo.proto.dialect import Cipher, Dialect
from frevo.records import Redacted


def derive(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """SP800-108 counter mode with HMAC-SHA256, one or two blocks; *length* is 16 or 32 bytes."""
    suffix = label + b"\0" + context + (length * 8).to_bytes(4, "big")
    return hmac.digest(key, b"\0\0\0\1" + suffix, hashlib.sha256)[:length]


class DerivedKeys(Redacted, msgspec.Struct, frozen=True):
    """A session's keys for signing and encryption. The server decrypts with `client_to_server`."""

    HIDDEN = ("signing", "client_to_server", "server_to_client")

    signing: bytes
    client_to_server: bytes
    server_to_client: bytes


def derive_session_keys(
    dialect: Dialect, cipher: Cipher, full_session_key: bytes, preauth_hash: bytes
) -> DerivedKeys:
    """The keys of a session, without the unused application key. *full_session_key* comes from authentication (16 bytes
    or more, [MS-SMB2] 3.3.5.5.3); AES-256 ciphers use all of it, everything else its first 16 bytes, zero-padded."""
    session_key = full_session_key[:16].ljust(16, b"\0")
    if not dialect.encryption:
        return DerivedKeys(session_key, b"", b"")
    length = cipher.key_length
    base_key = full_session_key if length == 32 else session_key
    if dialect.contexts:
        return DerivedKeys(
            derive(session_key, b"SMBSigningKey\0", preauth_hash, 16),
            derive(base_key, b"SMBC2SCipherKey\0", preauth_hash, length),
            derive(base_key, b"SMBS2CCipherKey\0", preauth_hash, length),
        )
    return DerivedKeys(
        derive(session_key, b"SMB2AESCMAC\0", b"SmbSign\0", 16),
        derive(session_key, b"SMB2AESCCM\0", b"ServerIn \0", 16),
        derive(session_key, b"SMB2AESCCM\0", b"ServerOut\0", 16),
    )
