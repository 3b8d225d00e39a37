"""Every [MS-FSCC] structure against its byte vector: create, parse, truncated, hostile."""

from __future__ import annotations

from typing import Any

import pytest
from vectors import load
from vectors.fscc_cases import LISTS, STRUCTURES
from vectors.hostile import mutations, parses_or_wire_error

VECTORS = load("fscc")
CASES = [(name, made) for name, all_made in STRUCTURES.items() for made in all_made]


def _id(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


def test_every_vector_has_a_case() -> None:
    """No vector is left out: compare the names of the file with those of the tables."""
    assert set(VECTORS) == set(STRUCTURES) | set(LISTS)


@pytest.mark.parametrize(("name", "made"), CASES, ids=_id)
def test_structure(name: str, made: Any) -> None:
    """Pack gives the vector and parse gives the object; a trailing byte changes nothing: compare."""
    data = VECTORS[name]
    assert made.pack() == data
    assert type(made).parse(data) == made
    assert type(made).parse(memoryview(data)) == made
    if name != "pipe_peek":
        assert type(made).parse(data + b"\xee") == made


@pytest.mark.parametrize(("name", "made"), CASES, ids=_id)
def test_structure_hostile(name: str, made: Any) -> None:
    """A result that packs again, or WireError: every truncation and extreme values in every place."""
    data = VECTORS[name]
    for length in range(len(data)):
        parses_or_wire_error(type(made).parse, data[:length])
    for hostile in mutations(data):
        parses_or_wire_error(type(made).parse, hostile)


@pytest.mark.parametrize("name", LISTS)
def test_list(name: str) -> None:
    """Chains: pack, parse, every truncation, extreme values in every place."""
    items, pack, parse = LISTS[name]
    data = VECTORS[name]
    assert pack(items) == data
    assert parse(data) == items
    for length in range(len(data)):
        parses_or_wire_error(parse, data[:length])
    for hostile in mutations(data):
        parses_or_wire_error(parse, hostile)


@pytest.mark.parametrize("name", ["full_eas", "get_eas", "streams", "notifications", "directory_37"])
def test_empty_list(name: str) -> None:
    """No entries are no bytes, and the reverse: pack and parse the empty list."""
    _, pack, parse = LISTS[name]
    assert pack([]) == b""
    assert parse(b"") == []
