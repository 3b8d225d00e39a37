"""NetBIOS names in first- and second-level encoding ([RFC1001] 14.1, [RFC1002] 4.1)."""

from __future__ import annotations

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer

SUFFIX_WORKSTATION = 0x00
SUFFIX_FILE_SERVER = 0x20

_ENCODED_SIZE = 32
_SCOPE_SIZE_MAX = 255


class NetBIOSName(msgspec.Struct, frozen=True):
    """Up to 15 characters and a suffix byte that names the service; *scope* is nearly always empty.

    Reference: [RFC1001] 14.1.
    """

    name: str
    suffix: int = SUFFIX_FILE_SERVER
    scope: str = ""

    def pack(self) -> bytes:
        """Length byte, 32 half-bytes as letters from 'A' on, the labels of the scope, and a null."""
        raw = self.name.upper().encode("cp437", "replace")[:15]
        # The wildcard is padded with nulls, everything else with spaces ([RFC1001] 14.1, [MS-NBTE] 2.2.1).
        raw = raw.ljust(15, b"\0" if raw == b"*" else b" ") + bytes((self.suffix,))
        encoded = bytes(0x41 + half for byte in raw for half in (byte >> 4, byte & 0xF))
        labels = b"".join(
            bytes((len(label),)) + label for label in self.scope.encode("ascii").split(b".") if label
        )
        return bytes((_ENCODED_SIZE,)) + encoded + labels + b"\0"


def parse_name(data: Buffer, offset: int) -> tuple[NetBIOSName, int]:
    """The name at *offset* and the position after it; compression pointers are refused."""
    end = offset + 1 + _ENCODED_SIZE
    if end >= len(data) or data[offset] != _ENCODED_SIZE:
        raise WireError(f"NetBIOS name at {offset} of {len(data)}")
    halves = [byte - 0x41 for byte in data[offset + 1 : end]]
    if not all(0 <= half <= 0xF for half in halves):
        raise WireError(f"NetBIOS name at {offset}: not in first-level encoding")
    raw = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    scope, position = _parse_scope(data, end)
    return NetBIOSName(raw[:15].rstrip(b" \0").decode("cp437"), raw[15], scope), position


def _parse_scope(data: Buffer, position: int) -> tuple[str, int]:
    labels: list[str] = []
    start = position
    while True:
        if position >= len(data) or position - start > _SCOPE_SIZE_MAX:
            raise WireError("NetBIOS scope: does not end")
        length = data[position]
        position += 1
        if length == 0:
            return ".".join(labels), position
        if length > 63 or position + length > len(data):
            raise WireError(f"NetBIOS scope: label of {length} bytes at {position}")
        labels.append(str(data[position : position + length], "ascii", "replace"))
        position += length
