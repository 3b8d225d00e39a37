"""The directory packer: exact fill, alignment, every class."""

from __future__ import annotations

import pytest

from frevo.errors import WireError
from frevo.wire.fscc import (
    DIRECTORY_CLASSES,
    DirectoryEntry,
    DirectoryPacker,
    entry_fixed_size,
    pack_entry,
    parse_directory,
)

#: Bytes before FileName, from [MS-FSCC] 2.4.10 and its siblings.
FIXED_SIZES = {1: 64, 2: 68, 3: 94, 12: 12, 37: 104, 38: 80, 60: 88, 63: 114}
ENTRIES = [DirectoryEntry("x" * n, 0x20, 1, 2, 3, 4, 5, 6, 7, 8) for n in range(1, 9)]


def test_fixed_sizes() -> None:
    """Every class has the size of the specification: compare."""
    assert {c: entry_fixed_size(c) for c in DIRECTORY_CLASSES} == FIXED_SIZES


@pytest.mark.parametrize("info_class", sorted(FIXED_SIZES))
def test_round_trip(info_class: int) -> None:
    """Entries start at multiples of 8, the last has no padding: pack all, walk the chain, parse."""
    packer = DirectoryPacker(info_class, 1 << 16)
    assert all(packer.append(entry) for entry in ENTRIES)
    raw = packer.finish()
    assert packer.count == len(ENTRIES)
    position = 0
    for entry in ENTRIES:
        assert position % 8 == 0
        size = FIXED_SIZES[info_class] + 2 * len(entry.name)
        next_offset = int.from_bytes(raw[position : position + 4], "little")
        assert next_offset == (0 if entry is ENTRIES[-1] else -(-size // 8) * 8)
        position += next_offset
    assert len(raw) == position + size
    assert [entry.name for entry in parse_directory(info_class, raw)] == [entry.name for entry in ENTRIES]


@pytest.mark.parametrize("info_class", sorted(FIXED_SIZES))
def test_exact_fit(info_class: int) -> None:
    """A buffer of exactly the size is filled, one byte less loses the last entry only: try both."""
    whole = DirectoryPacker(info_class, 1 << 16)
    for entry in ENTRIES[:3]:
        whole.append(entry)
    size = len(whole)
    exact, short = DirectoryPacker(info_class, size), DirectoryPacker(info_class, size - 1)
    assert [exact.append(entry) for entry in ENTRIES[:3]] == [True, True, True]
    assert exact.finish() == whole.finish()
    assert [short.append(entry) for entry in ENTRIES[:3]] == [True, True, False]
    assert short.finish() == packed(info_class, ENTRIES[:2])


def packed(info_class: int, entries: list[DirectoryEntry]) -> bytes:
    packer = DirectoryPacker(info_class, 1 << 16)
    for entry in entries:
        packer.append(entry)
    return packer.finish()


def test_nothing_fits() -> None:
    """A first entry that does not fit leaves the buffer empty: try a tiny one."""
    packer = DirectoryPacker(37, 100)
    assert not packer.append(ENTRIES[0])
    assert (packer.finish(), packer.count, len(packer)) == (b"", 0, 0)


def test_pack_entry_is_the_single_form() -> None:
    """One entry alone equals a packer with one: compare for each class."""
    for info_class in DIRECTORY_CLASSES:
        assert pack_entry(info_class, ENTRIES[0]) == packed(info_class, ENTRIES[:1])


def test_short_name_is_cut_to_its_field() -> None:
    """ShortName has 24 bytes: give 13 characters."""
    (entry,) = parse_directory(3, pack_entry(3, DirectoryEntry("a", short_name="1234567890123")))
    assert entry.short_name == "123456789012"


def test_wide_file_id() -> None:
    """128-bit ids survive in the extended classes, the others have their low half: round trip."""
    wide = DirectoryEntry("a", file_id=(5 << 64) | 7)
    assert next(iter(parse_directory(60, pack_entry(60, wide)))).file_id == (5 << 64) | 7
    assert next(iter(parse_directory(37, pack_entry(37, wide)))).file_id == 7


def test_unknown_class() -> None:
    """A class outside the list is WireError when parsed, KeyError when we pack: try 99."""
    with pytest.raises(WireError):
        list(parse_directory(99, b"x"))
    with pytest.raises(KeyError):
        DirectoryPacker(99, 100)


def test_parse_refuses_short_short_name() -> None:
    """ShortNameLength above 24 is refused: set 25."""
    raw = bytearray(pack_entry(3, DirectoryEntry("a")))
    raw[68] = 25
    with pytest.raises(WireError):
        list(parse_directory(3, bytes(raw)))
