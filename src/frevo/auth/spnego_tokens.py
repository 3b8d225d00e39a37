"""SPNEGO tokens: a bounded DER reader and the few writers needed ([MS-SPNG] 2.2, RFC 4178 section 4.2).

Supports only what NegTokenInit, NegTokenInit2 and NegTokenResp use: definite lengths, one-byte tags.
"""

from __future__ import annotations

import msgspec

from frevo.errors import WireError
from frevo.records import Redacted

#: DER bodies (without tag and length) of the object identifiers in use.
OID_SPNEGO = bytes.fromhex("2b0601050502")
OID_NTLMSSP = bytes.fromhex("2b06010401823702020a")
OID_KRB5 = bytes.fromhex("2a864886f712010202")
#: Windows' misspelling of the Kerberos OID, in all of its offers ([MS-SPNG] 3.1.5.1).
OID_MS_KRB5 = bytes.fromhex("2a864882f712010202")

#: NegHints of [MS-SPNG] 2.2.1: what every server says here.
HINT_NAME = b"not_defined_in_RFC4178@please_ignore"

ACCEPT_COMPLETED, ACCEPT_INCOMPLETE, REJECT, REQUEST_MIC = range(4)

MAX_TOKEN_BYTES = 65536
MAX_MECHANISMS = 32

_SEQUENCE, _OID, _OCTETS, _ENUMERATED, _GENERAL_STRING, _BIT_STRING = 0x30, 0x06, 0x04, 0x0A, 0x1B, 0x03
_APPLICATION, _INIT, _RESP = 0x60, 0xA0, 0xA1


