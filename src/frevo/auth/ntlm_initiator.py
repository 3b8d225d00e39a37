"""A client's NTLMv2 in SPNEGO ([MS-NLMP] 3.1.5, RFC 4178): log-on with user and password, or anonymously.

It offers only NTLM, and supports only NTLMv2. Every AUTHENTICATE has a MIC, even if the server does not ask for one
with a timestamp, so that an attacker gains nothing by removing the timestamp from the challenge.
"""

from __future__ import annotations

import hmac
import os
import struct
import time

from frevo.auth import spnego_tokens as spnego
from frevo.auth.md4 import nt_hash
from frevo.auth.ntlm_crypto import hmac_md5, nt_proof, ntowfv2, rc4, signature, upper_case
from frevo.auth.ntlm_messages import (
    AV_FLAG_MIC,
    MIC_OFFSET,
    MIC_SIZE,
    AvId,
    Challenge,
    Flag,
    pack_authenticate,
    pack_av_pairs,
    pack_negotiate,
)
from frevo.errors import RemoteProtocolError, SMBError
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus

_MECHANISMS = spnego.der(0x30, spnego.der(0x06, spnego.OID_NTLMSSP))
#: What we ask for; the server may take away from it, never add to it.
_FLAGS = int(
    Flag.UNICODE
    | Flag.OEM
    | Flag.REQUEST_TARGET
    | Flag.SIGN
    | Flag.NTLM
    | Flag.ALWAYS_SIGN
    | Flag.EXTENDED_SESSION_SECURITY
    | Flag.VERSION  # some servers expect the version, which the specification leaves to the client
    | Flag.KEY_128
    | Flag.KEY_EXCHANGE
)
_ANONYMOUS_FLAGS = Flag.UNICODE | Flag.OEM | Flag.REQUEST_TARGET | Flag.NTLM | Flag.EXTENDED_SESSION_SECURITY
_NAME_LETTERS_MAX = 1024


class NTLMCredentials:
    """A user with the hashes that do not depend on the server's challenge; ValueError for a name that is too long."""

    __slots__ = ("domain", "response_key", "user")

    def __init__(self, user: str, password: str, domain: str) -> None:
        if len(user) + len(domain) > _NAME_LETTERS_MAX:
            raise ValueError(f"user name and domain may have at most {_NAME_LETTERS_MAX} characters")
        self.user = user
        self.domain = domain
        self.response_key = ntowfv2(nt_hash(password), upper_case(user), domain)


