"""NDR types of the security interfaces: counted strings, SIDs, handles, short enumerations ([MS-DTYP] 2.3.10, 2.4.2.3,
[MS-LSAT] 2.2, [MS-SAMR] 2.2); and the response of a failed operation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from frevo.dcerpc.context import RpcContext
from frevo.dcerpc.interface import Operation, Values
from frevo.dcerpc.ndr import (
    U16,
    U32,
    Arguments,
    Array,
    NDRError,
    NDRReader,
    NDRType,
    NDRWriter,
    Struct,
    UInt,
    Union,
    Unique,
)
from frevo.errors import SMBError
from frevo.wire.dtyp import SID
from frevo.wire.erref import NTStatus

#: Most names or SIDs in one request ([MS-LSAT] 3.1.4.5 lets the server choose; Windows accepts 1,000 names).
LOOKUPS_MAX = 1000
#: Longest accepted string, in UTF-16 code units.
TEXT_UNITS_MAX = 1024

_HANDLE = struct.Struct("<4sIII")


class _CountedCharacters(msgspec.Struct, frozen=True):
    """The buffer of a counted string: conformant and varying, without a NUL."""

    def read(self, reader: NDRReader) -> str:
        count_max, offset, count = reader.uint(4), reader.uint(4), reader.uint(4)
        if offset or count > count_max or count > TEXT_UNITS_MAX:
            raise NDRError(f"counted string of {count} at {offset} in {count_max}")
        return reader.take(2 * count).decode("utf-16-le", "surrogatepass")

    def write(self, writer: NDRWriter, value: str) -> None:
        units = value.encode("utf-16-le", "surrogatepass")
        for number in (len(units) // 2, 0, len(units) // 2):
            writer.uint(4, number)
        writer.data += units


class CountedString(msgspec.Struct, frozen=True):
    """RPC_UNICODE_STRING ([MS-DTYP] 2.3.10). "" is a null buffer, and vice versa."""

    def read(self, reader: NDRReader) -> Any:
        reader.align(4)
        reader.uint(2)
        reader.uint(2)
        found = Unique(_CountedCharacters()).read(reader)
        return "" if found is None else found

    def write(self, writer: NDRWriter, value: str) -> None:
        writer.align(4)
        size = len(value.encode("utf-16-le", "surrogatepass"))
        writer.uint(2, size)
        writer.uint(2, size)
        Unique(_CountedCharacters()).write(writer, value or None)


class RpcSid(msgspec.Struct, frozen=True):
    """RPC_SID ([MS-DTYP] 2.4.2.3), as SID."""

    def read(self, reader: NDRReader) -> SID:
        count = reader.uint(4)
        head = reader.take(8)
        if head[1] != count:
            raise NDRError(f"SID of {head[1]} sub-authorities in {count}")
        return SID.parse(head + reader.take(4 * count))

    def write(self, writer: NDRWriter, value: SID) -> None:
        writer.uint(4, len(value.sub_authorities))
        writer.data += value.pack()


class ContextHandle(msgspec.Struct, frozen=True):
    """A context handle: (kind, domain, rid) of its object.

    It grants nothing, so it needs no table: every call checks what its caller may see.
    """

    def read(self, reader: NDRReader) -> tuple[bytes, int, int]:
        reader.uint(4)
        kind, domain, rid, _ = _HANDLE.unpack(reader.take(_HANDLE.size))
        return kind, domain, rid

    def write(self, writer: NDRWriter, value: tuple[bytes, int, int] | None) -> None:
        writer.uint(4, 0)
        writer.data += bytes(_HANDLE.size) if value is None else _HANDLE.pack(*value, 0)


class VaryingArray(msgspec.Struct, frozen=True):
    """[size_is, length_is] array of *element*: conformant and varying; *size*: the value of size_is, by default the
    length."""

    element: NDRType
    size: int = 0

    def read(self, reader: NDRReader) -> list[Any]:
        count_max, offset, count = reader.uint(4), reader.uint(4), reader.uint(4)
        if offset or count > count_max or count > LOOKUPS_MAX:
            raise NDRError(f"array of {count} at {offset} in {count_max}")
        return [self.element.read(reader) for _ in range(count)]

    def write(self, writer: NDRWriter, value: list[Any]) -> None:
        for number in (self.size or len(value), 0, len(value)):
            writer.uint(4, number)
        for item in value:
            self.element.write(writer, item)


class ShortUnion(msgspec.Struct, frozen=True):
    """A union whose tag is an enumeration, 16 bits: (tag, value)."""

    arms: Mapping[int, NDRType]

    def read(self, reader: NDRReader) -> tuple[int, Any]:
        tag = reader.uint(2)
        if tag not in self.arms:
            raise NDRError(f"no union arm {tag}")
        return tag, self.arms[tag].read(reader)

    def write(self, writer: NDRWriter, value: tuple[int, Any]) -> None:
        writer.uint(2, value[0])
        self.arms[value[0]].write(writer, value[1])


TEXT, PSID, HANDLE, ENUM = CountedString(), Unique(RpcSid()), ContextHandle(), U16


def counted(element: NDRType, count: str = "count", entries: str = "entries") -> Struct:
    """A count and a pointer to that many elements."""
    return Struct(((count, U32), (entries, Unique(Array(element, LOOKUPS_MAX)))))


def listed(entries: list[Any], count: str = "count", name: str = "entries") -> Values:
    """A value for `counted`."""
    return {count: len(entries), name: entries or None}


def blank(kind: NDRType) -> Any:
    """The value of an out-argument of a failed operation."""
    if isinstance(kind, UInt):
        return 0
    if isinstance(kind, CountedString):
        return ""
    if isinstance(kind, Struct):
        return {name: blank(field) for name, field in kind.fields}
    if isinstance(kind, (Union, ShortUnion)):
        tag = min(kind.arms)
        return tag, blank(kind.arms[tag])
    return [] if isinstance(kind, (Array, VaryingArray)) else None


def operation(
    name: str, arguments_in: Arguments, arguments_out: Arguments, work: Callable[[RpcContext, Values], Values]
) -> Operation:
    """An operation whose last out-argument is an NTSTATUS: SUCCESS by default, or the SMBError that *work* raises."""
    empty = {argument: blank(kind) for argument, kind in arguments_out}

    def handler(context: RpcContext, call: Values) -> Values:
        try:
            return {"status": NTStatus.SUCCESS, **work(context, call)}
        except SMBError as error:
            return {**empty, "status": error.status}

    return Operation(name, arguments_in, (*arguments_out, ("status", U32)), handler)


def opened(call: Values, argument: str, *kinds: bytes) -> tuple[int, int]:
    """(domain, rid) of the handle; INVALID_HANDLE if it is of none of *kinds*."""
    kind, domain, rid = call[argument]
    if kind not in kinds:
        raise SMBError(NTStatus.INVALID_HANDLE, f"handle {kind!r}")
    return domain, rid


def closed(context: RpcContext, call: Values) -> Values:
    """The result of closing any handle."""
    return {"handle": None}


CLOSE = operation("Close", (("handle", HANDLE),), (("handle", HANDLE),), closed)
