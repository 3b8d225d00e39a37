"""The command line: every row in pairs in one run, round by round; a table, JSON and an HTML page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.target import Target

from benchmarks import network as networks
from benchmarks.html import page
from benchmarks.idle import memory_of_idle_sessions
from benchmarks.machine import conditions, wait_until_quiet
from benchmarks.network import Network
from benchmarks.options import parsed
from benchmarks.report import Report, markdown
from benchmarks.results import Result
from benchmarks.rows import LIMIT_METHODS, VARIANTS, Side, Stage
from benchmarks.rungs import rungs
from benchmarks.sample import wait_until_idle
from benchmarks.servers import all_servers
from benchmarks.tools import build_limit, run_limit
from benchmarks.transfers import SOURCE, make_file

_MIB = 1 << 20
#: The row with many connections has fewer in a smoke test.
_MANY, _MANY_QUICK = 1000, 40
_INTERRUPTED = 130


@dataclass(frozen=True)
class Launch:
    """The servers that run now, and how rows are measured with them."""

    servers: Mapping[str, Target]
    stage: Stage
    options: argparse.Namespace
    limit: Path | None  #: `benchmarks/limit.c`, if it could be built
    forced: Mapping[str, Mapping[str, object]]  #: the rungs by path

    def run_all(self, report: Report) -> None:
        """Adds rounds of every row that has not failed."""
        if self.options.sessions and not self.options.only and not report.memory:
            report.memory = memory_of_idle_sessions(self.servers, self.stage.network, self.options.sessions)
        for result in report.results:
            if not result.error:
                self.run_row(result)
                _progress(result)

    def run_row(self, result: Result) -> None:
        """Adds rounds of one row; who runs first changes from round to round."""
        row, servers, stage = result.row, self.servers, self.stage
        others = {*VARIANTS, *(name for names in self.forced.values() for name in names)}
        sides = row.sides_for({name: target for name, target in servers.items() if name not in others})
        mine = {name: Side(name, row.run) for name in self.forced.get(row.path, ()) if row.run is not None}
        for name in sides:
            result.samples.setdefault(name, [])
        try:
            for number in range(self.options.rounds):
                wait_until_quiet(self.options.patience)
                for name, side in _rotated({**sides, **mine}, number):
                    wait_until_idle(servers[side.server])
                    found = result.rungs if name in mine else result.samples
                    found.setdefault(name, []).append(side.run(servers[side.server], stage))
                if self.limit is not None and row.limit is not None:
                    for method in LIMIT_METHODS:
                        one = run_limit(self.limit, stage.network, method, row.limit, stage.seconds / 2)
                        result.limit.setdefault(method, []).append(one)
        except Exception as error:
            result.error = f"{type(error).__name__}: {error}"


def _rotated(sides: Mapping[str, Side], number: int) -> Iterator[tuple[str, Side]]:
    items = list(sides.items())
    start = number % len(items)
    yield from items[start:] + items[:start]


def _measure(options: argparse.Namespace, network: Network, base: Path) -> Report:
    rows = [Result(row) for row in options.rows]
    forced = rungs() if options.rungs else {}
    frevo_options = dict(line.split("=", 1) for line in options.set)
    shown: dict[str, Any] = {"rounds": options.rounds * options.launches, "seconds": options.seconds}
    shown |= {"set": ", ".join(options.set), "against": str(options.against or "")}
    report = Report(conditions(network.name, base), shown, rows)
    limit = build_limit(base)
    folder = base / "client"
    folder.mkdir()
    make_file(folder / SOURCE, options.size * _MIB)
    stage = Stage(options.seconds, network, folder, _MANY_QUICK if options.quick else _MANY)
    names = {name: more for path in forced.values() for name, more in path.items()}
    sides = [side.server for result in rows for side in result.row.sides.values()]
    names |= {name: more for name, more in VARIANTS.items() if name in sides}
    for launch in range(options.launches):
        place = base / f"launch-{launch}"
        with all_servers(place, network, frevo_options, options.against, names) as servers:
            for target in servers.values():
                (target.folder() / SOURCE).hardlink_to(folder / SOURCE)
            try:
                Launch(servers, stage, options, limit, forced).run_all(report)
            except KeyboardInterrupt:  # the servers still have to end well
                report.interrupted = True
                break
    report.results = [one for one in rows if one.error or one.is_complete]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    report.conditions = {**report.conditions, "load average after": load}
    return report


def main(arguments: Sequence[str]) -> int:
    """Runs the selected rows. The exit code is 1 if one could not be run, and 130 after Ctrl-C, which shows what was
    measured until then; missed goals do not matter."""
    options = parsed(arguments)
    if options.list:
        print(*(row.name for row in options.rows), sep="\n")
        return 0
    if options.veth and (code := networks.again_inside("benchmarks", arguments)) is not None:
        return code
    folder = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    with (
        networks.veth() if options.veth else nullcontext(Network()) as network,
        tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=folder) as base,
    ):
        report = _measure(options, network, Path(base))
    print(markdown(report))
    if options.json is not None:
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    if options.html is not None:
        options.html.write_text(page(report), encoding="utf-8")
    if report.interrupted:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 1 if any(result.error for result in report.results) else 0


def _progress(result: Result) -> None:
    figures = ", ".join(f"{name} x {figure.median:.2f}" for name, figure in result.figures.items())
    print(f"{result.row.name}: {result.error or figures}", file=sys.stderr, flush=True)
