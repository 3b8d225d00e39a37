"""What threads of the data plane cost each other: `python -m benchmarks.contention`, as root or with
kernel.perf_event_paranoid <= -1.

A lock that nobody else wants is taken without the kernel; one that is taken costs a futex call. So futex calls per
operation, with all threads beside one, show what the threads wait for each other. perf counts them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from peers import programs
from peers.frevo_server import frevo_server
from peers.target import Target

from benchmarks.frevo_bench import measure
from benchmarks.machine import machine_line
from benchmarks.options import number
from benchmarks.rows import READ_FILE
from benchmarks.transfers import make_file

_MIB = 1 << 20
_EVENT = "syscalls:sys_enter_futex"
#: Name, words of `frevo bench`, the file that it reads.
LOADS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("ECHO 16x2 signed", ("echo", "--connections", "16", "--qdepth", "2"), ""),
    (
        "READ 4 KiB 16x2 signed",
        ("read", "--io-size", "4K", "--connections", "16", "--qdepth", "2"),
        READ_FILE,
    ),
    ("WRITE 4 KiB 16x2 signed", ("write", "--io-size", "4K", "--connections", "16", "--qdepth", "2"), ""),
    (
        "READ 2 MiB 16x1 signed",
        ("read", "--io-size", "2M", "--connections", "16", "--qdepth", "1"),
        READ_FILE,
    ),
)


def futex_calls(pid: int, run: Any) -> tuple[Any, int]:
    """What *run* returns, and how many futex calls process *pid* made meanwhile."""
    command = [programs.find("perf") or "perf", "stat", "-x", ";", "-e", _EVENT, "-p", str(pid)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}
    ) as perf:
        try:
            result = run()
        finally:
            perf.send_signal(2)  # perf prints its counts then
            said = perf.communicate()[1]
    counts = [line.split(";")[0] for line in said.splitlines() if _EVENT in line]
    if not counts or not counts[0].isdigit():
        raise SystemExit(f"perf cannot count {_EVENT}: {said.strip()}")
    return result, int(counts[0])


def one(target: Target, load: tuple[str, tuple[str, ...], str], seconds: float) -> dict[str, float]:
    """One run."""
    _, words, file = load
    sample, calls = futex_calls(
        target.pid, lambda: measure(target, words, seconds, protect="sign", path=file.format("contention"))
    )
    return {
        "rate": sample.operations / sample.seconds,
        "us": sample.server_cpu_s / sample.operations * 1e6,
        "futex": calls / sample.operations * 1000,
    }


def main(arguments: Sequence[str]) -> int:
    """Prints the table: medians of the rounds, in which both servers have their turn."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.contention",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--rounds", type=number(1), default=5, help="runs of each load (default 5)")
    parser.add_argument(
        "--seconds", type=number(0.1, float), default=1.5, help="length of a run (default 1.5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here")
    options = parser.parse_args(arguments)
    if programs.find("perf") is None:
        parser.error("perf is missing: apt-get install linux-perf")
    print(f"{machine_line()}\n")
    print(
        "| load | threads | operations/s | server CPU, us/operation | futex calls per 1,000 operations |\n"
        + "|---" * 5
        + "|"
    )
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="frevo-contention-", dir=base) as folder:
        settings = {"server signing": "auto"}
        with (
            frevo_server(Path(folder, "1"), {**settings, "frevo:data plane threads": "1"}) as single,
            frevo_server(Path(folder, "all"), settings) as several,
        ):
            servers = {"1": single, "all": several}
            for target in servers.values():
                make_file(target.folder() / READ_FILE.format("contention"), 2 * _MIB)
            for load in LOADS:
                runs: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
                for _ in range(options.rounds):
                    for name, target in servers.items():
                        runs[name].append(one(target, load, options.seconds))
                found[load[0]] = runs
                for name, these in runs.items():
                    rate, cost, calls = (median(run[key] for run in these) for key in ("rate", "us", "futex"))
                    print(f"| {load[0]} | {name} | {rate:,.0f} | {cost:.2f} | {calls:.2f} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
