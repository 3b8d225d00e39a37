"""NDR 2.0, 32 bit, little endian: a few types that read and write RPC arguments.

Interface files (srvsvc.py, wkssvc.py) describe their operations with these types and handle no bytes. Values are plain
Python: int, str, bytes, None for a null pointer, dict for a structure, list for an array and (tag, value) for a union.
[C706] chapter 14, [MS-RPCE] 2.2.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from frevo.errors import WireError

#: Most elements of an array in a request: far more than any operation here needs.
ARRAY_COUNT_MAX = 4096
#: First referent ID, as in Windows; each further pointer uses the next multiple of four.
FIRST_REFERENT = 0x00020000

Deferred = Callable[[], None]


class NDRError(WireError):
    """Stub data that does not match the operation's declaration."""


class NDRReader(msgspec.Struct):
    """Checked cursor over stub data; reads the referents of embedded pointers after their structure."""

    data: bytes
    position: int = 0
    deferred: list[Deferred] = msgspec.field(default_factory=list)

    def align(self, size: int) -> None:
        self.position += -self.position % size

    def take(self, size: int) -> bytes:
        """The next *size* bytes; NDRError if the stub is shorter."""
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise NDRError(f"stub data ends at {len(self.data)}, {end} needed")
        chunk = self.data[self.position : end]
        self.position = end
        return chunk

    def uint(self, size: int) -> int:
        self.align(size)
        return int.from_bytes(self.take(size), "little")

    def remaining(self) -> int:
        return max(0, len(self.data) - self.position)


