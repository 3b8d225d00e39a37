"""The command line: every row in pairs in one run, round by round; a table, JSON and an HTML page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from peers.target import Target

from benchmarks import network as networks
from benchmarks.html import page
from benchmarks.idle import memory_of_idle_sessions
from benchmarks.machine import conditions, wait_until_quiet
from benchmarks.network import Network
from benchmarks.report import Report, markdown
from benchmarks.results import Result
from benchmarks.rows import LIMIT_METHODS, ROWS, Row, Side, Stage
from benchmarks.rungs import rungs
from benchmarks.sample import wait_until_idle
from benchmarks.servers import all_servers
from benchmarks.tools import build_limit, run_limit
from benchmarks.transfers import SOURCE, make_file

_MIB = 1 << 20
#: The row with many connections has fewer in a smoke test.
_MANY, _MANY_QUICK = 1000, 40


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="frevo and Samba's smbd under the same load: ratios of rate and of processor time, and the goals.",
        epilog="example: python -m benchmarks --only READ --rounds 7 --json out.json --html out.html",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a smoke test: everything once, short and small")
    add("--rounds", type=int, default=5, help="runs of each load against each server (default 5)")
    add("--launches", type=int, default=1, metavar="N", help="start all servers N times, as two launches of one "
        "program differ by up to 7 %% (default 1)")  # fmt: skip
    add("--seconds", type=float, default=1.5, help="length of one run (default 1.5)")
    add("--only", action="append", default=[], metavar="TEXT", help="rows with TEXT in their name")
    add("--size", type=int, default=1024, metavar="MIB", help="the file of get and put (default 1024)")
    add("--sessions", type=int, default=1000, help="idle sessions to hold; 0: skip (default 1000)")
    add(
        "--folder", type=Path, help="where to store the files (default: /dev/shm, to keep the disk out of it)"
    )
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a line for frevo's [global]")
    add("--rungs", action="store_true", help="force each way to read and write, too, and show them beside frevo's "
        "own choice")  # fmt: skip
    add("--veth", action="store_true", help="over a veth pair between two network namespaces (as root) instead of "
        "the loopback")  # fmt: skip
    add(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the frevo of another checkout, not with smbd",
    )
    add(
        "--patience",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds to wait for an idle machine (default 5)",
    )
    add("--json", type=Path, metavar="FILE", help="write every sample here")
    add("--html", type=Path, metavar="FILE", help="write a page with plots here")
    options = parser.parse_args(arguments)
    if options.against is not None and not (options.against / ".venv/bin/frevo").exists():
        parser.error(f"{options.against} has no .venv/bin/frevo: run `make build` there")
    if options.rounds < 1 or options.launches < 1:
        parser.error("there must be at least one round")
    if options.quick:
        options.rounds, options.seconds, options.size = 1, 0.2, min(options.size, 16)
        options.launches = 1
        options.sessions, options.patience = min(options.sessions, 20), 0.0
    return options


def _chosen(options: argparse.Namespace) -> list[Row]:
    return [
        row
        for row in ROWS
        if not (options.quick and row.long)
        # Rows with sides of their own compare programs of this checkout.
        and not (options.against is not None and row.sides)
        and (not options.only or any(text.lower() in row.name.lower() for text in options.only))
    ]


def run_row(
    result: Result,
    servers: Mapping[str, Target],
    stage: Stage,
    options: argparse.Namespace,
    limit: Path | None,
    forced: Mapping[str, Mapping[str, object]],
) -> None:
    """Adds rounds of one row to *result*; who runs first changes from round to round. *forced*: the rungs by path."""
    row = result.row
    sides = row.sides_for({name: target for name, target in servers.items() if not _is_rung(name, forced)})
    mine = {name: Side(name, row.run) for name in forced.get(row.path, ()) if row.run is not None}
    for name in sides:
        result.samples.setdefault(name, [])
    try:
        for number in range(options.rounds):
            wait_until_quiet(options.patience)
            for name, side in _rotated({**sides, **mine}, number):
                wait_until_idle(servers[side.server])
                found = result.rungs if name in mine else result.samples
                found.setdefault(name, []).append(side.run(servers[side.server], stage))
            if limit is not None and row.limit is not None:
                for method in LIMIT_METHODS:
                    one = run_limit(limit, stage.network, method, row.limit, stage.seconds / 2)
                    result.limit.setdefault(method, []).append(one)
    except Exception as error:
        result.error = f"{type(error).__name__}: {error}"


def _is_rung(name: str, forced: Mapping[str, Mapping[str, object]]) -> bool:
    return any(name in names for names in forced.values())


def _rotated(sides: Mapping[str, Side], number: int) -> Iterator[tuple[str, Side]]:
    items = list(sides.items())
    start = number % len(items)
    yield from items[start:] + items[:start]


def _measure(options: argparse.Namespace, network: Network, base: Path) -> Report:
    rows = [Result(row) for row in _chosen(options)]
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
    for launch in range(options.launches):
        place = base / f"launch-{launch}"
        with all_servers(place, network, frevo_options, options.against, names) as servers:
            for target in servers.values():
                (target.folder() / SOURCE).hardlink_to(folder / SOURCE)
            if options.sessions and not options.only and not report.memory:
                report.memory = memory_of_idle_sessions(servers, network, options.sessions)
            for result in rows:
                if not result.error:
                    run_row(result, servers, stage, options, limit, forced)
                    _progress(result)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    report.conditions = {**report.conditions, "load average after": load}
    return report


def main(arguments: Sequence[str]) -> int:
    """Runs the selected rows. The exit code is 1 if one could not be run; missed goals do not matter."""
    options = _arguments(arguments)
    if options.veth:
        if reason := networks.why_not():
            print(f"skipped: {reason}", file=sys.stderr)
            return 0
        if (code := networks.again_inside("benchmarks", arguments)) is not None:
            return code
    folder = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    with (
        networks.veth() if options.veth else nullcontext(Network()) as network,
        tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=folder) as base,
    ):
        report = _measure(options, network, Path(base))
    print(markdown(report))
    if options.json is not None:
        _write(options.json, json.dumps(report.to_json(), indent=1) + "\n")
    if options.html is not None:
        _write(options.html, page(report))
    return 1 if any(result.error for result in report.results) else 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _progress(result: Result) -> None:
    figures = ", ".join(f"{name} x {figure.median:.2f}" for name, figure in result.figures.items())
    print(f"{result.row.name}: {result.error or figures}", file=sys.stderr, flush=True)
