"""Part files: what a transfer writes until it is complete, and where the next one continues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from frevo.client.share.file import File
from frevo.client.share.share import Share
from frevo.client.transfer.spread import gaps_bytes


class Progress(Protocol):
    """Receives the progress of a transfer."""

    def advanced(self, size: int) -> None:
        """*size* more bytes are done."""


@asynccontextmanager
async def part_of(share: Share, part: str) -> AsyncIterator[File]:
    """The part file, open for appending. If nothing was written to it, it is removed."""
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
    """A callback for the total so far that reports to *report* what was added since its last call."""
    reported = 0

    def progress(done: int) -> None:
        nonlocal reported
        report.advanced(done - reported)
        reported = done

    return progress


def resumed_at(size: int, complete: int) -> int:
    """Where to continue a part file of *size* bytes, whose end may have gaps."""
    return min(max(0, size - gaps_bytes(complete)), complete)
