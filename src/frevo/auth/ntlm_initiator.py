"""NTLMv2 of a client in SPNEGO ([MS-NLMP] 3.1.5): cheap enough not to hide what a server's log-on costs.

For the bench, which logs on thousands of times a second. It asks for what every server since NTLMv2 offers, signs the
mechanism list, and does not check the server's own: the signature of the log-on's last answer proves the key.
"""

from __future__ import annotations

import os
import struct
import time

from frevo.auth.md4 import nt_hash
from frevo.auth.ntlm_crypto import hmac_md5, nt_proof, ntowfv2, rc4, signature, upper_case
from frevo.auth.ntlm_messages import AvId, Flag, pack_av_pairs, parse_av_pairs
from frevo.auth.spnego_tokens import der, parse_resp
from frevo.errors import WireError
from frevo.wire.dtyp.filetime import from_unix_ns

_SPNEGO_OID = bytes.fromhex("06062b0601050502")
_NTLM_OID = bytes.fromhex("060a2b06010401823702020a")
_MECHANISMS = der(0x30, _NTLM_OID)
_FLAGS = int(
    Flag.UNICODE
    | Flag.REQUEST_TARGET
    | Flag.SIGN
    | Flag.NTLM
    | Flag.ALWAYS_SIGN
    | Flag.EXTENDED_SESSION_SECURITY
    | Flag.KEY_128
    | Flag.KEY_EXCHANGE
)
_NEGOTIATE = struct.pack("<8sII16x", b"NTLMSSP\0", 1, _FLAGS)
_CHALLENGE_BYTES = 48
_MIC_OFFSET = 72
_MIC_PRESENT = 2


class NTLMCredentials:
    """A user with the hashes that do not depend on the server's challenge."""

    def __init__(self, user: str, password: str, domain: str) -> None:
        self.user = user.encode("utf-16-le")
        self.domain = domain.encode("utf-16-le")
        self.response_key = ntowfv2(nt_hash(password), upper_case(user), domain)


class NTLMInitiator:
    """One log-on: `step(None)` is the token to begin with, `step(challenge)` the second one."""

    def __init__(self, credentials: NTLMCredentials) -> None:
        self._credentials = credentials
        self.session_key = b""
        self.complete = False

    def step(self, token: bytes | None) -> bytes:
        """The next token. WireError for a challenge that is none."""
        if token is None:
            return _FIRST
        self.complete = True
        return self._answer(parse_resp(token).token or b"")

    def _answer(self, challenge: bytes) -> bytes:
        """The AUTHENTICATE for the server's challenge; sets session_key ([MS-NLMP] 3.1.5.1.2)."""
        if len(challenge) < _CHALLENGE_BYTES:
            raise WireError("an NTLM challenge that ends early")
        flags, server_challenge = struct.unpack_from("<I8s", challenge, 20)
        length, offset = struct.unpack_from("<H2xI", challenge, 40)
        info = parse_av_pairs(challenge[offset : offset + length])
        info[AvId.FLAGS] = struct.pack("<I", _MIC_PRESENT)
        stamp = info.get(AvId.TIMESTAMP) or struct.pack("<Q", from_unix_ns(time.time_ns()))
        pairs = pack_av_pairs([(key, value) for key, value in info.items() if key])
        blob = struct.pack("<BB6x8s8s4x", 1, 1, stamp, os.urandom(8)) + pairs + bytes(4)
        key = self._credentials.response_key
        proof = nt_proof(key, server_challenge, blob)
        self.session_key = os.urandom(16)
        sealed_key = rc4(hmac_md5(key, proof), self.session_key)
        flags &= _FLAGS
        message = self._authenticate(flags, proof + blob, sealed_key)
        mic = hmac_md5(self.session_key, _NEGOTIATE + challenge + message)
        message = message[:_MIC_OFFSET] + mic + message[_MIC_OFFSET + 16 :]
        list_mic = signature(flags, self.session_key, _MECHANISMS, from_server=False)
        return der(0xA1, der(0x30, der(0xA2, der(0x04, message)) + der(0xA3, der(0x04, list_mic))))

    def _authenticate(self, flags: int, nt_response: bytes, sealed_key: bytes) -> bytes:
        fields, payload, offset = b"", b"", _MIC_OFFSET + 16
        parts = (bytes(24), nt_response, self._credentials.domain, self._credentials.user, b"", sealed_key)
        for part in parts:
            fields += struct.pack("<HHI", len(part), len(part), offset + len(payload))
            payload += part
        return (
            struct.pack("<8sI", b"NTLMSSP\0", 3) + fields + struct.pack("<I8s16x", flags, bytes(8)) + payload
        )


def _first() -> bytes:
    token = der(0xA2, der(0x04, _NEGOTIATE))
    return der(0x60, _SPNEGO_OID + der(0xA0, der(0x30, der(0xA0, _MECHANISMS) + token)))


_FIRST = _first()
