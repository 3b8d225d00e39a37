"""Batches of files: repeats after a lost connection, progress, failures, and what a plan leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar, cast

import pytest

from frevo.client.batch.jobs import Plan, Report, Totals, part_name, repeat_job, run_batch, same_content
from frevo.client.batch.verify import Mismatch
from frevo.client.errors import ConnectionLost, PeerFault, RemoteError, fault, lost
from frevo.client.lasting.retry import REPEATS

JOB = ("a", "b", 100, 0)


class Progress:
    """The bytes that are reported as done."""

    def __init__(self) -> None:
        self.done = 0

    def advanced(self, size: int) -> None:
        self.done += size

    def found(self, size: int) -> None:
        """Not told of here."""

    def finished(self, path: str) -> None:
        """Not told of here."""

    def failed(self, path: str, error: OSError) -> None:
        """Not told of here."""


class Work:
    """Each attempt does some bytes and then fails, as *attempts* say; after them it succeeds."""

    def __init__(self, *attempts: tuple[int, RemoteError]) -> None:
        self.attempts, self.count = list(attempts), 0

    async def do(self, share: Any, job: Any, plan: Plan, totals: Totals, report: Report) -> None:
        self.count += 1
        if self.attempts:
            done, error = self.attempts.pop(0)
            report.advanced(done)
            raise error
        report.advanced(100)

    async def run(self) -> Progress:
        progress = Progress()
        await repeat_job(self.do, cast(Any, None), JOB, Plan(), Totals(), progress)
        return progress


async def test_progress_is_taken_back() -> None:
    """Each attempt begins its count anew: in the end the whole file is reported once."""
    work = Work((30, lost("cut")), (60, lost("cut")))
    assert (await work.run()).done == 100 and work.count == 3


async def test_a_server_that_cuts_again_and_again() -> None:
    """As long as each attempt comes further the file goes on; then it is tried REPEATS times more."""
    further = [(size, lost("cut")) for size in range(1, 40)]
    assert (await Work(*further).run()).done == 100
    stuck = Work((50, lost("cut")), *[(50, lost("cut")) for _ in range(REPEATS)])
    with pytest.raises(ConnectionLost):
        await stuck.run()
    assert stuck.count == 1 + REPEATS


@pytest.mark.parametrize("error", [fault("a lie"), cast(RemoteError, None)])
async def test_what_is_not_repeated(error: RemoteError | None) -> None:
    """A server that broke a rule, and what was repeated often enough by those below."""
    if error is None:
        error = lost("cut")
        error.final = True
    work = Work((0, error))
    with pytest.raises((PeerFault, ConnectionLost)):
        await work.run()
    assert work.count == 1


async def test_without_another_connection() -> None:
    """When nothing could be sent the second time, the first error is the one to tell."""
    unsent = lost("closed")
    unsent.unsent = True
    with pytest.raises(ConnectionLost, match="the cable"):
        await Work((10, lost("the cable")), (0, unsent)).run()


class Share:
    """Has no further connections."""

    async def on_connection(self, index: int) -> None:
        return None


async def batch(do: Any, *jobs: Any, several: bool = False) -> tuple[Totals, list[tuple[str, str]]]:
    """Does *jobs*, and what was reported as failed."""

    class Failures(Progress):
        told: ClassVar[list[tuple[str, str]]] = []

        def failed(self, path: str, error: OSError) -> None:
            self.told.append((path, str(error)))

    async def found() -> AsyncIterator[Any]:
        for job in jobs:
            yield job

    report = Failures()
    totals = await run_batch(cast(Any, Share()), found(), do, Plan(), report, Totals(), several)
    return totals, report.told


async def test_one_failure_among_many() -> None:
    """It is counted and reported, and the other jobs are done."""
    done: list[str] = []

    async def do(share: Any, job: Any, *_: Any) -> None:
        if job[0] == "bad":
            raise OSError(28, "full")
        done.append(job[0])

    totals, told = await batch(do, ("a", "", 1, 0), ("bad", "", 1, 0), ("b", "", 1 << 20, 0))
    assert done == ["a", "b"] and [path for path, _ in totals.errors] == ["bad"] and told[0][0] == "bad"


async def test_a_small_file_is_repeated_too() -> None:
    """The usual path has no bookkeeping; only a connection that was lost brings it."""
    calls = 0

    async def do(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise lost("cut")

    totals, _ = await batch(do, ("a", "", 1, 0))
    assert calls == 3 and totals.errors == []


async def test_a_connection_that_stays_lost() -> None:
    """It ends the batch, and the error says how to go on."""

    async def do(*_: Any) -> None:
        raise lost("cut")

    with pytest.raises(ConnectionLost, match="run the same command again to resume"):
        await batch(do, ("a", "", 1, 0), ("b", "", 1, 0))


async def test_few_large_files_at_a_time() -> None:
    """Thirty-two jobs run at a time, but only four large ones among them."""
    now = most = small = 0

    async def do(share: Any, job: Any, *_: Any) -> None:
        nonlocal now, most, small
        if job[2] > 65536:
            now += 1
            most = max(most, now)
            for _ in range(20):
                await asyncio.sleep(0)
            now -= 1
        else:
            small += 1
            assert now <= 4

    jobs = [(f"{number}", "", size, 0) for number in range(20) for size in (1 << 20, 1)]
    await batch(do, *jobs)
    assert most == 4 and small == 20


def test_names_of_parts() -> None:
    """Each version of a source has its own: by name, size and time in microseconds. Any name can be hashed."""
    one = part_name("a", 5, 1_000_000)
    assert one.startswith(".frevo-") and one.endswith(".part") and "/" not in one
    assert part_name("a", 5, 1_000_999) == one
    assert (
        len({one, part_name("b", 5, 1_000_000), part_name("a", 6, 1_000_000), part_name("a", 5, 1_001_000)})
        == 4
    )
    assert part_name("a\udcff", 5, 0)


def test_totals_add_up() -> None:
    """Of several batches; a lost connection is raised instead of being counted."""
    totals = Totals(1, 10, 2)
    totals.add(Totals(3, 30, 4, [("a", OSError())], [("a", "ff")]))
    assert (totals.files, totals.bytes, totals.skipped) == (4, 40, 6)
    assert len(totals.errors) == 1 == len(totals.digests)
    with pytest.raises(ConnectionLost):
        totals.failed("a", lost("cut"), Progress())


@pytest.mark.parametrize(
    ("verify", "digest", "same"),
    [(False, None, True), (True, "ff", True), (True, Mismatch(5, "differs"), False)],
)
async def test_the_same_content(
    monkeypatch: pytest.MonkeyPatch, verify: bool, digest: Any, same: bool
) -> None:
    """Files that look the same are compared only if the plan says so."""

    async def compare(*_: Any) -> str:
        if isinstance(digest, Exception):
            raise digest
        assert verify
        return str(digest)

    monkeypatch.setattr("frevo.client.batch.verify.compare", compare)
    assert await same_content(cast(Any, None), "a", "b", Plan(verify=verify)) is same