class NTLMInitiator:
    """One log-on: `step(None)` starts, `step(challenge)` proves who the user is, `step(last)` checks the end.

    Without *credentials*, the log-on is anonymous and has no key. *target*: the service as `cifs/server`, which a
    server may compare with its own names.
    """

    def __init__(self, credentials: NTLMCredentials | None, target: str = "") -> None:
        self._credentials = credentials
        self._target = target
        self._flags = 0
        self._answered = False
        #: 16 bytes after the second step; empty for anonymous users.
        self.session_key = b""
        #: The server's last token was seen and is right.
        self.complete = False

    def step(self, token: bytes | None) -> bytes:
        """The next token, empty after the last one.

        WireError for a malformed token; SMBError if the server does not accept NTLM; RemoteProtocolError if the
        signature of its mechanism list is wrong.
        """
        if token is None:
            return _FIRST if self._credentials else _FIRST_OF_NOBODY
        answer = spnego.parse_resp(token)
        if answer.state == spnego.REJECT or answer.mechanism not in (None, spnego.OID_NTLMSSP):
            raise SMBError(NTStatus.LOGON_FAILURE, "the server does not accept NTLM")
        if self._answered:
            self._finish(answer)
            return b""
        self._answered = True
        message, mic = self._answer(answer.token or b"")
        return spnego.NegTokenResp(token=message, mic=mic).pack()

    def _finish(self, answer: spnego.NegTokenResp) -> None:
        """Check the mechListMIC of the last token, if it has one (RFC 4178 section 5)."""
        if answer.mic is not None and self._signs:
            expected = signature(self._flags, self.session_key, _MECHANISMS, from_server=True)
            if not hmac.compare_digest(expected, answer.mic):
                raise RemoteProtocolError(
                    "the signature of the server's mechanism list is wrong: the connection may be under "
                    "attack"
                )
        self.complete = True

    @property
    def _signs(self) -> bool:
        needed = Flag.SIGN | Flag.EXTENDED_SESSION_SECURITY
        return self._flags & needed == needed

    def _answer(self, token: bytes) -> tuple[bytes, bytes | None]:
        """The AUTHENTICATE for the server's challenge and mechListMIC; sets session_key ([MS-NLMP] 3.1.5.1.2)."""
        challenge = Challenge.parse(token)
        if self._credentials is None:
            flags = _agreed(challenge.flags, _ANONYMOUS_FLAGS) | Flag.ANONYMOUS
            return pack_authenticate(flags, lm_response=b"\0"), None
        self._flags = _agreed(challenge.flags, _FLAGS)
        lm_response, nt_response = self._responses(self._credentials, challenge)
        key = hmac_md5(self._credentials.response_key, nt_response[:16])
        encrypted_key = b""
        if self._flags & Flag.KEY_EXCHANGE and self._flags & Flag.SIGN:
            self.session_key = os.urandom(16)
            encrypted_key = rc4(key, self.session_key)
        else:
            self.session_key = key
        message = pack_authenticate(
            self._flags,
            lm_response,
            nt_response,
            self._credentials.domain,
            self._credentials.user,
            os.uname().nodename.upper(),
            encrypted_key,
        )
        mic = hmac_md5(self.session_key, _NEGOTIATE + token + message)
        message = message[:MIC_OFFSET] + mic + message[MIC_OFFSET + MIC_SIZE :]
        if not self._signs:
            return message, None
        return message, signature(self._flags, self.session_key, _MECHANISMS, from_server=False)

    def _responses(self, credentials: NTLMCredentials, challenge: Challenge) -> tuple[bytes, bytes]:
        """LmChallengeResponse and NtChallengeResponse ([MS-NLMP] 3.3.2); LMv2 only if the server sent no timestamp."""
        key, ours = credentials.response_key, os.urandom(8)
        info = dict(challenge.target_info)
        stamp = info.get(AvId.TIMESTAMP)
        lm_response = bytes(24) if stamp else hmac_md5(key, challenge.server_challenge + ours) + ours
        flags = int.from_bytes(info.get(AvId.FLAGS, b"")[:4], "little")
        info[AvId.FLAGS] = (flags | AV_FLAG_MIC).to_bytes(4, "little")
        info[AvId.CHANNEL_BINDINGS] = bytes(16)
        info[AvId.TARGET_NAME] = self._target.encode("utf-16-le", "surrogatepass")
        stamp = stamp or from_unix_ns(time.time_ns()).to_bytes(8, "little")
        blob = struct.pack("<BB6x8s8s4x", 1, 1, stamp, ours) + pack_av_pairs(list(info.items())) + bytes(4)
        return lm_response, nt_proof(key, challenge.server_challenge, blob) + blob


def _agreed(theirs: int, ours: int) -> int:
    """The flags that both sides want, with one of the two character sets."""
    flags = theirs & ours
    return flags & ~Flag.OEM if flags & Flag.UNICODE else flags


def _first(negotiate: bytes) -> bytes:
    """NegTokenInit with NTLM as its only mechanism and *negotiate* for it (RFC 4178 section 4.2.1)."""
    fields = spnego.der(0xA0, _MECHANISMS) + spnego.der(0xA2, spnego.der(0x04, negotiate))
    init = spnego.der(0xA0, spnego.der(0x30, fields))
    return spnego.der(0x60, spnego.der(0x06, spnego.OID_SPNEGO) + init)


_NEGOTIATE = pack_negotiate(_FLAGS)
_FIRST = _first(_NEGOTIATE)
_FIRST_OF_NOBODY = _first(pack_negotiate(_ANONYMOUS_FLAGS))
