"""frevo bench and smbtorture's bench clients against one smbd: which reaches more, and what it costs the client itself.

`python -m benchmarks.client_bench`: pairs measured seconds apart, medians of their ratios. Both are measured once their
connections are set up: smbtorture reports it on a terminal, frevo bench measures itself. Debian's smbtorture 4.17 has
only echo and path-contention-shared, so read and write are compared with limit.c on this machine.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from peers import programs
from peers.samba_server import samba_server
from peers.target import Target

from benchmarks.frevo_bench import frevo_bench
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.network import Network
from benchmarks.sample import ToolError, children_seconds, wait_for_children, wait_until_idle
from benchmarks.servers import SAMBA_OPTIONS
from benchmarks.tools import build_limit, run_limit
from frevo.bench.processor import usage

_RATE = re.compile(r"(?:echo|open)\[num/s=([\d,]+?)[,;]\w")
_SECONDS = re.compile(r"^([\d.]+) seconds", re.MULTILINE)
_RATE_GOAL, _COST_GOAL = 1.2, 0.25


@dataclass(frozen=True, slots=True)
class Shape:
    """A load that both can generate."""

    workload: str
    test: str
    connections: int
    depth: int
    protect: str

    def __str__(self) -> str:
        return f"{self.workload} {self.connections}x{self.depth}, {self.protect}"


@dataclass(frozen=True, slots=True)
class Figures:
    """Operations per second; microseconds of client and server per operation."""

    rate: float
    client_us: float
    server_us: float


PAIRS = (
    Shape("echo", "smb2.bench.echo", 4, 1, "off"),
    Shape("echo", "smb2.bench.echo", 4, 1, "sign"),
    Shape("echo", "smb2.bench.echo", 4, 8, "off"),
    Shape("echo", "smb2.bench.echo", 4, 8, "sign"),
    Shape("open", "smb2.bench.path-contention-shared", 4, 1, "off"),
    Shape("open", "smb2.bench.path-contention-shared", 4, 1, "sign"),
    Shape("open", "smb2.bench.path-contention-shared", 4, 8, "sign"),
)
#: Workloads of frevo bench alone: its arguments, and those of limit.c for the same shape.
ALONE = (
    (("read", "--qdepth", "8", "--io-size", "4K"), ("batch", (4096, 4, 8))),
    (("write", "--qdepth", "8", "--io-size", "4K"), ("batch", (4096, 4, 8))),
    (("read", "--qdepth", "2", "--io-size", "2M", "--file-size", "64M"), ("chunk:256", (2 << 20, 4, 2))),
    (("write", "--qdepth", "2", "--io-size", "2M", "--file-size", "64M"), ("chunk:256", (2 << 20, 4, 2))),
)


def smbtorture(target: Target, shape: Shape, seconds: float) -> Figures:
    """One run; processor time counts from its line "Running for" on."""
    options = (f"timelimit={max(round(seconds), 1)}", f"nprocs={shape.connections}", f"qdepth={shape.depth}")
    command = [
        programs.need("smbtorture"), "-s", "/dev/null", target.unc(), "-p", str(target.port),
        "-U", target.credentials, f"--client-protection={shape.protect}", "--option=torture:progress=no",
        *(f"--option=torture:{option}" for option in options), shape.test,
    ]  # fmt: skip
    ours, theirs = pty.openpty()
    before = children_seconds()
    started, children = 0.0, usage([target.pid]).processes
    with (
        tempfile.TemporaryDirectory(prefix="frevo-bench-") as folder,
        os.fdopen(ours, "rb", buffering=0) as terminal,
    ):
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        output = ""
        server = usage([target.pid])
        while chunk := _read(terminal.fileno()):
            output += chunk
            if "Running for" in output and not started:
                started, server = usage([process.pid]).seconds, usage([target.pid])
        process.wait()
    wait_for_children(target, children)
    server_s = usage([target.pid]).seconds - server.seconds
    rates, times = _RATE.findall(output), _SECONDS.findall(output)
    if not rates or not times or not started:
        raise ToolError(f"{shape.test} against {target.name}:\n{output}")
    rate = float(rates[-1].replace(",", ""))
    operations = rate * float(times[-1])
    client_s = children_seconds() - before - started
    return Figures(rate, client_s / operations * 1e6, server_s / operations * 1e6)


def _read(fd: int) -> str:
    try:
        return os.read(fd, 65536).decode(errors="replace")
    except OSError:  # the other end of the terminal was closed
        return ""


def _frevo_figures(target: Target, shape: Shape, seconds: float) -> Figures:
    arguments = (shape.workload, "--connections", str(shape.connections), "--qdepth", str(shape.depth))
    found = frevo_bench(target, arguments, seconds, protect=shape.protect)
    cpu = found["cpu"]
    return Figures(found["operations_per_second"], cpu["client_us_per_op"], cpu["server_us_per_op"])


def pairs(target: Target, shape: Shape, rounds: int, seconds: float, patience: float) -> str:
    """A row of the table: medians of both, and the medians of the ratios."""
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for number in range(rounds):
        wait_until_quiet(patience)
        for turn in range(2):
            wait_until_idle(target)
            if (number + turn) % 2:
                ours.append(_frevo_figures(target, shape, seconds))
            else:
                theirs.append(smbtorture(target, shape, seconds))
    rate = median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))
    cost = median(a.client_us / b.client_us for a, b in zip(ours, theirs, strict=True))
    met = "met" if rate >= _RATE_GOAL and cost <= _COST_GOAL else "missed"
    cells = [str(shape)]
    for name in ("rate", "client_us", "server_us"):
        digits = 0 if name == "rate" else 1
        cells += [f"{median(getattr(one, name) for one in side):,.{digits}f}" for side in (ours, theirs)]
    return "| " + " | ".join([*cells, f"**{rate:.2f}**", f"**{cost:.2f}**", met]) + " |"


def alone(
    target: Target, arguments: Sequence[str], limit: tuple[Path, tuple[str, tuple[int, int, int]]] | None,
    rounds: int, seconds: float,
) -> str:  # fmt: skip
    """A row for a workload that smbtorture lacks: medians of frevo bench, and the limit of the loopback."""
    found = []
    for _ in range(rounds):
        wait_until_idle(target)
        found.append(frevo_bench(target, arguments, seconds, protect="sign"))
    cells = [" ".join(arguments), f"{median(one['operations_per_second'] for one in found):,.0f}"]
    cells.append(f"{median(one['bytes_per_second'] for one in found) / 1e9:.2f}")
    for name, digits in (("client_us_per_op", 2), ("client_s_per_gb", 3), ("server_us_per_op", 1)):
        cells.append(f"{median(one['cpu'][name] for one in found):,.{digits}f}")
    cells.append(f"{run_limit(limit[0], Network(), *limit[1], seconds).rate:,.0f}" if limit else "-")
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str]) -> int:
    """Prints two tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client_bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each shape (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a run (3)")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds to wait for a quiet machine (10)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="shapes with TEXT in their name")
    options = parser.parse_args(arguments)
    shared = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=shared) as base,
        samba_server(Path(base), SAMBA_OPTIONS) as target,
    ):
        print(
            f"{machine_line()}\n\nMedians of {options.rounds} runs of {options.seconds:g} s against smbd.\n"
        )
        print("| load | frevo op/s | smbtorture | frevo client us/op | smbtorture | server us/op | under smbtorture "
              "| rate ratio | cost ratio | goal |")  # fmt: skip
        print("|---" * 10 + "|")
        for shape in PAIRS:
            if options.only in str(shape):
                print(pairs(target, shape, options.rounds, options.seconds, options.patience), flush=True)
        limit = build_limit(Path(base))
        print("\n| frevo bench | op/s | GB/s | client us/op | client s/GB | server us/op | limit op/s |")
        print("|---" * 7 + "|")
        for words, same in ALONE:
            if options.only in " ".join(words):
                ceiling = (limit, same) if limit else None
                print(alone(target, words, ceiling, options.rounds, options.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
