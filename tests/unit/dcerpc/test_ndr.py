"""NDR types: bytes as in [C706] chapter 14, pointers in their order, and malformed stubs."""

from __future__ import annotations

from typing import Any

import pytest

from frevo.dcerpc.ndr import (
    U8,
    U16,
    U32,
    U64,
    Array,
    ByteArray,
    NDRError,
    NDRType,
    Struct,
    Union,
    Unique,
    WideString,
    read_arguments,
    write_arguments,
)

NODE = Struct((("number", U32), ("name", Unique(WideString()))))


def both_ways(kind: NDRType, value: Any, wire: bytes) -> None:
    arguments = (("value", kind),)
    assert write_arguments(arguments, {"value": value}) == wire
    assert read_arguments(arguments, wire) == {"value": value}


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        (U8, 0x12, b"\x12"),
        (U16, 0x1234, b"\x34\x12"),
        (U32, 0x12345678, b"\x78\x56\x34\x12"),
        (U64, 1, b"\1" + bytes(7)),
        (ByteArray(), b"abc", b"\3\0\0\0abc"),
        (ByteArray(), b"", bytes(4)),
        (WideString(), "hi", b"\3\0\0\0\0\0\0\0\3\0\0\0h\0i\0\0\0"),
        (WideString(), "\U0001f600", b"\3\0\0\0\0\0\0\0\3\0\0\0\x3d\xd8\x00\xde\0\0"),
        (Unique(U32), None, bytes(4)),
        (Unique(U32), 7, b"\0\0\2\0\7\0\0\0"),
        (Array(U16), [1, 2], b"\2\0\0\0\1\0\2\0"),
        (Union({1: U32}), (1, 5), b"\1\0\0\0\5\0\0\0"),
    ],
)
def test_bytes_of_each_type(kind: NDRType, value: Any, wire: bytes) -> None:
    """[C706] 14.2 and 14.3, written and read."""
    both_ways(kind, value, wire)


def test_numbers_are_aligned() -> None:
    """[C706] 14.2.2: to their own size, from the beginning of the stub."""
    arguments = (("a", U8), ("b", U16), ("c", U8), ("d", U32), ("e", U64))
    values = dict.fromkeys("abcde", 1)
    wire = b"\1\0\1\0\1\0\0\0\1\0\0\0" + bytes(4) + b"\1" + bytes(7)
    assert write_arguments(arguments, values) == wire and read_arguments(arguments, wire) == values


def test_negative_numbers_wrap() -> None:
    """-1 is all ones, as in C."""
    assert write_arguments((("x", U32),), {"x": -1}) == b"\xff" * 4


def test_what_pointers_point_to_comes_after_their_array() -> None:
    """Goal: [C706] 14.3.12.3: referents behind the structure that has them, in order, with ids four apart. Method: an
    array of structures with strings; then the same within one more pointer."""
    nodes = [{"number": 1, "name": "a"}, {"number": 2, "name": None}, {"number": 3, "name": "b"}]
    text = b"\2\0\0\0\0\0\0\0\2\0\0\0%c\0\0\0"
    wire = (
        b"\3\0\0\0" b"\1\0\0\0\0\0\2\0" b"\2\0\0\0\0\0\0\0" b"\3\0\0\0\4\0\2\0" + text % b"a" + text % b"b"
    )
    both_ways(Array(NODE), nodes, wire)
    deep = (("tree", Unique(Array(NODE))), ("last", U32))
    packed = write_arguments(deep, {"tree": nodes, "last": 9})
    assert packed[:8] == b"\0\0\2\0\3\0\0\0" and packed[-4:] == b"\t\0\0\0"
    assert read_arguments(deep, packed) == {"tree": nodes, "last": 9}


def test_padding_after_the_last_argument_is_ignored() -> None:
    """Peers pad stubs to eight bytes."""
    assert read_arguments((("x", U32),), b"\1\0\0\0padding") == {"x": 1}


def test_a_tag_without_an_arm() -> None:
    """It is accepted in a response, with nothing after it, but not in a request."""
    assert write_arguments((("x", Union({})),), {"x": (502, None)}) == b"\xf6\1\0\0"
    with pytest.raises(NDRError, match="502"):
        read_arguments((("x", Union({1: U32})),), b"\xf6\1\0\0" + bytes(4))


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (U32, b"\1\0\0"),
        (U64, b""),
        (ByteArray(), b"\xff\xff\xff\xff"),
        (WideString(), b"\2\0\0\0\0\0\0\0\3\0\0\0" + bytes(6)),  # more than its most
        (WideString(), b"\2\0\0\0\1\0\0\0\1\0\0\0" + bytes(6)),  # does not begin at 0
        (WideString(), b"\xff\xff\xff\x7f\0\0\0\0\xff\xff\xff\x7f" + bytes(6)),
        (Array(U8), b"\5\0\0\0abcd"),  # more elements than bytes
        (Array(U8, count_max=2), b"\3\0\0\0abc"),
        (Array(U32), b"\1\x10\0\0" + bytes(20_000)),  # more than any array may have
        (Unique(U32), b"\1\0\0\0"),
    ],
)
def test_stubs_that_lie(kind: NDRType, wire: bytes) -> None:
    """Lengths beyond the stub are NDRError before anything is allocated."""
    with pytest.raises(NDRError):
        read_arguments((("x", kind),), wire)
