"""The checked reader that every parse function uses, and the helpers of every pack function.

`Cursor` reads forward and in sub-views; `fixed` and `variable` are shortcuts for SMB2 messages, whose structures have a
fixed part (one compiled `struct.Struct`) and variable parts given by offset and length. Whatever was received, the only
exception is `WireError`.
"""

from __future__ import annotations

import struct
from codecs import utf_16_le_decode as _decode  # five times as fast as str(…, "utf-16-le")
from codecs import utf_16_le_encode as _encode
from enum import EnumType, IntEnum, IntFlag
from typing import Any, Self, TypeAlias

from frevo.errors import WireError

#: Received bytes: contiguous, one byte per item.
Buffer: TypeAlias = bytes | bytearray | memoryview

#: FileId of [MS-SMB2] 2.2.14.1: (persistent, volatile).
FileId: TypeAlias = tuple[int, int]

HEADER_SIZE = 64
EMPTY = memoryview(b"")

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_I64 = struct.Struct("<q")


class _BitsType(EnumType):
    """Gives every `Bits` class the operators of int; EnumType would restore those of Flag in each subclass."""

    def __init__(cls, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        for name in ("and", "or", "xor", "rand", "ror", "rxor", "invert"):
            setattr(cls, f"__{name}__", getattr(int, f"__{name}__"))


class Bits(IntFlag, metaclass=_BitsType):
    """Named bits whose operators give plain ints.

    `plain & HeaderFlags.SIGNED` would otherwise create an enum object each time, which costs more than parsing the
    request. `HeaderFlags(value)` gives the names for logs; unknown bits are kept.
    """


class OpenEnum(IntEnum):
    """An enumeration that peers may extend: an unknown value becomes a member named after its number."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_0x{value:X}"
        member._value_ = value
        return member


class Cursor:
    """A forward reader over one buffer, with every length and offset checked against its end.

    Positions are relative to the start of the cursor's own view. The views that it returns share the memory of the
    buffer and are valid as long as it is.
    """

    __slots__ = ("data", "position", "what")

    def __init__(self, data: Buffer, what: str = "structure", position: int = 0) -> None:
        self.data = data if isinstance(data, memoryview) else memoryview(data)
        self.position = position
        self.what = what

    def __len__(self) -> int:
        return len(self.data)

    @property
    def remaining(self) -> int:
        """Bytes between the position and the end."""
        return len(self.data) - self.position

    def error(self, problem: str) -> WireError:
        """The WireError to raise: names the structure, the position and the problem."""
        return WireError(f"{self.what}: {problem} (position {self.position} of {len(self.data)})")

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The fields of *layout* at the position, which moves past them."""
        try:
            values = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise self.error(f"needs {layout.size} bytes") from None
        self.position += layout.size
        return values

    def u8(self) -> int:
        if self.position >= len(self.data):
            raise self.error("needs 1 byte")
        value = self.data[self.position]
        self.position += 1
        return value

    def u16(self) -> int:
        return int(self.unpack(_U16)[0])

    def u32(self) -> int:
        return int(self.unpack(_U32)[0])

    def u64(self) -> int:
        return int(self.unpack(_U64)[0])

    def i64(self) -> int:
        return int(self.unpack(_I64)[0])

    def view(self, length: int) -> memoryview:
        """The next *length* bytes without copying; the position moves past them."""
        if not 0 <= length <= self.remaining:
            raise self.error(f"needs {length} bytes")
        start = self.position
        self.position += length
        return self.data[start : start + length]

    def bytes(self, length: int) -> bytes:
        return bytes(self.view(length))

    def utf16(self, length: int) -> str:
        """A UTF-16LE name of *length* bytes."""
        return utf16(self.view(length), self.what)

    def rest(self) -> memoryview:
        """Everything up to the end."""
        return self.view(self.remaining)

    def skip(self, length: int) -> None:
        self.view(length)

    def align(self, boundary: int) -> None:
        """Skip the padding up to the next multiple of *boundary*; the end of the buffer is fine too."""
        self.position = min(-(-self.position // boundary) * boundary, len(self.data))

    def at(self, offset: int, length: int, minimum: int = 0) -> memoryview:
        """The sub-view (offset, length) from the start of the buffer; empty if *length* is 0, whatever *offset* is."""
        if length == 0:
            return EMPTY
        if offset < minimum or length < 0 or offset + length > len(self.data):
            raise self.error(f"offset {offset} length {length} lies outside")
        return self.data[offset : offset + length]

    def sub(self, offset: int, length: int, minimum: int = 0) -> Cursor:
        """A cursor over the sub-view (offset, length)."""
        return Cursor(self.at(offset, length, minimum), self.what)


def fixed(layout: struct.Struct, message: Buffer, offset: int, size: int, what: str) -> tuple[Any, ...]:
    """The fixed part of the SMB2 body after the header at *offset*; its first field must be *size*."""
    try:
        values = layout.unpack_from(message, offset + 64)
    except struct.error:
        raise WireError(f"{what}: shorter than its fixed part of {layout.size} bytes") from None
    if values[0] != size:
        raise WireError(f"{what}: StructureSize {values[0]} instead of {size}")
    return values


def unpack(layout: struct.Struct, data: Buffer, offset: int, what: str) -> tuple[Any, ...]:
    """The fields of *layout* at *offset* of a buffer that is not an SMB2 message."""
    try:
        return layout.unpack_from(data, offset)
    except struct.error:
        raise WireError(f"{what}: needs {layout.size} bytes at {offset} of {len(data)}") from None


def variable(message: Buffer, header: int, offset: int, length: int, minimum: int, what: str) -> memoryview:
    """The variable part (offset, length), relative to the header at *header*.

    *minimum* is the end of the fixed part, which no offset may point into. With length 0 the view is empty, whatever
    the offset is: clients leave garbage there.
    """
    if length == 0:
        return EMPTY
    start = header + offset
    if offset < minimum or start + length > len(message):
        raise WireError(
            f"{what}: offset {offset} length {length} lies outside ({len(message) - header} bytes)"
        )
    return memoryview(message)[start : start + length]


def slice_of(data: Buffer, offset: int, length: int, what: str, minimum: int = 0) -> memoryview:
    """The checked sub-view (offset, length) of a buffer that is not an SMB2 message."""
    if length == 0:
        return EMPTY
    if offset < minimum or length < 0 or offset + length > len(data):
        raise WireError(f"{what}: offset {offset} length {length} lies outside ({len(data)} bytes)")
    return memoryview(data)[offset : offset + length]


def utf16(raw: Buffer, what: str = "name") -> str:
    """UTF-16LE to str. Lone surrogates are kept; an odd length is a WireError."""
    if len(raw) & 1:
        raise WireError(f"{what}: a UTF-16 string of {len(raw)} bytes")
    try:
        return _decode(raw, "surrogatepass", True)[0]
    except UnicodeDecodeError:
        raise WireError(f"{what}: not UTF-16") from None


def encode_utf16(name: str) -> bytes:
    """str to UTF-16LE, lone surrogates included."""
    return _encode(name, "surrogatepass")[0]


def padding(length: int, boundary: int = 8) -> bytes:
    """The zero bytes that pad *length* to the next multiple of *boundary*."""
    return bytes(-length % boundary)


def aligned(length: int, boundary: int = 8) -> int:
    """*length* rounded up to a multiple of *boundary*."""
    return length + -length % boundary
