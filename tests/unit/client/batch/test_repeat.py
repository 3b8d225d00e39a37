"""One file of a batch whose connection is lost: when it is done again, and what the progress says."""

from __future__ import annotations

from typing import Any, cast

import pytest

from frevo.client.batch.jobs import Plan, Report, Totals, repeat_job
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