def der(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


class DERReader:
    """Reads consecutive elements of *data*; checks every length and raises WireError."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._position = start
        self._end = len(data) if end is None else end

    @property
    def at_end(self) -> bool:
        return self._position >= self._end

    def _header(self) -> tuple[int, int, int]:
        """(tag, start of content, end of content) of the next element."""
        position, data = self._position, self._data
        if position + 2 > self._end:
            raise WireError("SPNEGO token ends inside an element")
        tag, length = data[position], data[position + 1]
        position += 2
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or position + count > self._end:
                raise WireError("SPNEGO length is indefinite or too long")
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + length > self._end:
            raise WireError("SPNEGO element exceeds its parent")
        return tag, position, position + length

    def element(self) -> tuple[int, bytes]:
        """The tag and content of the next element."""
        tag, start, end = self._header()
        self._position = end
        return tag, self._data[start:end]

    def enter(self, expected: int) -> DERReader:
        """A reader over the content of the next element, which must have the tag *expected*."""
        tag, start, end = self._header()
        if tag != expected:
            raise WireError(f"SPNEGO tag 0x{expected:02x} expected, 0x{tag:02x} found")
        self._position = end
        return DERReader(self._data, start, end)

    def content(self, expected: int) -> bytes:
        """The content of the next element, which must have the tag *expected*."""
        tag, content = self.element()
        if tag != expected:
            raise WireError(f"SPNEGO tag 0x{expected:02x} expected, 0x{tag:02x} found")
        return content

    def rest(self) -> bytes:
        return self._data[self._position : self._end]


class NegTokenInit(Redacted, msgspec.Struct, frozen=True):
    """The first token of a client (RFC 4178 section 4.2.1)."""

    HIDDEN = ("token",)

    mechanisms: tuple[bytes, ...]
    #: The DER of MechTypeList as received: what mechListMIC covers.
    mechanism_list: bytes
    token: bytes | None = None
    mic: bytes | None = None


class NegTokenResp(Redacted, msgspec.Struct, frozen=True):
    """Every later token of either side (RFC 4178 section 4.2.2)."""

    HIDDEN = ("token",)

    state: int | None = None
    mechanism: bytes | None = None
    token: bytes | None = None
    mic: bytes | None = None

    def pack(self) -> bytes:
        parts = b""
        if self.state is not None:
            parts += der(0xA0, der(_ENUMERATED, bytes((self.state,))))
        if self.mechanism is not None:
            parts += der(0xA1, der(_OID, self.mechanism))
        if self.token is not None:
            parts += der(0xA2, der(_OCTETS, self.token))
        if self.mic is not None:
            parts += der(0xA3, der(_OCTETS, self.mic))
        return der(_RESP, der(_SEQUENCE, parts))


def gss_mechanism(token: bytes) -> tuple[bytes, bytes]:
    """The mechanism OID of an initial GSS-API token and the bytes after it (RFC 2743 section 3.1)."""
    outer = DERReader(token).enter(_APPLICATION)
    return outer.content(_OID), outer.rest()


def parse_init(token: bytes) -> NegTokenInit:
    """A NegTokenInit, with or without the GSS-API wrapping; WireError if it is not one."""
    _check_size(token)
    body = token
    if token[:1] == bytes((_APPLICATION,)):
        mechanism, body = gss_mechanism(token)
        if mechanism != OID_SPNEGO:
            raise WireError("GSS-API token of another mechanism than SPNEGO")
    fields = _fields(DERReader(body).enter(_INIT).enter(_SEQUENCE))
    if 0xA0 not in fields:
        raise WireError("SPNEGO NegTokenInit without mechTypes")
    mechanism_list = fields[0xA0]
    return NegTokenInit(
        mechanisms=_mechanisms(mechanism_list),
        mechanism_list=mechanism_list,
        token=_octets(fields.get(0xA2)),
        # NegTokenInit2 has negHints, a SEQUENCE, in the place of the MIC.
        mic=None if fields.get(0xA3, b"")[:1] == bytes((_SEQUENCE,)) else _octets(fields.get(0xA3)),
    )


def parse_resp(token: bytes) -> NegTokenResp:
    """A NegTokenResp; WireError if it is not one."""
    _check_size(token)
    fields = _fields(DERReader(token).enter(_RESP).enter(_SEQUENCE))
    state = DERReader(fields[0xA0]).content(_ENUMERATED) if 0xA0 in fields else None
    if state is not None and (len(state) != 1 or state[0] > REQUEST_MIC):
        raise WireError("SPNEGO negState is unknown")
    return NegTokenResp(
        state=state[0] if state is not None else None,
        mechanism=DERReader(fields[0xA1]).content(_OID) if 0xA1 in fields else None,
        token=_octets(fields.get(0xA2)),
        mic=_octets(fields.get(0xA3)),
    )


def pack_init2(mechanisms: tuple[bytes, ...]) -> bytes:
    """The NegTokenInit2 that a server sends first, in its NEGOTIATE response ([MS-SPNG] 2.2.1)."""
    mechanism_list = der(_SEQUENCE, b"".join(der(_OID, oid) for oid in mechanisms))
    hints = der(_SEQUENCE, der(0xA0, der(_GENERAL_STRING, HINT_NAME)))
    init = der(_INIT, der(_SEQUENCE, der(0xA0, mechanism_list) + der(0xA3, hints)))
    return der(_APPLICATION, der(_OID, OID_SPNEGO) + init)


def _check_size(token: bytes) -> None:
    if len(token) > MAX_TOKEN_BYTES:
        raise WireError("SPNEGO token is too long")


def _fields(reader: DERReader) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    while not reader.at_end:
        tag, content = reader.element()
        if tag in fields or len(fields) >= 8:
            raise WireError("SPNEGO field occurs twice")
        fields[tag] = content
    return fields


def _mechanisms(mechanism_list: bytes) -> tuple[bytes, ...]:
    reader = DERReader(mechanism_list).enter(_SEQUENCE)
    found: list[bytes] = []
    while not reader.at_end:
        found.append(reader.content(_OID))
        if len(found) > MAX_MECHANISMS:
            raise WireError("SPNEGO offers too many mechanisms")
    if not found:
        raise WireError("SPNEGO offers no mechanism")
    return tuple(found)


def _octets(content: bytes | None) -> bytes | None:
    return None if content is None else DERReader(content).content(_OCTETS)
