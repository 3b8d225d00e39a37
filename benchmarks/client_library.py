"""frevo's client, smbprotocol and smbclient against the same smbd: pairs in one run, medians of ratios.

Run: python -m benchmarks.client_library [--only TEXT] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from peers import programs
from peers.samba_server import samba_server
from peers.target import Target

from benchmarks.client_work import Done, Task
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.sample import ToolError, wait_until_idle
from benchmarks.servers import SAMBA_OPTIONS
from frevo.bench.processor import usage

_ROOT = Path(__file__).parent.parent
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table. *goal*: the rate of frevo as a multiple of the other client's."""

    name: str
    work: str
    rival: str
    goal: float | None = None
    unit: str = "op"


COMPARISONS = (
    Comparison("4 KiB random reads, 32 in flight", "random", "smbprotocol", 8),
    Comparison("open + close, one after the other", "open", "smbprotocol", 4),
    Comparison("open + close, 8 at once", "open 8", "smbprotocol"),
    Comparison("directory listed, entries", "list", "smbprotocol", 5),
    Comparison("large file read by the library", "read", "smbprotocol", 6, "GB"),
    Comparison("large file written by the library", "write", "smbprotocol", 6, "GB"),
    Comparison("small files in 100 folders, get -r", "mget nested", "smbclient", 3),
    Comparison("small files in 100 folders, put -r", "mput nested", "smbclient", 3),
    Comparison("small files in one folder, get -r", "mget flat", "smbclient", 3),
    Comparison("small files in one folder, put -r", "mput flat", "smbclient", 3),
)


@dataclass(slots=True)
class Sample:
    """One run: what the client did, and the processor time of the server meanwhile."""

    done: Done
    server_cpu: float

    @property
    def rate(self) -> float:
        """Operations per second, or bytes per second for large files."""
        return (self.done.bytes or self.done.operations) / self.done.seconds


@dataclass(slots=True)
class Result:
    """The pairs of one comparison; `error` if it could not be run."""

    comparison: Comparison
    frevo: list[Sample] = field(default_factory=list)
    rival: list[Sample] = field(default_factory=list)
    error: str = ""

    @property
    def ratio(self) -> float:
        """Median of the pairs."""
        return median(a.rate / b.rate for a, b in zip(self.frevo, self.rival, strict=True))

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {**asdict(self.comparison), "error": self.error}
        if not self.error:
            found["ratio"] = self.ratio
            found["frevo"] = [asdict(sample) for sample in self.frevo]
            found["rival_samples"] = [asdict(sample) for sample in self.rival]
        return found


