"""The command line: pairs of frevo and smbd in one run, round by round, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from peers.target import Target

from benchmarks.loadgen import idle_memory
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.report import Memory, Result, markdown
from benchmarks.servers import both_servers
from benchmarks.tools import build_limit, make_file, run_limit, wait_until_idle
from benchmarks.workloads import WORKLOADS, Settings, Workload

_MIB = 1 << 20


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="frevo and Samba's smbd under the same load: ratios of rate and of server processor time.",
        epilog="example: python -m benchmarks --only READ --rounds 5 --json out.json",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: everything once and short")
    parser.add_argument("--rounds", type=int, default=5, help="pairs per workload (default 5)")
    parser.add_argument(
        "--launches",
        type=int,
        default=1,
        metavar="N",
        help="start both servers N times, as two launches of one program differ by up to 7 %% (default 1)",
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one run (default 1.5)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="workloads with TEXT in their name"
    )
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB", help="smbclient's file (default 1024)"
    )
    parser.add_argument(
        "--sessions", type=int, default=1000, help="idle sessions to hold; 0: skip (default 1000)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to store the files (default: /dev/shm, to keep the disk out of it)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a line for frevo's [global]"
    )
    parser.add_argument(
        "--signing",
        choices=("mandatory", "auto"),
        default="mandatory",
        help="`server signing` of both servers; with auto, loads not marked as signed are unsigned (default mandatory)",
    )
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="compare with the frevo of another checkout, not with smbd"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds to wait for an idle machine (default 5)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample here")
    options = parser.parse_args(arguments)
    if options.against is not None and not (options.against / ".venv/bin/frevo").exists():
        parser.error(f"{options.against} has no .venv/bin/frevo: run `make build` there")
    if options.quick:
        options.rounds, options.seconds, options.size = 1, 0.3, min(options.size, 16)
        options.launches = 1
        options.sessions, options.patience = min(options.sessions, 20), 0.0
    return options


def _chosen(options: argparse.Namespace) -> list[Workload]:
    return [
        workload
        for workload in WORKLOADS
        if (workload.quick or not options.quick)
        # If everything is signed, the loads marked as signed would be duplicates.
        and (options.signing == "auto" or not workload.name.endswith(" signed"))
        and (not options.only or any(text.lower() in workload.name.lower() for text in options.only))
    ]


def run_workload(
    result: Result,
    servers: dict[str, Target],
    settings: Settings,
    rounds: int,
    patience: float,
    limit: Path | None,
) -> None:
    """Adds pairs of one workload to *result*; the server that runs first alternates."""
    workload = result.workload
    try:
        for number in range(rounds):
            names = ("frevo", "peer") if number % 2 == 0 else ("peer", "frevo")
            wait_until_quiet(patience)
            for name in names:
                wait_until_idle(servers[name])
                sample = workload.run(servers[name], settings)
                (result.frevo if name == "frevo" else result.peer).append(sample)
            if limit is not None and workload.limit is not None:
                result.limit.append(run_limit(limit, workload.limit, settings.seconds / 2))
    except Exception as error:
        result.error = f"{type(error).__name__}: {error}"


def _memory(servers: dict[str, Target], sessions: int) -> list[Memory]:
    """smbd forks for each connection, so it gets a tenth of the sessions."""
    found = []
    for name, count in (("frevo", sessions), ("peer", max(sessions // 10, 1))):
        resident, proportional, before = idle_memory(servers[name], count)
        found.append(Memory(name, count, resident, proportional, before))
    return found


def main(arguments: Sequence[str]) -> int:
    """Runs the selected workloads. The exit code is 1 if one could not be run; missed goals do not matter."""
    options = _arguments(arguments)
    folder = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    frevo_options = dict(line.split("=", 1) for line in options.set)
    results = [Result(workload) for workload in _chosen(options)]
    memory: list[Memory] = []
    with tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=folder) as base:
        protection = "signed" if options.signing == "mandatory" else "plain"
        settings = Settings(options.seconds, options.size * _MIB, Path(base), protection)
        make_file(Path(base, "big"), settings.transfer_bytes)
        limit = build_limit(Path(base))
        for launch in range(options.launches):
            folder = Path(base, f"launch-{launch}")
            folder.mkdir()
            with both_servers(folder, options.signing, frevo_options, options.against) as servers:
                machine = machine_line()
                if options.sessions and not options.only and not memory:
                    memory = _memory(servers, options.sessions)
                for result in results:
                    if not result.error:
                        run_workload(result, servers, settings, options.rounds, options.patience, limit)
                        _progress(result)
    print(markdown(results, memory, machine, options))
    if options.json:
        document = {
            "machine": machine,
            "rounds": options.rounds,
            "launches": options.launches,
            "seconds": options.seconds,
            "signing": options.signing,
            "workloads": [result.to_json() for result in results],
            "memory": [entry.line() for entry in memory],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(result.error for result in results) else 0


def _progress(result: Result) -> None:
    said = result.error or f"rate x {result.rate_ratio:.2f}, cost x {result.cost_ratio:.2f}"
    print(f"{result.workload.name}: {said}", file=sys.stderr, flush=True)
