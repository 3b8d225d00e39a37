"""smbtorture, smbclient and limit.c as load: Samba's clients, and the limit of the machine."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from peers import programs
from peers.target import Target

from benchmarks.loadgen import Sample, others_share
from benchmarks.machine import busy_seconds
from benchmarks.servers import cpu_seconds, processes, wait_for_children

_RATE = re.compile(r"(?:echo|open)\[num/s=([\d,]+?)[,;]\w")
_SECONDS = re.compile(r"^([\d.]+) second: ", re.MULTILINE)
_TRANSFER = re.compile(r"\(average ([\d.]+) (?:KiloBytes/sec|kb/s)\)")
_LIMIT = re.compile(r"([\d.]+) ops/s\s+([\d.]+) GB/s \| server\s+([\d.]+) us/op ([\d.]+) s/GB")


class ToolError(Exception):
    """A program failed."""


class _Cost:
    """Processor time of the server, of the programs that this process starts, and of all others."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._children = processes(target)
        self._before = (cpu_seconds(target), _children_seconds(), busy_seconds(), time.monotonic())

    def end(self) -> tuple[float, float, float]:
        """(server seconds, client seconds, share of other processes) since its creation."""
        busy, elapsed = busy_seconds() - self._before[2], time.monotonic() - self._before[3]
        wait_for_children(self._target, self._children)
        server = cpu_seconds(self._target) - self._before[0]
        client = _children_seconds() - self._before[1]
        return server, client, others_share(busy - server - client, elapsed)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def smbtorture(target: Target, test: str, seconds: float, processes: int = 1) -> Sample:
    """*processes* smbtortures in parallel, each with four connections; operations are opens or echoes."""
    command = [
        programs.need("smbtorture"), "-s", "/dev/null", target.unc(), "-p", str(target.port),
        "-U", target.credentials, f"--option=torture:timelimit={max(round(seconds), 1)}",
        "--option=torture:progress=no", test,
    ]  # fmt: skip
    cost = _Cost(target)
    with tempfile.TemporaryDirectory(prefix="frevo-bench-") as folder:
        running = [
            subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(processes)
        ]
        outputs = [process.communicate(timeout=seconds * 10 + 30)[0] for process in running]
    used, client, others = cost.end()
    operations, longest = 0.0, 0.0
    for output in outputs:
        rates, times = _RATE.findall(output), _SECONDS.findall(output)
        if not rates or not times:
            raise ToolError(f"{test} against {target.name}:\n{output}")
        operations += float(rates[-1].replace(",", "")) * float(times[-1])
        longest = max(longest, float(times[-1]))
    return Sample(operations, longest, used, client, others=others)


def smbclient_transfer(target: Target, command: str, size: int) -> Sample:
    """One `put` or `get`; the rate is smbclient's own figure, the processor time that of the whole session."""
    cost = _Cost(target)
    arguments = [programs.need("smbclient"), target.unc(), "-s", "/dev/null", "-p", str(target.port)]
    run = programs.run([*arguments, "-U", target.credentials, "-c", command], timeout_s=300)
    used, client, others = cost.end()
    found = _TRANSFER.findall(run.output)
    if run.status or not found:
        raise ToolError(f"{command} against {target.name}: {run.output}")
    return Sample(1, size / (float(found[-1]) * 1024), used, client, size, others)


def make_file(path: Path, size: int) -> None:
    """Creates a file with data."""
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)


@dataclass(frozen=True, slots=True)
class Limit:
    """The result of limit.c: operations and bytes per second, server seconds per operation and per byte."""

    rate: float
    bytes_rate: float
    cost: float
    byte_cost: float


def build_limit(folder: Path) -> Path | None:
    """The compiled limit.c; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    program = folder / "limit"
    source = Path(__file__).with_name("limit.c")
    subprocess.run([compiler, "-O2", "-pthread", "-w", "-o", str(program), str(source)], check=True)
    return program


def run_limit(program: Path, arguments: tuple[str, int, int, int], seconds: float) -> Limit:
    """One run of METHOD SIZE CONNECTIONS DEPTH."""
    command = [str(program), *map(str, arguments), str(max(seconds, 0.5))]
    output = programs.run(command, timeout_s=seconds * 5 + 20).output
    match = _LIMIT.search(output)
    if match is None:
        raise ToolError(f"limit: {output}")
    rate, gigabytes, microseconds, per_gigabyte = map(float, match.groups())
    return Limit(rate, gigabytes * 1e9, microseconds / 1e6, per_gigabyte / 1e9)


def wait_until_idle(target: Target, timeout_s: float = 5.0) -> None:
    """Waits until the server has finished what the last client caused (closing, deleting)."""
    deadline = time.monotonic() + timeout_s
    used = cpu_seconds(target)
    while time.monotonic() < deadline:
        time.sleep(0.05)
        now = cpu_seconds(target)
        if now - used < 0.02:
            return
        used = now
