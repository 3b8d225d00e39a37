"""Many files as jobs: several at a time, repeated if the connection is lost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from frevo.client.batch import verify
from frevo.client.batch.pool import Pool
from frevo.client.errors import ConnectionLost
from frevo.client.lasting.retry import Attempts
from frevo.client.share.share import Share
from frevo.client.transfer.small import SMALL_BYTES
from frevo.client.transfer.spread import SPREAD_BYTES

#: How many files are transferred at a time, and how many large ones among them.
PARALLEL = 32
_LARGE_AT_A_TIME = 4
#: Times that differ by less count as equal: some file systems store only even seconds.
TIME_TOLERANCE_NS = 2_000_000_000


class Report(Protocol):
    """Receives the progress of a transfer."""

    def found(self, size: int) -> None:
        """Another file, of *size* bytes, will be transferred."""

    def advanced(self, size: int) -> None:
        """*size* more bytes are done."""

    def finished(self, path: str) -> None:
        """One file is done."""

    def failed(self, path: str, error: OSError) -> None:
        """One file or directory failed; the rest continues."""


class Totals(msgspec.Struct):
    """What was done."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0
    errors: list[tuple[str, OSError]] = msgspec.field(default_factory=list)
    #: (source, SHA-256) of what was verified.
    digests: list[tuple[str, str]] = msgspec.field(default_factory=list)

    def add(self, other: Totals) -> None:
        """Adds the counts of *other*."""
        self.files += other.files
        self.bytes += other.bytes
        self.skipped += other.skipped
        self.errors += other.errors
        self.digests += other.digests

    def failed(self, path: str, error: OSError, report: Report) -> None:
        """Reports and counts the failure of one file; a lost connection is raised, as it ends the whole transfer."""
        if isinstance(error, ConnectionError):
            raise error
        self.errors.append((path, error))
        report.failed(path, error)


class Plan(msgspec.Struct):
    """How to transfer. update: skip files that exist with the same size and time. verify: compare SHA-256
    afterwards."""

    recursive: bool = False
    update: bool = False
    parallel: int = PARALLEL
    verify: bool = False


Job = tuple[str, str, int, int]  # from, to, size, time in ns
Pairs = Sequence[tuple[str, str]]  # from, to
Do = Callable[[Share, Job, "Plan", Totals, Report], Awaitable[None]]


def part_name(name: str, size: int, modified_ns: int) -> str:
    """The name of an incomplete file. Each version of the source has its own, so that resuming never mixes two."""
    identity = f"{name}\0{size}\0{modified_ns // 1000}".encode(errors="surrogatepass")
    return f".frevo-{hashlib.sha256(identity).hexdigest()[:20]}.part"


class _Undoable:
    """The report of one file, whose progress can be taken back."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._done = 0
        self.found, self.finished, self.failed = report.found, report.finished, report.failed

    def advanced(self, size: int) -> None:
        """*size* more bytes are done."""
        self._done += size
        self._report.advanced(size)

    def take_back(self) -> int:
        """Reports that nothing is done after all; returns how many bytes were."""
        done = self._done
        self.advanced(-done)
        return done


async def repeat_job(do: Do, share: Share, job: Job, plan: Plan, totals: Totals, report: Report) -> None:
    """Does *job*, repeated as `lasting.retry` says; each attempt continues where the last one stopped."""
    undoable, attempts = _Undoable(report), Attempts()
    first: ConnectionLost | None = None
    while True:
        try:
            return await do(share, job, plan, totals, undoable)
        except ConnectionLost as error:
            if error.unsent:  # no new connection: the first error says more
                raise first or error from None
            first = error
            if not attempts.again(error, undoable.take_back()):
                raise


async def run_batch(
    share: Share, jobs: AsyncIterator[Job], do: Do, plan: Plan, report: Report, totals: Totals,
    several: bool = False,
) -> Totals:  # fmt: skip
    """Does *jobs*, several at a time. A failure is reported and counted; a connection that stays lost ends them all.

    *do* gets *share*, or another connection to it when there are to be *several*.
    """
    large = asyncio.Semaphore(_LARGE_AT_A_TIME)

    async def one(other: Share, job: Job) -> None:
        if job[2] > SMALL_BYTES:
            async with large:  # a very large file uses all connections by itself
                where = share if job[2] >= SPREAD_BYTES else other
                await repeat_job(do, where, job, plan, totals, report)
            return
        try:
            await do(other, job, plan, totals, report)
        except ConnectionLost:
            await repeat_job(do, other, job, plan, totals, report)

    def failed(job: Job, error: OSError) -> None:
        totals.failed(job[0], error, report)

    async def found() -> AsyncIterator[Job]:
        async for job in jobs:
            report.found(job[2])
            yield job

    try:
        await Pool(share, one, failed, plan.parallel, several).run(found())
    except ConnectionLost as error:
        error.strerror = f"{error.strerror}; run the same command again to resume"
        raise
    return totals


async def same_content(share: Share, path: str, local: str, plan: Plan) -> bool:
    """Whether two files that look the same are the same; compared only if the plan requires it."""
    try:
        return not plan.verify or bool(await verify.compare(share, path, local))
    except verify.Mismatch:
        return False