class NDRWriter(msgspec.Struct):
    """Builds stub data; the counterpart of NDRReader."""

    data: bytearray = msgspec.field(default_factory=bytearray)
    referent: int = FIRST_REFERENT
    deferred: list[Deferred] = msgspec.field(default_factory=list)

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def uint(self, size: int, value: int) -> None:
        self.align(size)
        self.data += (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little")

    def next_referent(self) -> int:
        referent = self.referent
        self.referent += 4
        return referent


class NDRType(Protocol):
    """The interface of every type here."""

    def read(self, reader: NDRReader) -> Any: ...

    def write(self, writer: NDRWriter, value: Any) -> None: ...


def _complete(cursor: NDRReader | NDRWriter, action: Deferred) -> None:
    """Run *action*, then the referents that it deferred, depth first and in order ([C706] 14.3.12.3)."""
    outer, cursor.deferred = cursor.deferred, []
    action()
    pending, cursor.deferred = cursor.deferred, outer
    for later in pending:
        _complete(cursor, later)


class UInt(msgspec.Struct, frozen=True):
    """An unsigned integer of *size* bytes, aligned to its size ([C706] 14.2.5). Negative numbers wrap."""

    size: int

    def read(self, reader: NDRReader) -> int:
        return reader.uint(self.size)

    def write(self, writer: NDRWriter, value: int) -> None:
        writer.uint(self.size, value)


U8, U16, U32, U64 = UInt(1), UInt(2), UInt(4), UInt(8)


class WideString(msgspec.Struct, frozen=True):
    """[string] wchar_t: conformant and varying; its NUL is on the wire only ([C706] 14.3.4)."""

    def read(self, reader: NDRReader) -> str:
        count_max, offset, count = reader.uint(4), reader.uint(4), reader.uint(4)
        if offset != 0 or count > count_max:
            raise NDRError(f"string of {count} at {offset} in {count_max}")
        text = reader.take(2 * count).decode("utf-16-le", "surrogatepass")
        return text.split("\0", 1)[0]

    def write(self, writer: NDRWriter, value: str) -> None:
        units = (value + "\0").encode("utf-16-le", "surrogatepass")
        count = len(units) // 2
        for number in (count, 0, count):
            writer.uint(4, number)
        writer.data += units


class ByteArray(msgspec.Struct, frozen=True):
    """[size_is] byte: a conformant array of octets."""

    def read(self, reader: NDRReader) -> bytes:
        return reader.take(reader.uint(4))

    def write(self, writer: NDRWriter, value: bytes) -> None:
        writer.uint(4, len(value))
        writer.data += value


class Unique(msgspec.Struct, frozen=True):
    """A unique pointer: None, or a referent ID and the value it points to ([C706] 14.3.10)."""

    target: NDRType

    def read(self, reader: NDRReader) -> Any:
        if reader.uint(4) == 0:
            return None
        slot: list[Any] = []
        reader.deferred.append(lambda: slot.append(self.target.read(reader)))
        return DeferredValue(slot)

    def write(self, writer: NDRWriter, value: Any) -> None:
        if value is None:
            writer.uint(4, 0)
            return
        writer.uint(4, writer.next_referent())
        writer.deferred.append(lambda: self.target.write(writer, value))


class DeferredValue(msgspec.Struct, frozen=True):
    """A referent that is read later; resolved() replaces it by its value."""

    slot: list[Any]


def resolved(value: Any) -> Any:
    """*value* with every DeferredValue in it replaced by its value."""
    if isinstance(value, DeferredValue):
        return resolved(value.slot[0])
    if isinstance(value, dict):
        return {name: resolved(item) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if isinstance(value, tuple):
        return tuple(resolved(item) for item in value)
    return value


class Array(msgspec.Struct, frozen=True):
    """[size_is] array of *element*: a conformant array. At most *count_max* elements are accepted."""

    element: NDRType
    count_max: int = ARRAY_COUNT_MAX

    def read(self, reader: NDRReader) -> list[Any]:
        count = reader.uint(4)
        if count > min(self.count_max, reader.remaining()):
            raise NDRError(f"array of {count} elements")
        return [self.element.read(reader) for _ in range(count)]

    def write(self, writer: NDRWriter, value: list[Any]) -> None:
        writer.uint(4, len(value))
        for item in value:
            self.element.write(writer, item)


class Struct(msgspec.Struct, frozen=True):
    """Named fields in wire order. Every structure here starts with a 4 byte field, so it is aligned to 4."""

    fields: tuple[tuple[str, NDRType], ...]

    def read(self, reader: NDRReader) -> dict[str, Any]:
        reader.align(4)
        return {name: kind.read(reader) for name, kind in self.fields}

    def write(self, writer: NDRWriter, value: Mapping[str, Any]) -> None:
        writer.align(4)
        for name, kind in self.fields:
            kind.write(writer, value[name])


class Union(msgspec.Struct, frozen=True):
    """[switch_type(long)] union: (tag, value), the tag repeated on the wire ([C706] 14.3.8).

    A tag without an arm cannot be read. It can be written without a value, which is how a response says "no such
    level".
    """

    arms: Mapping[int, NDRType]

    def read(self, reader: NDRReader) -> tuple[int, Any]:
        tag = reader.uint(4)
        arm = self.arms.get(tag)
        if arm is None:
            raise NDRError(f"no union arm {tag}")
        return tag, arm.read(reader)

    def write(self, writer: NDRWriter, value: tuple[int, Any]) -> None:
        tag, content = value
        writer.uint(4, tag)
        arm = self.arms.get(tag)
        if arm is not None:
            arm.write(writer, content)


Arguments = tuple[tuple[str, NDRType], ...]


def read_arguments(arguments: Arguments, stub: bytes) -> dict[str, Any]:
    """The arguments of a call from its stub data; ignores bytes after the last one, which peers pad with.

    Raises NDRError if the stub is too short, a count is out of bounds or a union tag is unknown.
    """
    reader = NDRReader(bytes(stub))
    values: dict[str, Any] = {}

    def read_one(name: str, kind: NDRType) -> None:
        values[name] = kind.read(reader)

    for name, kind in arguments:
        _complete(reader, partial(read_one, name, kind))
    return {name: resolved(value) for name, value in values.items()}


def write_arguments(arguments: Arguments, values: Mapping[str, Any]) -> bytes:
    """Stub data for *arguments*, in their order."""
    writer = NDRWriter()
    for name, kind in arguments:
        _complete(writer, partial(kind.write, writer, values[name]))
    return bytes(writer.data)
