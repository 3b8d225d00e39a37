"""SMB over QUIC beside SMB over TCP, and beside other QUIC stacks that move the same bytes, in rounds of one run each.

`python -m benchmarks.quic`: frevo bench against one frevo server by both transports; quinn, aioquic and qh3 against
themselves (benchmarks/quinn_bulk, benchmarks/quic_bulk.py). Ratios are medians over the rounds. The costs are processor
seconds per 10^9 bytes, or microseconds per operation, of both ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from peers.certificates import Authority
from peers.frevo_server import frevo_server
from peers.quic_stacks import STACKS
from peers.target import Target

import frevo
from benchmarks.frevo_bench import frevo_bench
from benchmarks.idle import idle_connections
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.sample import ToolError, wait_until_idle
from benchmarks.servers import memory_bytes
from frevo.bench.processor import usage

_ROOT = Path(__file__).parent.parent
_TCP = {"tcp": "off", "tcp signed": "sign", "tcp encrypted": "encrypt"}
_IDLE_MEMORY_GOAL_BYTES = 100_000_000
_HANDSHAKE_GOAL = 2.0
_INSIDE = "FREVO_BENCH_IN_NAMESPACE"  # set where this program has started itself again


@dataclass(frozen=True, slots=True)
class Load:
    """What is moved. `up` and `down` are the bytes of one request and its answer, as the other stacks move them."""

    name: str
    workload: str
    up: int
    down: int
    depth: int
    bulk: bool = False  # the rate is in bytes
    rate_goal: float = 0.0  # operations per second
    goals: dict[str, float] = field(default_factory=dict)  # ratios, by what QUIC is compared with

    @property
    def options(self) -> list[str]:
        """Those of frevo bench."""
        words = [self.workload, "--connections", "1", "--qdepth", str(self.depth)]
        size = max(self.up, self.down)
        if self.workload != "echo":
            words += ["--io-size", str(size), "--file-size", str(max(size, 16 << 20))]
        return words


_MIB = 1 << 20
_ECHO_BYTES = 72  # an SMB2 ECHO with its frame
LOADS = (
    Load("READ 2 MiB, 4 in flight", "read", 4, 2 * _MIB, 4, bulk=True,
         goals={"tcp encrypted": 0.5, "quinn": 1.0, "aioquic": 30, "qh3": 15}),
    Load("WRITE 2 MiB, 4 in flight", "write", 2 * _MIB, 4, 4, bulk=True),
    Load("READ 4 KiB, 16 in flight", "read", 4, 4096, 16, rate_goal=100_000),
    Load("ECHO, 1 in flight", "echo", _ECHO_BYTES, _ECHO_BYTES, 1, goals={"tcp": 0.4}),
    Load("ECHO, 16 in flight", "echo", _ECHO_BYTES, _ECHO_BYTES, 16, goals={"tcp": 0.4}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """Operations and bytes per second; seconds of processor time for each byte, or each operation."""

    operations: float
    bytes: float
    client_s: float  # per operation
    server_s: float

    def rate(self, load: Load) -> float:
        return self.bytes if load.bulk else self.operations

    def costs(self, load: Load) -> tuple[float, float]:
        """Of client and server: s/GB or us/op."""
        factor = 1e9 / (load.up + load.down) if load.bulk else 1e6
        return self.client_s * factor, self.server_s * factor


# -- one run


def by_transport(target: Target, load: Load, way: str, seconds: float, prefix: Sequence[str] = ()) -> Figures:
    """One run of frevo bench, by QUIC or by TCP with a protection; *prefix* are words before the command."""
    transport: tuple[str, ...] = ()
    if way == "quic":
        place = f"smb+quic://localhost:{target.quic_port}"
        transport = (place, "--tls-ca", str(target.authority), "--address", target.host)
    protect = _TCP.get(way, "off")
    found = frevo_bench(target, load.options, seconds, protect=protect, prefix=prefix, transport=transport)
    cpu = found["cpu"]
    return Figures(
        found["operations_per_second"],
        found["bytes_per_second"],
        cpu["client_us_per_op"] / 1e6,
        cpu["server_us_per_op"] / 1e6,
    )


def others(without: Sequence[str]) -> dict[str, tuple[list[str], list[str]]]:
    """The other QUIC stacks: the commands of their servers and clients. quinn is left out without cargo."""
    words = [sys.executable, "-m", "benchmarks.quic_bulk"]
    found = {stack: ([*words, "server", stack], [*words, "client", stack]) for stack in STACKS}
    if "quinn" not in without and (
        cargo := shutil.which("cargo") or shutil.which(Path.home() / ".cargo/bin/cargo")
    ):
        manifest, built = _ROOT / "benchmarks/quinn_bulk/Cargo.toml", _ROOT / "target/quinn-bulk"
        command = [cargo, "build", "--release", "--quiet", "--locked", "--manifest-path", str(manifest)]
        subprocess.run([*command, "--target-dir", str(built)], check=True)
        program = str(built / "release/quinn-bulk")
        found = {"quinn": ([program, "server"], [program, "client"]), **found}
    return {name: commands for name, commands in found.items() if name not in without}


@contextmanager
def bulk_server(stack: str, command: list[str], authority: Authority) -> Iterator[tuple[int, int]]:
    """The server of another stack: its process and port."""
    identity = authority.server()
    process = subprocess.Popen(
        [*command, str(identity.certificate_file), str(identity.key_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=_ROOT,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ToolError(f"the server on {stack} ended with {process.wait()}")
        yield process.pid, int(line)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def bulk(command: list[str], server: tuple[int, int], load: Load, seconds: float) -> Figures:
    """One run of another stack's client."""
    pid, port = server
    before = usage([pid]).seconds
    words = map(str, (port, load.up, load.down, load.depth, seconds))
    run = subprocess.run([*command, *words], capture_output=True, text=True, check=False, cwd=_ROOT)
    if run.returncode:
        raise ToolError(f"{' '.join(command)}: {run.stderr}")
    found = json.loads(run.stdout)
    done, took = found["operations"], found["seconds"]
    server_s = usage([pid]).seconds - before
    return Figures(
        done / took, done * (load.up + load.down) / took, found["client_s"] / done, server_s / done
    )


