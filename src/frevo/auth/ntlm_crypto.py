"""The cryptography of NTLMv2: proofs, session keys, signatures ([MS-NLMP] 3.3.2, 3.4)."""

from __future__ import annotations

import hashlib
import hmac

from frevo._native import rc4 as rc4
from frevo.auth.ntlm_messages import Flag

_SIGN_CLIENT = b"session key to client-to-server signing key magic constant\x00"
_SIGN_SERVER = b"session key to server-to-client signing key magic constant\x00"
_SEAL_CLIENT = b"session key to client-to-server sealing key magic constant\x00"
_SEAL_SERVER = b"session key to server-to-client sealing key magic constant\x00"


def upper_case(text: str) -> str:
    """Upper case as in Windows: one UTF-16 unit stays one unit, so "ß" does not become "SS"."""
    if text.isascii():
        return text.upper()
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in text)


def hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def ntowfv2(nt_hash: bytes, user: str, domain: str) -> bytes:
    """ResponseKeyNT; *user* must be in upper case ([MS-NLMP] 3.3.2)."""
    return hmac_md5(nt_hash, (user + domain).encode("utf-16-le", "surrogatepass"))


def nt_proof(response_key: bytes, server_challenge: bytes, client_challenge: bytes) -> bytes:
    """NTProofStr over the whole NTLMv2_CLIENT_CHALLENGE *client_challenge* ([MS-NLMP] 3.3.2)."""
    return hmac_md5(response_key, server_challenge + client_challenge)


def _seal_key(flags: int, session_key: bytes, magic: bytes) -> bytes:
    """SEALKEY with extended session security ([MS-NLMP] 3.4.5.3)."""
    if flags & Flag.KEY_128:
        weakened = session_key
    elif flags & Flag.KEY_56:
        weakened = session_key[:7]
    else:
        weakened = session_key[:5]
    return md5(weakened + magic)


def signature(
    flags: int, session_key: bytes, message: bytes, *, from_server: bool, sequence: int = 0
) -> bytes:
    """The NTLMSSP_MESSAGE_SIGNATURE of *message* as the first one signed in its direction.

    Extended session security only, which is what SPNEGO's mechListMIC needs. Reference: [MS-NLMP] 3.4.4.2.
    """
    number = sequence.to_bytes(4, "little")
    signing_key = md5(session_key + (_SIGN_SERVER if from_server else _SIGN_CLIENT))
    checksum = hmac_md5(signing_key, number + message)[:8]
    if flags & Flag.KEY_EXCHANGE:
        checksum = rc4(_seal_key(flags, session_key, _SEAL_SERVER if from_server else _SEAL_CLIENT), checksum)
    return b"\x01\x00\x00\x00" + checksum + number
