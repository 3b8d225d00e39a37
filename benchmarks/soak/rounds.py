"""A leg, round by round: everyone works, everyone ends, and what is left is looked at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import programs
from peers.frevo_server import FREVO, FrevoServer, frevo_server

from benchmarks.frevo_bench import frevo_bench
from benchmarks.soak.crew import Crew
from benchmarks.soak.ledger import Ledger, Shape, note_fault, noted_faults
from benchmarks.soak.legs import Leg
from benchmarks.soak.rough import SCRATCH
from benchmarks.soak.server import Holdings, holdings, leaks, open_files, status
from benchmarks.soak.storage import file_name
from benchmarks.soak.transfers import PARTS, UPLOAD

#: The server notices the end of its clients within this time.
_QUIET_S = 10.0
_LOOK_S = 0.05
#: Where memory is judged, it is filled first; seconds of a leg, and of each load that fills it.
_FILL_FROM_S, _FILL_S = 60.0, 2.0
#: So many faults of one round are shown.
_TOLD_MAX = 10
#: Counters of `frevo status` that say by which way data went.
_WAYS = ("sent_async", "sent_zero_copy", "sent_spliced", "written_spliced")


@dataclass(slots=True)
class Outcome:
    """What a leg found."""

    leg: Leg
    before: Holdings | None = None
    after: list[Holdings] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "name": self.leg.name,
            "engine": self.leg.engine,
            "options": dict(self.leg.options),
            "before": self.before.to_json() if self.before else None,
            "rounds": [one.to_json() for one in self.after],
            "counts": self.counts,
            "statistics": self.statistics,
            "faults": self.faults,
        }


def run_leg(
    outcome: Outcome, base: Path, shape: Shape, seconds: float, round_s: float, tell: Callable[[str], None]
) -> None:
    """Fills *outcome*, also when it is interrupted. *tell* gets a line for each round."""
    options = {"server signing": "auto", "frevo:engine": outcome.leg.engine, **outcome.leg.options}
    ledger_folder = base / "ledger"
    ledger_folder.mkdir(parents=True)
    interrupted = False
    try:
        with frevo_server(base / "server", options) as server:
            try:
                _Leg(outcome, server, Ledger(ledger_folder, shape, create=True), tell).run(seconds, round_s)
            except KeyboardInterrupt:  # the server still has to end well
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt
    except AssertionError as error:  # the server did not end as it should
        note_fault(ledger_folder, "the server", str(error))
    finally:
        outcome.faults = noted_faults(ledger_folder)


class _Leg:
    """A leg that runs."""

    def __init__(
        self, outcome: Outcome, server: FrevoServer, ledger: Ledger, tell: Callable[[str], None]
    ) -> None:
        self._outcome, self._server, self._ledger, self._tell = outcome, server, ledger, tell
        self._config = server.log.parent / "smb.conf"
        self._share = server.folder()
        self._told = 0

    def run(self, seconds: float, round_s: float) -> None:
        (self._share / "quiet").mkdir()
        for number in range(self._ledger.shape.files):
            self._ledger.fill(number, self._share / file_name(number))
        crew = Crew(self._server, self._ledger)
        self._use_once()
        if seconds >= _FILL_FROM_S:
            self._fill_pools()
        self._outcome.before = before = holdings(self._server.pid)
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0 and self._server.alive():
                crew.work(min(left, round_s))
                self._look(before, crew)
        finally:
            crew.kill()
        if not self._server.alive():
            note_fault(self._ledger.folder, "the server", "it is gone")
        for text in leaks(before, self._outcome.after):
            note_fault(self._ledger.folder, "the server", text)

    def _use_once(self) -> None:
        """What the server opens at the first use of something, and keeps, is no leak."""
        status(self._config)
        words = (
            f"smb://{self._server.host}:{self._server.port}/share/{file_name(0)}",
            str(self._share / UPLOAD),
        )
        account = {"FREVO_USER": self._server.user, "FREVO_PASSWORD": self._server.password}
        programs.run([*FREVO, "get", "--quiet", *words], env=account).ok()
        self._tidy()

    def _fill_pools(self) -> None:
        """Buffers that are kept for the next request are no leak: a heavy load takes as many as there will ever be."""
        for protect in ("off", "sign", "encrypt"):
            for load in ("write", "read"):
                words = (load, "--io-size", "8M", "--connections", "8", "--qdepth", "4")
                frevo_bench(self._server, words, _FILL_S, protect=protect)
        self._tidy()

    def _look(self, before: Holdings, crew: Crew) -> None:
        """Nobody is there: what does the server hold, what is in the files, and which files are there?"""
        after = self._quiet(before)
        if after.files > before.files:
            names = ", ".join(Path(path).name for path in open_files(self._server.pid))
            note_fault(self._ledger.folder, "the server", f"open without a client: {names}")
        self._outcome.after.append(after)
        for number in range(self._ledger.shape.files):
            for text in self._ledger.settle(number, self._share / file_name(number)):
                note_fault(self._ledger.folder, "the server's disk", text)
        self._tidy()
        found = status(self._config)["statistics"]
        self._outcome.statistics = found
        self._outcome.counts = counts = {**self._ledger.totals(), "kills": crew.kills}
        self._tell(self._line(after, counts, found))
        told = noted_faults(self._ledger.folder)
        for fault in told[self._told : self._told + _TOLD_MAX]:
            self._tell(f"FAULT: {fault['who']}: {fault['what']} (seed {self._ledger.shape.seed})")
        self._told = len(told)

    def _quiet(self, before: Holdings) -> Holdings:
        deadline = time.monotonic() + _QUIET_S
        while True:
            now = holdings(self._server.pid)
            still = now.files <= before.files and now.sockets <= before.sockets
            if still or time.monotonic() > deadline:
                return now
            time.sleep(_LOOK_S)

    def _tidy(self) -> None:
        """Removes what may be left, and notes what may not."""
        known = {"quiet", SCRATCH, UPLOAD, *(file_name(number) for number in range(self._ledger.shape.files))}
        for path in self._share.glob(PARTS):
            path.unlink()
        for name in (SCRATCH, UPLOAD):
            with contextlib.suppress(FileNotFoundError):
                (self._share / name).unlink()
        for path in self._share.iterdir():
            if path.name not in known:
                note_fault(self._ledger.folder, "the server's disk", f"{path.name} was left")
                path.unlink()

    def _line(self, after: Holdings, counts: dict[str, int], statistics: dict[str, int]) -> str:
        ways = ", ".join(f"{statistics[way] / 1e9:.1f} GB {way}" for way in _WAYS if statistics.get(way))
        return (
            f"{self._outcome.leg.name}, round {len(self._outcome.after)}: "
            f"{counts['reads']:,} READs ({counts['read_bytes'] / 1e9:.1f} GB{', ' * bool(ways)}{ways}), "
            f"{counts['writes']:,} WRITEs ({counts['written_bytes'] / 1e9:.1f} GB), {counts['resizes']} resizes, "
            f"{counts['connects']} connects, {counts['kills']} kills, {counts['resets']} resets, "
            f"{counts['cancels']} cancels, {counts['interrupts']} of {counts['transfers']} transfers interrupted; "
            f"{after.resident / 1e6:.0f} MB, {after.descriptors} descriptors, {after.threads} threads; "
            f"{len(noted_faults(self._ledger.folder))} faults"
        )