# -- what is measured only once


async def _connect_times(target: Target, rounds: int) -> dict[str, list[float]]:
    """Seconds from nothing to a connected share, by transport, in turn."""
    times: dict[str, list[float]] = {"tcp": [], "quic": []}
    same = {"user": target.user, "password": target.password, "address": target.host}
    for _ in range(rounds):
        for name, url, options in (
            ("tcp", f"smb://localhost:{target.port}/share", {}),
            ("quic", f"smb+quic://localhost:{target.quic_port}/share", {"tls_ca": str(target.authority)}),
        ):
            begun = time.perf_counter()
            async with frevo.connect(url, **same, **options) as share:
                await share.exists("")
                times[name].append(time.perf_counter() - begun)
    return times


def handshakes(target: Target, rounds: int) -> str:
    """A line: how long a log-on takes by either transport."""
    times = asyncio.run(_connect_times(target, rounds))
    tcp, quic = median(times["tcp"]), median(times["quic"])
    ratio = median(b / a for a, b in zip(times["tcp"], times["quic"], strict=True))
    met = "met" if ratio <= _HANDSHAKE_GOAL else "missed"
    return (
        f"Connecting, logging on and a first answer: TCP {tcp * 1e3:.1f} ms, QUIC {quic * 1e3:.1f} ms, "
        f"ratio **{ratio:.2f}** (goal <= {_HANDSHAKE_GOAL:g}: {met})"
    )


def idle_memory(base: Path, settings: dict[str, str], count: int) -> Iterator[str]:
    """Lines: what so many idle connections with a session each take, by either transport, of a server that has done
    nothing else."""
    for name in ("TCP", "QUIC"):
        with frevo_server(base / name, settings, quic=True) as target:
            url, authority = f"smb://localhost:{target.port}/share", ""
            if name == "QUIC":
                url, authority = f"smb+quic://localhost:{target.quic_port}/share", str(target.authority)
            _, before = memory_bytes(target)
            with idle_connections(target, url, count, authority=authority):
                used = memory_bytes(target)[1] - before
        line = f"{count} idle {name} connections: {used / 1e6:.1f} MB, {used / count / 1024:.0f} KiB each"
        if name == "QUIC":
            met = "met" if used * 1000 / count < _IDLE_MEMORY_GOAL_BYTES else "missed"
            line += f" (goal: 1,000 in less than {_IDLE_MEMORY_GOAL_BYTES / 1e6:.0f} MB: {met})"
        yield line