class Ground:
    """The server, its files, and a folder for downloads."""

    def __init__(self, target: Target, folder: Path, options: argparse.Namespace) -> None:
        self.target, self.folder, self.options = target, folder, options
        self.work = folder / "work"
        self.task = Task(
            target.host, target.port, target.user, target.password, options.size * _MIB, options.seconds
        )
        self._ready: set[str] = set()

    def prepare(self, work: str) -> None:
        """Creates what *work* needs, once, and removes what the last run left behind."""
        share = self.target.folder()
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for name in ("up", "written"):
            shutil.rmtree(share / name, ignore_errors=True)
            (share / name).unlink(missing_ok=True)
        (share / "up").mkdir()
        if work == "list":
            self._make_many()
        elif work.startswith("m"):
            self._make_small(work.split()[1])
        else:
            self._make_big()

    def _once(self, name: str) -> bool:
        first = name not in self._ready
        self._ready.add(name)
        return first

    def _make_big(self) -> None:
        if self._once("big"):
            block = os.urandom(_MIB)
            with (self.target.folder() / "big").open("wb") as file:
                for _ in range(self.options.size):
                    file.write(block)

    def _make_many(self) -> None:
        if self._once("many"):
            folder = self.target.folder() / "many"
            folder.mkdir()
            for index in range(self.options.entries):
                (folder / f"entry {index}").touch()

    def _make_small(self, shape: str) -> None:
        if self._once(shape):
            folder = self.target.folder() / shape
            for index in range(self.options.files):
                inner = folder / f"folder {index % 100}" if shape == "nested" else folder
                inner.mkdir(parents=True, exist_ok=True)
                (inner / f"file {index}").write_bytes(os.urandom(4096))

    # -- the clients

    def run(self, client: str, work: str) -> Sample:
        """Run *work* once with *client*."""
        self.prepare(work)
        wait_until_idle(self.target)
        before = usage([self.target.pid]).seconds
        if work.startswith("m"):
            done = self._command(client, work)
        else:
            done = self._library(client, work)
        wait_until_idle(self.target)
        return Sample(done, usage([self.target.pid]).seconds - before)

    def _library(self, client: str, work: str) -> Done:
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.client_work", client, work],
            input=json.dumps(asdict(self.task)),
            capture_output=True,
            text=True,
            cwd=_ROOT,
            timeout=900,
        )
        if run.returncode:
            raise ToolError(f"{client} {work}: {run.stderr.strip().splitlines()[-1]}")
        return Done(**json.loads(run.stdout))

    def _command(self, client: str, work: str) -> Done:
        """A command, timed from start to end as a user sees it."""
        command = self._frevo(work) if client == "frevo" else self._smbclient(work)
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "FREVO_PASSWORD": self.target.password},
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        seconds = time.monotonic() - started
        self._check(work, process.returncode, output)
        return Done(
            self.options.files,
            0,
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
        )

    def _frevo(self, work: str) -> list[str]:
        url = f"smb://{self.target.user}@{self.target.host}:{self.target.port}/share"
        verb, _, shape = work.lstrip("m").partition(" ")
        words = {
            "get": ["-r", f"{url}/{shape}", shape],
            "put": ["-r", str(self.target.folder() / shape), f"{url}/up"],
        }[verb]
        return [sys.executable, "-m", "frevo.cli", verb, "--quiet", *self.options.frevo_option, *words]

    def _smbclient(self, work: str) -> list[str]:
        target = self.target
        verb, _, shape = work.partition(" ")
        words = {
            "mget": f"recurse; prompt off; mget {shape}",
            "mput": f"recurse; prompt off; lcd {target.folder()}; cd up; mput {shape}",
        }[verb]
        options = ["-s", "/dev/null", "-p", str(target.port), "-U", target.credentials]
        return [programs.need("smbclient"), target.unc(), *options, "-c", words]

    def _check(self, work: str, status: int, output: str) -> None:
        """Raises an error unless everything arrived."""
        verb, _, shape = work.partition(" ")
        top = self.work if verb.endswith("get") else self.target.folder() / "up"
        sizes = [path.stat().st_size for path in (top / shape).rglob("file *")]
        complete = sizes == [4096] * self.options.files
        if status or not complete:
            raise ToolError(f"{work}: exit code {status}, complete: {complete}: {output[-300:]}")


def run_comparison(comparison: Comparison, ground: Ground, rounds: int, patience: float) -> Result:
    """Runs the pairs; the client that runs first alternates."""
    result = Result(comparison)
    try:
        for number in range(rounds):
            pair = ("frevo", comparison.rival) if number % 2 == 0 else (comparison.rival, "frevo")
            wait_until_quiet(patience)
            for client in pair:
                sample = ground.run(client, comparison.work)
                (result.frevo if client == "frevo" else result.rival).append(sample)
    except Exception as error:
        result.error = f"{type(error).__name__}: {error}"
    return result


def _each(samples: list[Sample], seconds: list[float]) -> str:
    """Median processor time per operation, or per GB."""
    sample = samples[0]
    values = [
        used / (one.done.bytes or one.done.operations) for used, one in zip(seconds, samples, strict=True)
    ]
    return f"{median(values) * 1e9:.2f} s/GB" if sample.done.bytes else f"{median(values) * 1e6:.0f} us"


