"""smbtorture as the load that we did not write, and limit.c, which shows what the machine can do."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from peers import programs
from peers.target import Target

from benchmarks.network import Network
from benchmarks.sample import LONGER, Cost, Sample, ToolError

_RATE = re.compile(r"(?:echo|open)\[num/s=([\d,]+?)[,;]\w")
_SECONDS = re.compile(r"^([\d.]+) second: ", re.MULTILINE)
_LIMIT = re.compile(r"([\d.]+) ops/s\s+([\d.]+) GB/s \| server\s+(\S+) us/op (\S+) s/GB")


def smbtorture(target: Target, network: Network, test: str, seconds: float, processes: int = 1) -> Sample:
    """*processes* smbtortures in parallel, each with four connections; operations are opens or echoes."""
    command = [
        *network.prefix, programs.need("smbtorture"), "-s", "/dev/null", target.unc(), "-p", str(target.port),
        "-U", target.credentials, f"--option=torture:timelimit={max(round(seconds), 1)}",
        "--option=torture:progress=no", test,
    ]  # fmt: skip
    cost = Cost(target)
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


def run_limit(
    program: Path, network: Network, method: str, shape: tuple[int, int, int], seconds: float
) -> Limit:
    """One run of METHOD with SIZE, CONNECTIONS and DEPTH."""
    where = [network.host, str(network.namespace)] if network.namespace else []
    for factor in LONGER:
        length = max(seconds, 0.3) * factor
        command = [str(program), method, *map(str, shape), str(length), *where]
        output = programs.run(command, timeout_s=length * 5 + 20).output
        match = _LIMIT.search(output)
        if match is None:
            raise ToolError(f"limit: {output}")
        rate, gigabytes, microseconds, per_gigabyte = map(float, match.groups())
        if rate:
            return Limit(rate, gigabytes * 1e9, microseconds / 1e6, per_gigabyte / 1e9)
    raise ToolError(f"limit: no response in time: {output}")
