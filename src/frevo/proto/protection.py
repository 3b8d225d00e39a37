"""The one door from protocol decisions to the native crypto: a session's keys as the data plane holds them."""

from __future__ import annotations

from frevo._native import SessionKeys
from frevo.proto.dialect import Cipher, Signing
from frevo.proto.keys import DerivedKeys

__all__ = ["SessionKeys", "server_keys"]


def server_keys(
    keys: DerivedKeys, signing: Signing, cipher: Cipher, *, signing_required: bool, encryption_required: bool
) -> SessionKeys:
    """The keys of a session as the server uses them: it seals with server-to-client."""
    return SessionKeys(
        signing_algorithm=int(signing),
        signing_key=keys.signing,
        cipher=int(cipher),
        encryption_key=keys.server_to_client,
        decryption_key=keys.client_to_server,
        signing_required=signing_required,
        encryption_required=encryption_required,
    )