# -- tables


def table(load: Load, found: dict[str, list[Figures]]) -> list[str]:
    """The rows of one load: every way beside QUIC."""
    rows = []
    for way, runs in found.items():
        rate = median(one.rate(load) for one in runs)
        client, server = (median(one.costs(load)[end] for one in runs) for end in (0, 1))
        cells = [
            load.name,
            way,
            f"{rate / 1e6:,.0f} MB/s" if load.bulk else f"{rate:,.0f}/s",
            f"{client:.2f} {'s/GB' if load.bulk else 'us'}",
            f"{server:.2f} {'s/GB' if load.bulk else 'us'}",
        ]
        if way == "quic":
            cells += ["", _judged(rate, load.rate_goal, "{:,.0f}/s")]
        else:
            ratio = median(a.rate(load) / b.rate(load) for a, b in zip(found["quic"], runs, strict=True))
            cells += [f"**{ratio:.2f}**", _judged(ratio, load.goals.get(way, 0.0), "{:g}")]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _judged(value: float, goal: float, form: str) -> str:
    return f">= {form.format(goal)}: {'met' if value >= goal else 'missed'}" if goal else ""


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quic", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each load by each way (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run (2)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for a quiet machine (5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="loads with TEXT in their name")
    parser.add_argument(
        "--without", action="append", default=[], choices=(*_TCP, *STACKS, "quinn"), help="leave this out"
    )
    parser.add_argument(
        "--mtu", type=int, default=0, help="in a network namespace whose loopback has this MTU (here)"
    )
    parser.add_argument("--idle", type=int, default=1000, help="idle connections to hold; 0: none (1000)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a line for [global]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here, too")
    return parser.parse_args(arguments)


def _with_own_loopback(mtu: int, arguments: Sequence[str]) -> int:
    """Runs this again in a network namespace. On the loopback of this machine QUIC finds out that datagrams of 64 KiB
    get through, which no other network carries."""
    script = f'ip link set lo mtu {mtu} up && exec "$@"'
    command = ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c", script, "sh"]
    command += [sys.executable, "-m", "benchmarks.quic", *arguments]
    return subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Prints the table and two lines; the exit code is 1 if something could not be run."""
    options = _arguments(arguments)
    if options.mtu and _INSIDE not in os.environ:
        return _with_own_loopback(options.mtu, arguments)
    shared = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    settings = {"server signing": "auto", **dict(line.split("=", 1) for line in options.set)}
    loads = [load for load in LOADS if options.only in load.name]
    stacks = others(options.without)
    ways = ["quic", *(way for way in _TCP if way not in options.without)]
    kept: dict[str, Any] = {}
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=shared)))
        target = stack.enter_context(frevo_server(base / "server", settings, quic=True))
        authority = Authority(base / "ca")
        servers = {
            name: stack.enter_context(bulk_server(name, commands[0], authority))
            for name, commands in stacks.items()
        }
        print(
            f"{machine_line()}\n\nMedians of {options.rounds} rounds of {options.seconds:g} s; ratios: QUIC / other.\n"
        )
        print("| load | by | rate | client | server | ratio | goal |\n" + "|---" * 7 + "|")
        for load in loads:
            found: dict[str, list[Figures]] = {name: [] for name in (*ways, *stacks)}
            for number in range(options.rounds):
                wait_until_quiet(options.patience)
                for way in ways if number % 2 == 0 else reversed(ways):
                    wait_until_idle(target)
                    found[way].append(by_transport(target, load, way, options.seconds))
                for name, commands in stacks.items():
                    found[name].append(bulk(commands[1], servers[name], load, options.seconds))
            print("\n".join(table(load, found)), flush=True)
            kept[load.name] = {way: [asdict(one) for one in runs] for way, runs in found.items()}
        if not options.only:
            print(f"\n{handshakes(target, max(options.rounds * 4, 4))}")
            for line in idle_memory(base / "idle", settings, options.idle) if options.idle else ():
                print(f"\n{line}")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine_line(), "cores": os.cpu_count(), "loads": kept})
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
