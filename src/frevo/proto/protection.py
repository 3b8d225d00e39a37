"""The only connection between protocol decisions and native cryptography: a session's keys for the data plane."""

from __future__ import annotations

from frevo._native import SessionKeys
from frevo.proto.dialect import Cipher, Signing
from frevo.proto.keys import DerivedKeys

__all__ = ["SessionKeys", "client_keys", "server_keys"]


def server_keys(
    keys: DerivedKeys, signing: Signing, cipher: Cipher, *, signing_required: bool, encryption_required: bool
) -> SessionKeys:
    """The server's keys of a session: it encrypts with server-to-client."""
    return _session_keys(
        (keys.signing, keys.server_to_client, keys.client_to_server),
        signing,
        cipher,
        signing_required,
        encryption_required,
    )


def client_keys(
    keys: DerivedKeys, signing: Signing, cipher: Cipher, *, signing_required: bool, encryption_required: bool
) -> SessionKeys:
    """The client's keys of a session: it encrypts with client-to-server."""
    return _session_keys(
        (keys.signing, keys.client_to_server, keys.server_to_client),
        signing,
        cipher,
        signing_required,
        encryption_required,
    )


def _session_keys(
    keys: tuple[bytes, bytes, bytes], signing: Signing, cipher: Cipher, must_sign: bool, must_encrypt: bool
) -> SessionKeys:
    """From the keys for signing, sending and receiving."""
    return SessionKeys(
        signing_algorithm=int(signing),
        signing_key=keys[0],
        cipher=int(cipher),
        encryption_key=keys[1],
        decryption_key=keys[2],
        signing_required=must_sign,
        encryption_required=must_encrypt,
    )
