"""What hostile input looks like, shared by the tests of every parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from frevo.errors import WireError

EXTREMES_2 = (b"\0\0", b"\1\0", b"\xff\xff", b"\xff\x7f", b"\0\xd8")
EXTREMES_4 = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0\0\0", b"\xf8\xff\xff\xff")


def mutations(data: bytes) -> Iterator[bytes]:
    """*data* with every 16-bit and 32-bit place in turn replaced by extreme values."""
    for position in range(0, len(data) - 1, 2):
        for extreme in EXTREMES_2:
            yield data[:position] + extreme + data[position + 2 :]
    for position in range(0, len(data) - 3, 2):
        for extreme in EXTREMES_4:
            yield data[:position] + extreme + data[position + 4 :]


def parses_or_wire_error(parse: Callable[[bytes], Any], data: bytes) -> None:
    """The invariant of every parser: a result or WireError, nothing else; a result of a class packs again."""
    try:
        made = parse(data)
    except WireError:
        return
    if hasattr(made, "pack"):
        assert isinstance(made.pack(), bytes)
