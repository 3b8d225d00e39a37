"""NTLM messages: NEGOTIATE, CHALLENGE and AUTHENTICATE, read and written ([MS-NLMP] 2.2)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.records import Redacted

SIGNATURE = b"NTLMSSP\x00"
NEGOTIATE, CHALLENGE, AUTHENTICATE = 1, 2, 3

#: Longest message taken; the largest real ones (many AvPairs) stay below 4 KiB.
MAX_MESSAGE_BYTES = 16384
#: Offset and length of the MIC in AUTHENTICATE ([MS-NLMP] 2.2.1.3).
MIC_OFFSET = 72
MIC_SIZE = 16

#: The OEM character set of both sides: Samba's default `dos charset`, in which ASCII is ASCII ([MS-NLMP] 2.2.2.5).
_OEM = "cp850"

_HEADER = struct.Struct("<8sI")
_AUTHENTICATE = struct.Struct("<8sI" + "HHI" * 6 + "I")
_CHALLENGE = struct.Struct("<8sIHHII8s8xHHI8s")
_CHALLENGE_START = struct.Struct("<I8s")
_CHALLENGE_INFO = struct.Struct("<H2xI")
_PAIR = struct.Struct("<HH")
#: Version 6.1 (Windows' number, as every other server says it), NTLM revision 15 ([MS-NLMP] 2.2.2.10).
_VERSION = struct.pack("<BBHxxxB", 6, 1, 0, 15)


class Flag:
    """NegotiateFlags ([MS-NLMP] 2.2.2.5)."""

    UNICODE = 0x00000001
    OEM = 0x00000002
    REQUEST_TARGET = 0x00000004
    SIGN = 0x00000010
    SEAL = 0x00000020
    LM_KEY = 0x00000080
    NTLM = 0x00000200
    ANONYMOUS = 0x00000800
    ALWAYS_SIGN = 0x00008000
    TARGET_TYPE_SERVER = 0x00020000
    EXTENDED_SESSION_SECURITY = 0x00080000
    TARGET_INFO = 0x00800000
    VERSION = 0x02000000
    KEY_128 = 0x20000000
    KEY_EXCHANGE = 0x40000000
    KEY_56 = 0x80000000


class AvId:
    """AvPair types ([MS-NLMP] 2.2.2.1)."""

    EOL = 0
    NB_COMPUTER_NAME = 1
    NB_DOMAIN_NAME = 2
    DNS_COMPUTER_NAME = 3
    DNS_DOMAIN_NAME = 4
    FLAGS = 6
    TIMESTAMP = 7
    TARGET_NAME = 9
    CHANNEL_BINDINGS = 10


#: MsvAvFlags bit: the AUTHENTICATE message carries a MIC.
AV_FLAG_MIC = 0x2
#: Before the AvPairs in NTLMv2_CLIENT_CHALLENGE, NTProofStr included ([MS-NLMP] 2.2.2.7, 2.2.2.8).
_V2_FIXED_BYTES = 16 + 28


def message_type(token: bytes) -> int:
    """The MessageType of an NTLM message; WireError if *token* is not one."""
    if len(token) > MAX_MESSAGE_BYTES:
        raise WireError("NTLM message is too long")
    try:
        signature, kind = _HEADER.unpack_from(token)
    except struct.error:
        raise WireError("NTLM message is too short") from None
    if signature != SIGNATURE:
        raise WireError("NTLM signature is missing")
    return int(kind)


def parse_negotiate(token: bytes) -> int:
    """The flags of a NEGOTIATE message; servers do not need its names ([MS-NLMP] 2.2.1.1)."""
    if message_type(token) != NEGOTIATE or len(token) < 16:
        raise WireError("NTLM NEGOTIATE expected")
    return int.from_bytes(token[12:16], "little")


def pack_av_pairs(pairs: list[tuple[int, bytes]]) -> bytes:
    """AvPairs with the final MsvAvEOL."""
    return b"".join(_PAIR.pack(kind, len(value)) + value for kind, value in pairs) + bytes(4)


def parse_av_pairs(data: bytes) -> dict[int, bytes]:
    """The AvPairs of *data* up to MsvAvEOL, the first of each type; WireError if the list has no end."""
    pairs: dict[int, bytes] = {}
    position = 0
    while True:
        try:
            kind, length = _PAIR.unpack_from(data, position)
        except struct.error:
            raise WireError("NTLM AvPairs have no end") from None
        position += 4
        if kind == AvId.EOL:
            return pairs
        if position + length > len(data):
            raise WireError("NTLM AvPair exceeds its buffer")
        pairs.setdefault(kind, data[position : position + length])
        position += length


def pack_negotiate(flags: int) -> bytes:
    """A NEGOTIATE message without names ([MS-NLMP] 2.2.1.1)."""
    return struct.pack("<8sII16x8s", SIGNATURE, NEGOTIATE, flags, _version(flags))


def pack_authenticate(
    flags: int,
    lm_response: bytes = b"",
    nt_response: bytes = b"",
    domain: str = "",
    user: str = "",
    workstation: str = "",
    encrypted_session_key: bytes = b"",
) -> bytes:
    """An AUTHENTICATE message whose MIC is still zeros ([MS-NLMP] 2.2.1.3)."""
    names = [_encoded(text, flags) for text in (domain, user, workstation)]
    fields: list[int] = []
    payload = b""
    for part in (lm_response, nt_response, *names, encrypted_session_key):
        fields += len(part), len(part), MIC_OFFSET + MIC_SIZE + len(payload)
        payload += part
    fixed = _AUTHENTICATE.pack(SIGNATURE, AUTHENTICATE, *fields, flags)
    return fixed + _version(flags) + bytes(MIC_SIZE) + payload


def _version(flags: int) -> bytes:
    return _VERSION if flags & Flag.VERSION else bytes(8)


def pack_challenge(flags: int, server_challenge: bytes, target_name: str, target_info: bytes) -> bytes:
    """A CHALLENGE message ([MS-NLMP] 2.2.1.2)."""
    name = _encoded(target_name, flags)
    offset = _CHALLENGE.size
    fixed = _CHALLENGE.pack(
        SIGNATURE,
        CHALLENGE,
        len(name),
        len(name),
        offset,
        flags & 0xFFFFFFFF,
        server_challenge,
        len(target_info),
        len(target_info),
        offset + len(name),
        _version(flags),
    )
    return fixed + name + target_info


class Challenge(msgspec.Struct, frozen=True):
    """The parts of a CHALLENGE message that a client needs ([MS-NLMP] 2.2.1.2)."""

    flags: int
    server_challenge: bytes
    #: The AvPairs in their order, without MsvAvEOL; empty when the server sends none.
    target_info: dict[int, bytes]

    @classmethod
    def parse(cls, token: bytes) -> Challenge:
        """Raises WireError unless every field lies inside *token* and the AvPairs are complete."""
        if message_type(token) != CHALLENGE:
            raise WireError("NTLM CHALLENGE expected")
        try:
            flags, server_challenge = _CHALLENGE_START.unpack_from(token, 20)
            has_info = flags & Flag.TARGET_INFO
            length, offset = _CHALLENGE_INFO.unpack_from(token, 40) if has_info else (0, 0)
        except struct.error:
            raise WireError("NTLM CHALLENGE is too short") from None
        if not flags & (Flag.UNICODE | Flag.OEM):
            raise WireError("NTLM server offers no character set")
        info = _payload(token, length, offset, 48)
        pairs = parse_av_pairs(info) if info else {}
        for kind, size in ((AvId.TIMESTAMP, 8), (AvId.FLAGS, 4)):
            if len(pairs.get(kind, bytes(size))) != size:
                raise WireError(f"NTLM AvPair {kind} is not {size} bytes long")
        return cls(flags, server_challenge, pairs)


class Authenticate(Redacted, msgspec.Struct, frozen=True):
    """An AUTHENTICATE message ([MS-NLMP] 2.2.1.3); names decoded."""

    HIDDEN = ("lm_response", "nt_response", "encrypted_session_key", "token")

    flags: int
    lm_response: bytes
    nt_response: bytes
    domain: str
    user: str
    workstation: str
    encrypted_session_key: bytes
    payload_offset: int
    token: bytes

    @classmethod
    def parse(cls, token: bytes, *, oem: bool = False) -> Authenticate:
        """*oem*: the names are in the negotiated OEM character set, else in UTF-16LE. Raises WireError unless every
        field lies inside *token*."""
        if message_type(token) != AUTHENTICATE:
            raise WireError("NTLM AUTHENTICATE expected")
        try:
            values = _AUTHENTICATE.unpack_from(token)
        except struct.error:
            raise WireError("NTLM AUTHENTICATE is too short") from None
        fields = [_payload(token, values[at], values[at + 2], 52) for at in range(2, 20, 3)]
        lm, nt, domain, user, workstation, key = fields
        used = [values[at + 2] for at in range(2, 20, 3) if values[at]]
        return cls(
            flags=values[20],
            lm_response=lm,
            nt_response=nt,
            domain=_text(domain, oem),
            user=_text(user, oem),
            workstation=_text(workstation, oem),
            encrypted_session_key=key,
            payload_offset=min(used, default=len(token)),
            token=token,
        )

    @property
    def is_anonymous(self) -> bool:
        """No user, no NT response and at most one zero byte as LM response ([MS-NLMP] 3.2.5.1.2)."""
        return not self.user and not self.nt_response and self.lm_response in (b"", b"\x00")

    def av_pairs(self) -> dict[int, bytes]:
        """The AvPairs inside the NTLMv2 response ([MS-NLMP] 2.2.2.7)."""
        return parse_av_pairs(self.nt_response[_V2_FIXED_BYTES:])

    @property
    def is_v2(self) -> bool:
        """Whether the NT response has the form of NTLMv2: longer than NTLMv1's 24 bytes, RespType 1."""
        return len(self.nt_response) >= _V2_FIXED_BYTES + 4 and self.nt_response[16:18] == b"\x01\x01"

    def mic(self) -> bytes:
        """The MIC; WireError if the payload starts where the MIC should be."""
        if self.payload_offset < MIC_OFFSET + MIC_SIZE or len(self.token) < MIC_OFFSET + MIC_SIZE:
            raise WireError("NTLM AUTHENTICATE announces a MIC but has no room for it")
        return self.token[MIC_OFFSET : MIC_OFFSET + MIC_SIZE]

    def without_mic(self) -> bytes:
        """The message over which the MIC is computed: with zeros as the MIC."""
        return self.token[:MIC_OFFSET] + bytes(MIC_SIZE) + self.token[MIC_OFFSET + MIC_SIZE :]


def _payload(token: bytes, length: int, offset: int, start: int) -> bytes:
    if not length:
        return b""
    if offset < start or offset + length > len(token):
        raise WireError("NTLM field lies outside the message")
    return token[offset : offset + length]


def _encoded(text: str, flags: int) -> bytes:
    """A name in the message's encoding; characters missing in the OEM character set become question marks."""
    return text.encode("utf-16-le", "surrogatepass") if flags & Flag.UNICODE else text.encode(_OEM, "replace")


def _text(data: bytes, oem: bool) -> str:
    if oem:
        return data.decode(_OEM)
    try:
        return data.decode("utf-16-le", "surrogatepass")
    except UnicodeDecodeError:
        raise WireError("NTLM name is not UTF-16LE") from None
