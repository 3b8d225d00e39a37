"""Part files: what a transfer writes until it is complete, and where it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from frevo.client.share.file import File
from frevo.client.share.share import Share
from frevo.client.transfer.spread import gaps_bytes


class Progress(Protocol):
    """Who is told how far it came."""

    def advanced(self, size: int) -> None:
        """So many bytes more are done."""


@asynccontextmanager
async def part_of(share: Share, part: str) -> AsyncIterator[File]:
    """The part file, open for appending; it goes again when nothing came into it."""
    empty = False
    try:
        async with share.open(part, "a+b") as file:
            try:
                yield file
            except OSError:
                empty = not await file.size()
                raise
    finally:
        if empty:
            with suppress(OSError):
                await share.remove(part)


def steps(report: Progress) -> Callable[[int], None]:
    """Tells *report* what was added since the last time."""
    told = 0

    def progress(done: int) -> None:
        nonlocal told
        report.advanced(done - told)
        told = done

    return progress


def resumed_at(size: int, complete: int) -> int:
    """Where to go on with a part file of *size* bytes: its end may have gaps."""
    return min(max(0, size - gaps_bytes(complete)), complete)
