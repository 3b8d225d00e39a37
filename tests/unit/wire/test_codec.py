"""The checked cursor, the Bits and OpenEnum bases, UTF-16 names."""

from __future__ import annotations

import struct

import pytest

from frevo.errors import WireError
from frevo.wire.codec import (
    EMPTY,
    Bits,
    Cursor,
    OpenEnum,
    aligned,
    encode_utf16,
    fixed,
    padding,
    slice_of,
    utf16,
    variable,
)
from frevo.wire.erref import NTStatus, Severity, is_error, severity


class Colour(Bits):
    RED = 1
    BLUE = 4


class Size(OpenEnum):
    SMALL = 1


def test_cursor_reads_forward() -> None:
    """Each primitive gives its value and moves on: read one of each."""
    cursor = Cursor(b"\1\2\0\3\0\0\0" + b"\4" + bytes(7) + b"\xff" * 8 + b"a\0xyz")
    assert (cursor.u8(), cursor.u16(), cursor.u32(), cursor.u64(), cursor.i64()) == (1, 2, 3, 4, -1)
    assert cursor.utf16(2) == "a"
    assert cursor.bytes(2) == b"xy"
    assert (cursor.remaining, bytes(cursor.rest()), cursor.remaining) == (1, b"z", 0)


@pytest.mark.parametrize("read", ["u8", "u16", "u32", "u64", "i64"])
def test_cursor_end(read: str) -> None:
    """Reading behind the end is a WireError that names the structure: read from nothing."""
    with pytest.raises(WireError, match="thing"):
        getattr(Cursor(b"", "thing"), read)()


@pytest.mark.parametrize("length", [-1, 4, 1 << 63])
def test_cursor_view_bounds(length: int) -> None:
    """Lengths outside the rest are refused and move nothing: try below, above and huge."""
    cursor = Cursor(b"abc")
    with pytest.raises(WireError):
        cursor.view(length)
    assert cursor.position == 0


def test_cursor_align_and_sub() -> None:
    """Alignment stops at the end; sub-views count from the start: align and take some."""
    cursor = Cursor(b"0123456789")
    cursor.skip(1)
    cursor.align(8)
    assert cursor.position == 8
    cursor.skip(1)
    cursor.align(8)
    assert cursor.position == 10
    assert bytes(cursor.sub(2, 3).rest()) == b"234"
    assert cursor.at(99, 0) is EMPTY
    for offset, length, minimum in ((8, 3, 0), (1, 1, 2), (0, -1, 0)):
        with pytest.raises(WireError):
            cursor.at(offset, length, minimum)


def test_fixed_and_variable() -> None:
    """The two shortcuts check size, structure size and both ends: give them good and bad messages."""
    layout = struct.Struct("<HH")
    message = bytes(64) + b"\4\0\7\0abcd"
    assert fixed(layout, message, 0, 4, "x") == (4, 7)
    with pytest.raises(WireError):
        fixed(layout, message, 0, 5, "x")
    with pytest.raises(WireError):
        fixed(layout, message[:67], 0, 4, "x")
    assert bytes(variable(message, 0, 68, 4, 68, "x")) == b"abcd"
    assert bytes(variable(b"xx" + message, 2, 69, 3, 68, "x")) == b"bcd"
    assert variable(message, 0, 0xFFFFFFFF, 0, 68, "x") is EMPTY
    for offset, length in ((67, 1), (68, 5), (72, 1), (0xFFFFFFFF, 1)):
        with pytest.raises(WireError):
            variable(message, 0, offset, length, 68, "x")


def test_slice_of_is_a_view() -> None:
    """Sub-views share memory: change the buffer and look through the view."""
    data = bytearray(b"abcdef")
    view = slice_of(data, 1, 2, "x")
    data[1] = ord("X")
    assert bytes(view) == b"Xc"
    with pytest.raises(WireError):
        slice_of(data, 5, 2, "x")


@pytest.mark.parametrize("name", ["", "a\\ü", "\ud800", "x\udc00y", "\U0001f600", "\0"])
def test_utf16_round_trip(name: str) -> None:
    """Every name survives, lone surrogates too: encode and decode."""
    assert utf16(encode_utf16(name)) == name


def test_utf16_odd_length() -> None:
    """Half a code unit is a WireError: decode three bytes."""
    with pytest.raises(WireError):
        utf16(b"a\0b")


def test_padding() -> None:
    """padding and aligned agree: try lengths around a boundary."""
    assert [len(padding(n)) for n in (0, 1, 7, 8, 9)] == [0, 7, 1, 0, 7]
    assert [aligned(n, 4) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]


def test_bits_give_plain_ints() -> None:
    """Operators of Bits cost and return what int's do: look at the types; unknown bits stay."""
    assert type(7 & Colour.RED) is int
    assert type(Colour.RED | Colour.BLUE) is int
    assert 0xFF & ~Colour.RED == 0xFE
    assert Colour(9).value == 9
    assert "RED" in repr(Colour(9))


def test_open_enum_keeps_unknown_values() -> None:
    """Unknown values become members that compare as their number: make one."""
    assert Size(77) == 77
    assert Size(77).name == "UNKNOWN_0x4D"
    with pytest.raises(ValueError, match="-1"):
        Size(-1)


def test_ntstatus() -> None:
    """Known, unknown and impossible statuses, and their severity: look each up."""
    assert NTStatus(0xC0000022) is NTStatus.ACCESS_DENIED
    assert NTStatus(0xE1234567).name == "UNKNOWN_0xE1234567"
    assert NTStatus.BUFFER_OVERFLOW.severity is Severity.WARNING
    assert not NTStatus.BUFFER_OVERFLOW.is_error
    assert NTStatus.END_OF_FILE.is_error
    assert severity(NTStatus.PENDING) is Severity.SUCCESS
    assert is_error(0xC0000001)
    assert not is_error(0x80000006)
    with pytest.raises(ValueError, match="NTStatus"):
        NTStatus(1 << 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUCCESS", 0),
        ("PENDING", 0x103),
        ("NOTIFY_CLEANUP", 0x10B),
        ("NOTIFY_ENUM_DIR", 0x10C),
        ("BUFFER_OVERFLOW", 0x80000005),
        ("NO_MORE_FILES", 0x80000006),
        ("STOPPED_ON_SYMLINK", 0x8000002D),
        ("INVALID_INFO_CLASS", 0xC0000003),
        ("INFO_LENGTH_MISMATCH", 0xC0000004),
        ("MORE_PROCESSING_REQUIRED", 0xC0000016),
        ("OBJECT_NAME_NOT_FOUND", 0xC0000034),
        ("SHARING_VIOLATION", 0xC0000043),
        ("FILE_LOCK_CONFLICT", 0xC0000054),
        ("DELETE_PENDING", 0xC0000056),
        ("LOGON_FAILURE", 0xC000006D),
        ("INSUFF_SERVER_RESOURCES", 0xC0000205),
        ("NETWORK_NAME_DELETED", 0xC00000C9),
        ("BAD_NETWORK_NAME", 0xC00000CC),
        ("DIRECTORY_NOT_EMPTY", 0xC0000101),
        ("CANCELLED", 0xC0000120),
        ("FILE_CLOSED", 0xC0000128),
        ("USER_SESSION_DELETED", 0xC0000203),
        ("NETWORK_SESSION_EXPIRED", 0xC000035C),
        ("SMB_BAD_CLUSTER_DIALECT", 0xC05D0001),
    ],
)
def test_ntstatus_values(name: str, value: int) -> None:
    """The numbers of [MS-ERREF] 2.3.1: spot checks, written down again by hand."""
    assert NTStatus[name] == value
