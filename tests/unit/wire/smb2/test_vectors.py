"""Every SMB2 structure against its byte vector: create, parse, truncated, hostile."""

from __future__ import annotations

from typing import Any

import pytest
from vectors import load
from vectors.hostile import mutations, parses_or_wire_error
from vectors.smb2_cases import ALIASES, BODIES, BUFFERS

from frevo.errors import WireError
from frevo.wire.smb2 import Header

VECTORS = load("smb2")
HEADER = Header(command=5).pack()

BODY_CASES = [(name, made) for name, made in BODIES.items()]
BODY_CASES += [(name, made) for name, list_ in ALIASES.items() for made in list_]


def _id(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


def test_every_vector_has_a_case() -> None:
    """No vector is left out: compare the names of the file with those of the tables."""
    assert set(VECTORS) == set(BODIES) | set(BUFFERS)


@pytest.mark.parametrize(("name", "made"), BODY_CASES, ids=_id)
def test_body_pack(name: str, made: Any) -> None:
    """An object gives exactly the bytes of the specification: pack and compare."""
    assert made.pack() == VECTORS[name]


@pytest.mark.parametrize(("name", "made"), BODY_CASES, ids=_id)
def test_body_parse(name: str, made: Any) -> None:
    """The bytes of the specification give the object, at offset 0 and behind another message: parse and
    compare.
    """
    message = HEADER + VECTORS[name]
    assert type(made).parse(message) == made
    assert type(made).parse(memoryview(b"\xee" * 72 + message)[72:]) == made
    assert type(made).parse(b"\xee" * 72 + message, 72) == made


@pytest.mark.parametrize(("name", "made"), BODY_CASES, ids=_id)
def test_body_truncated(name: str, made: Any) -> None:
    """Cut at every length: below the fixed part always WireError, above it a parse or WireError."""
    message = HEADER + VECTORS[name]
    size = int.from_bytes(VECTORS[name][:2], "little") & ~1
    fixed = 24 if name == "lock_request" else size
    for length in range(len(message)):
        if length < 64 + fixed:
            with pytest.raises(WireError):
                type(made).parse(message[:length])
        else:
            parses_or_wire_error(type(made).parse, message[:length])


@pytest.mark.parametrize(("name", "made"), BODY_CASES, ids=_id)
def test_body_hostile(name: str, made: Any) -> None:
    """Every field in turn set to extreme values: parse and what it gives packs again, or WireError."""
    for body in mutations(VECTORS[name]):
        parses_or_wire_error(type(made).parse, HEADER + body)


@pytest.mark.parametrize(("name", "made"), BUFFERS.items(), ids=_id)
def test_buffer(name: str, made: Any) -> None:
    """Structures without a header: pack, parse, every truncation, extreme values."""
    parse = type(made).parse
    assert made.pack() == VECTORS[name]
    assert parse(VECTORS[name]) == made
    assert parse(memoryview(VECTORS[name])) == made
    for length in range(len(VECTORS[name])):
        parses_or_wire_error(parse, VECTORS[name][:length])
    for data in mutations(VECTORS[name]):
        parses_or_wire_error(parse, data)


@pytest.mark.parametrize(("name", "made"), BODY_CASES, ids=_id)
def test_wrong_structure_size(name: str, made: Any) -> None:
    """A StructureSize that is not the structure's is refused: change it by one."""
    body = bytearray(VECTORS[name])
    body[0] ^= 1
    with pytest.raises(WireError):
        type(made).parse(HEADER + bytes(body))