def _cells(samples: list[Sample]) -> list[str]:
    """Rate, client's and server's processor time, memory."""
    rate = median(sample.rate for sample in samples)
    return [
        f"{rate / 1e9:.2f} GB/s" if samples[0].done.bytes else f"{rate:,.0f}/s",
        _each(samples, [sample.done.cpu for sample in samples]),
        _each(samples, [sample.server_cpu for sample in samples]),
        f"{max(sample.done.rss for sample in samples) / 1e6:.0f} MB",
    ]


def row(result: Result) -> str:
    """One line of the table."""
    work = result.comparison
    if result.error:
        return f"| {work.name} | {result.error.splitlines()[0][:120]} |" + " |" * 11
    ratios = sorted(a.rate / b.rate for a, b in zip(result.frevo, result.rival, strict=True))
    goal = "" if work.goal is None else f">= {work.goal:g}"
    met = "" if work.goal is None else ("met" if result.ratio >= work.goal else "missed")
    cells = [work.name, *_cells(result.frevo), work.rival, *_cells(result.rival)]
    cells += [f"**{result.ratio:.2f}** ({ratios[0]:.2f}-{ratios[-1]:.2f})", goal, met]
    return "| " + " | ".join(cells) + " |"


def markdown(results: list[Result], machine: str, options: argparse.Namespace) -> str:
    """The table with its conditions."""
    lines = [
        machine,
        "",
        f"Against one smbd {options.folder or 'in /dev/shm'}, signed; median of {options.rounds} pairs, a process "
        f"each. Large file {options.size} MiB, {options.files:,} small files of 4 KiB, {options.entries:,} entries; "
        "commands are timed from start to end. Memory is the peak of the client's process.",
        "",
        "| | frevo | client | smbd | memory | rival | rate | client | smbd | memory | ratio | goal | |",
        "|---" * 13 + "|",
    ]
    return "\n".join(lines + [row(result) for result in results])


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.client_library",
        description="frevo's client beside smbprotocol and smbclient against the same smbd.",
        epilog="example: python -m benchmarks.client_library --only small --rounds 5 --json out.json",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a smoke test: everything once and small")
    add("--rounds", type=int, default=5, help="pairs per line (default 5)")
    add("--seconds", type=float, default=2.0, help="length of one run of the rates (default 2)")
    add("--only", action="append", default=[], metavar="TEXT", help="lines with TEXT in their name")
    add("--size", type=int, default=1024, metavar="MIB", help="the large file (default 1024)")
    add("--files", type=int, default=10_000, help="small files (default 10000)")
    add("--entries", type=int, default=100_000, help="entries of the directory (default 100000)")
    add("--folder", type=Path, help="where to store the files (default: /dev/shm, to keep the disk out of it)")
    add(
        "--frevo-option",
        action="append",
        default=[],
        metavar="WORD",
        help="an additional argument of frevo get and put",
    )
    add(
        "--patience",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds to wait for an idle machine (default 5)",
    )
    add("--json", type=Path, metavar="FILE", help="also write every sample here")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.size = 1, 0.3, min(options.size, 16)
        options.files, options.entries, options.patience = 200, 2000, 0.0
    return options


def main(arguments: Sequence[str]) -> int:
    """Runs the selected comparisons. The exit code is 1 if one could not be run; missed goals do not matter."""
    options = _arguments(arguments)
    base = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    machine, results = machine_line(), []
    with (
        tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=base) as name,
        samba_server(Path(name, "samba"), options=SAMBA_OPTIONS) as target,
    ):
        ground = Ground(target, Path(name), options)
        for comparison in COMPARISONS:
            if options.only and not any(text.lower() in comparison.name.lower() for text in options.only):
                continue
            results.append(run_comparison(comparison, ground, options.rounds, options.patience))
            print(row(results[-1]), file=sys.stderr, flush=True)
    print(markdown(results, machine, options))
    if options.json:
        document = {"machine": machine, "lines": [result.to_json() for result in results]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(result.error for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
