"""SMB over SMB Direct beside SMB over TCP, both on the loopback, in rounds of one run each.

`python -m benchmarks.direct`: frevo bench against one frevo server for each provider of SMB Direct that needs no card
(emulated, iwarp), and over TCP against the first of them. Ratios are medians of the rounds' own, and the order changes
from round to round. The costs are processor seconds per 10^9 bytes, or microseconds per operation, of all threads of
each end.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from peers import programs
from peers.frevo_server import frevo_server
from peers.target import Target

from benchmarks.frevo_bench import frevo_bench
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.options import add_settings
from benchmarks.quic_runs import Figures
from benchmarks.sample import wait_until_idle

_MIB = 1 << 20
_TCP = "tcp"
_PROVIDERS = ("emulated", "iwarp")


@dataclass(frozen=True, slots=True)
class Load:
    """A workload of frevo bench. goals: by provider, the least ratio of the rates and the most of the costs."""

    name: str
    workload: str
    size: int
    depth: int
    protect: str = "off"
    goals: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def bulk(self) -> bool:
        """The rate is in bytes."""
        return self.size >= _MIB

    def options(self) -> list[str]:
        """Those of frevo bench."""
        words = [self.workload, "--connections", "1", "--qdepth", str(self.depth)]
        return [*words, "--io-size", str(self.size), "--file-size", str(max(self.size * 8, 16 * _MIB))]


_LOADS = (
    Load("READ 2 MiB, 4 in flight", "read", 2 * _MIB, 4, goals={"emulated": (1.3, 0.6), "iwarp": (0.8, 1.2)}),
    Load("WRITE 2 MiB, 4 in flight", "write", 2 * _MIB, 4),
    Load("READ 2 MiB signed", "read", 2 * _MIB, 4, protect="sign"),
    Load("READ 2 MiB encrypted", "read", 2 * _MIB, 4, protect="encrypt"),
    Load("READ 4 KiB, 16 in flight", "read", 4096, 16, goals={"emulated": (0.8, 0.0), "iwarp": (0.8, 0.0)}),
)

_HEADER = "| load | by | rate | client | server | rate / tcp | server / tcp | goal |\n" + "|---" * 8 + "|"


def _rows(load: Load, found: dict[str, list[Figures]]) -> Iterator[str]:
    size = load.size
    for way, runs in found.items():
        rates = [one.bytes if load.bulk else one.operations for one in runs]
        rate = f"{median(rates) / 1e6:,.0f} MB/s" if load.bulk else f"{median(rates):,.0f}/s"
        factor, unit = (1e9 / size, "s/GB") if load.bulk else (1e6, "us")
        client, server = (median(getattr(one, end) for one in runs) * factor for end in ("client_s", "server_s"))
        cells = [load.name, way, rate, f"{client:.3f} {unit}", f"{server:.3f} {unit}"]
        if way == _TCP:
            cells += ["", "", ""]
        else:
            pairs = list(zip(runs, found[_TCP], strict=True))
            faster = median(one.operations / other.operations for one, other in pairs)
            dearer = median(one.server_s / other.server_s for one, other in pairs)
            cells += [f"**{faster:.2f}**", f"**{dearer:.2f}**", _judged(load, way, faster, dearer)]
        yield f"| {' | '.join(cells)} |"


def _judged(load: Load, way: str, faster: float, dearer: float) -> str:
    if way not in load.goals:
        return ""
    rate, cost = load.goals[way]
    met = faster >= rate and (not cost or dearer <= cost)
    most = f" at <= {cost:g}" if cost else ""
    return f">= {rate:g}{most}: {'met' if met else 'missed'}"


def _run(target: Target, load: Load, seconds: float, transport: tuple[str, ...]) -> Figures:
    wait_until_idle(target)
    found = frevo_bench(target, load.options(), seconds, protect=load.protect, transport=transport)
    costs = (found["cpu"][f"{end}_us_per_op"] / 1e6 for end in ("client", "server"))
    return Figures(found["operations_per_second"], found["bytes_per_second"], *costs)


def _ways(
    stack: ExitStack, base: Path, settings: dict[str, str], seconds: float, providers: Sequence[str]
) -> dict[str, Callable[[Load], Figures]]:
    """How a load can be run, by name; the servers run until *stack* is closed."""
    ways: dict[str, Callable[[Load], Figures]] = {}
    for provider in providers:
        folder = base / f"{provider}-sockets"
        folder.mkdir(mode=0o700)
        tcp, rdma = (stack.enter_context(programs.reserved_port("127.0.0.1")) for _ in range(2))
        rdma_keys = {"frevo:smbdirect provider": provider, "frevo:smbdirect directory": str(folder)}
        options = {"server smb transports": f"tcp:{tcp}, smbdirect:{rdma}", **rdma_keys, **settings}
        target = stack.enter_context(frevo_server(base / provider, options))
        place = f"smb+rdma://localhost:{rdma}"
        words = (place, *(word for key, value in rdma_keys.items() for word in ("--option", f"{key}={value}")))

        def run(load: Load, target: Target = target, words: tuple[str, ...] = words) -> Figures:
            return _run(target, load, seconds, words)

        def run_over_tcp(load: Load, target: Target = target) -> Figures:
            return _run(target, load, seconds, ())

        ways.setdefault(_TCP, run_over_tcp)
        ways[provider] = run
    return ways


def main(arguments: Sequence[str]) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.direct", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each load by each way (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run (2)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for a quiet machine (5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="loads with TEXT in their name")
    parser.add_argument("--without", action="append", default=[], choices=_PROVIDERS, help="leave this out")
    add_settings(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here, too")
    options = parser.parse_args(arguments)
    settings = {"server signing": "auto", **dict(line.split("=", 1) for line in options.set)}
    providers = [one for one in _PROVIDERS if one not in options.without]
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    kept = {}
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=shared)))
        ways = _ways(stack, base, settings, options.seconds, providers)
        print(f"{machine_line()}\nmedians of {options.rounds} rounds of {options.seconds:g} s\n\n{_HEADER}", flush=True)
        for load in (load for load in _LOADS if options.only in load.name):
            found: dict[str, list[Figures]] = {way: [] for way in ways}
            for number in range(options.rounds):
                wait_until_quiet(options.patience)
                for way in ways if number % 2 == 0 else reversed(ways):
                    found[way].append(ways[way](load))
            print("\n".join(_rows(load, found)), flush=True)
            kept[load.name] = {way: [asdict(one) for one in runs] for way, runs in found.items()}
    if options.json:
        options.json.write_text(json.dumps(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
