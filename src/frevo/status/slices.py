"""Long work for `frevo status` runs in slices of time, so that thousands of opens do not delay requests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds of work after which everything else on the loop gets its turn.
SLICE_S = 0.002
#: Levels of a response that are written piece by piece: response, result, list, file, its opens.
_DEPTH = 5


async def in_slices(steps: Generator[None, None, T]) -> T:
    """What *steps* return, run slice by slice."""
    ends = time.perf_counter() + SLICE_S
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if time.perf_counter() >= ends:
            await asyncio.sleep(0)
            ends = time.perf_counter() + SLICE_S


def json_line(value: Any) -> Generator[None, None, bytes | bytearray]:
    """*value* as one line of JSON, with its end; what json.dumps gives, in steps."""
    text = bytearray()
    for piece in _pieces(value, _DEPTH):
        text += piece.encode()
        yield
    text += b"\n"
    return text


def _pieces(value: Any, depth: int) -> Generator[str, None, None]:
    if not depth or not isinstance(value, dict) or not value:
        yield json.dumps(value)
        return
    before = "{"
    for key, inner in value.items():
        yield f"{before}{json.dumps(str(key))}: "
        yield from _pieces(inner, depth - 1)
        before = ", "
    yield "}"
