"""SMB over QUIC beside SMB over TCP, and beside other QUIC stacks that move the same bytes, in rounds of one run each.

`python -m benchmarks.quic`: frevo bench against one frevo server by both transports; quinn, aioquic and qh3 against
themselves (quinn_bulk, quic_bulk.py). `--path veth` (as root): between two network namespaces, with `--mtu`, `--rate`
and `--loss`. Ratios are medians of the rounds' own, and the order changes from round to round. The costs are processor
seconds per 10^9 bytes, or microseconds per operation, of all threads of each end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from peers.certificates import Authority
from peers.frevo_server import frevo_server
from peers.quic_stacks import STACKS
from peers.target import Target

from benchmarks import network
from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.network import Network
from benchmarks.options import add_settings
from benchmarks.quic_runs import TCP, Figures, Load, Stack, first_read, frevo_run, idle_bytes, other_stacks
from benchmarks.sample import wait_until_idle

_IDLE = "idle sessions"
_IDLE_GOAL_BYTES = 100_000_000  # of a thousand connections

_MIB = 1 << 20
_ECHO_BYTES = 72  # an SMB2 ECHO with its frame
_LOADS = (
    Load("READ 2 MiB, 4 in flight", "read", 4, 2 * _MIB, 4, bulk=True,
         goals={"tcp encrypted": 0.5, "quinn": 1.0, "aioquic": 30, "qh3": 15}),
    Load("WRITE 2 MiB, 4 in flight", "write", 2 * _MIB, 4, 4, bulk=True),
    Load("READ 4 KiB, 16 in flight", "read", 4, 4096, 16, rate_goal=100_000),
    Load("ECHO, 1 in flight", "echo", _ECHO_BYTES, _ECHO_BYTES, 1, goals={"tcp": 0.4}),
    Load("ECHO, 16 in flight", "echo", _ECHO_BYTES, _ECHO_BYTES, 16, goals={"tcp": 0.4}),
    first_read("Connect, log on, READ 4 KiB", goal=0.5),
)  # fmt: skip
#: On a path that loses packets. Small enough that many are answered in a run.
_SIZE = 256 << 10
_LOSSY_LOADS = (
    Load("READ 256 KiB, 8 in flight", "read", 4, _SIZE, 8, bulk=True, goals={"tcp": 0.7}, only=("tcp",)),
    Load("WRITE 256 KiB, 8 in flight", "write", _SIZE, 4, 8, bulk=True, goals={"tcp": 0.7}, only=("tcp",)),
)

_HEADER = "| load | by | rate | client | server | QUIC / other | goal |\n" + "|---" * 7 + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(load: Load, found: dict[str, list[Figures]]) -> Iterator[str]:
    """The rows of one load: every way beside QUIC."""
    for way, runs in found.items():
        rate = median(one.rate(load) for one in runs)
        costs = (median(one.costs(load)[end] for one in runs) for end in (0, 1))
        text = f"{rate / 1e6:,.0f} MB/s" if load.bulk and rate >= 2e7 else f"{rate:,.0f}/s"
        if load.bulk and rate < 2e7:
            text = f"{rate / 1e6:,.2f} MB/s"
        cells = [load.name, way, text, *(f"{cost:.2f} {'s/GB' if load.bulk else 'us'}" for cost in costs)]
        if way == "quic":
            cells += ["", _judged(rate, load.rate_goal, "{:,.0f}/s")]
        else:
            ratio = median(a.rate(load) / b.rate(load) for a, b in zip(found["quic"], runs, strict=True))
            cells += [f"**{ratio:.2f}**", _judged(ratio, load.goals.get(way, 0.0), "{:g}")]
        yield _row(*cells)


def _judged(value: float, goal: float, form: str) -> str:
    return f">= {form.format(goal)}: {'met' if value >= goal else 'missed'}" if goal else ""


def _measure(
    load: Load, ways: dict[str, Callable[[Load], Figures]], rounds: int, patience: float
) -> dict[str, list[Figures]]:
    """Runs of a load in every way, the other way round in every second round."""
    chosen = [way for way in ways if way == "quic" or not load.only or way in load.only]
    found: dict[str, list[Figures]] = {way: [] for way in chosen}
    for number in range(rounds):
        wait_until_quiet(patience)
        for way in chosen if number % 2 == 0 else reversed(chosen):
            found[way].append(ways[way](load))
    return found


def _ways(
    target: Target, stacks: dict[str, Stack], options: argparse.Namespace, place: Network
) -> dict[str, Callable[[Load], Figures]]:
    """How a load can be run, by name."""

    def ours(way: str) -> Callable[[Load], Figures]:
        def run(load: Load) -> Figures:
            wait_until_idle(target)
            return frevo_run(target, load, way, options.seconds, place)

        return run

    def theirs(stack: Stack) -> Callable[[Load], Figures]:
        return lambda load: stack.run(load, options.seconds)

    found = {way: ours(way) for way in ("quic", *TCP) if way not in options.without}
    return found | {name: theirs(stack) for name, stack in stacks.items()}


def _idle_rows(
    base: Path, settings: dict[str, str], count: int, place: Network
) -> Iterator[tuple[str, int, str]]:
    """(way, bytes, row): what so many idle sessions take, each way on a server of its own."""
    for way in ("quic", "tcp"):
        with frevo_server(base / way, settings, host=place.host, quic=True) as target:
            used = idle_bytes(target, way, count, place)
        met = "met" if used * 1000 / count < _IDLE_GOAL_BYTES else "missed"
        goal = f"1,000 in < {_IDLE_GOAL_BYTES / 1e6:.0f} MB: {met}" if way == "quic" else ""
        yield way, used, _row(f"{count:,} {_IDLE}", way, f"{used / 1e6:.1f} MB", "", "", "", goal)


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quic", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each load by each way (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run (2)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for a quiet machine (5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="loads with TEXT in their name")
    parser.add_argument(
        "--without", action="append", default=[], choices=(*TCP, *STACKS, "quinn"), help="leave this out"
    )
    parser.add_argument(
        "--path", choices=("loopback", "veth"), default="loopback", help="where packets go (loopback)"
    )
    parser.add_argument("--mtu", type=int, default=0, help="of the path (the machine's; 1500 over veth)")
    parser.add_argument(
        "--rate", default="", help="of a veth path, as tc writes it, such as 1gbit (no limit)"
    )
    parser.add_argument(
        "--loss", type=float, default=0.0, help="share of packets that a veth path drops each way (0)"
    )
    parser.add_argument("--idle", type=int, default=1000, help="idle sessions to hold; 0: none (1000)")
    add_settings(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run here, too")
    options = parser.parse_args(arguments)
    veth = options.path == "veth"
    if not veth and (options.rate or options.loss):
        parser.error("--rate and --loss take --path veth")
    options.mtu = options.mtu or (1500 if veth else 0)
    return options


def _path(options: argparse.Namespace) -> str:
    """The path of the packets, for people."""
    parts = [options.path, f"MTU {options.mtu}" if options.mtu else "the machine's MTU"]
    parts += [f"tbf {options.rate}"] * bool(options.rate) + [f"{options.loss:.1%} lost each way"] * bool(
        options.loss
    )
    return ", ".join(parts)


@contextmanager
def _network(options: argparse.Namespace) -> Iterator[Network]:
    """Makes the path."""
    if options.path == "veth":
        with network.veth() as made:
            network.shape(made, mtu=options.mtu, rate=options.rate, loss=options.loss)
            yield made
        return
    if options.mtu:
        network.set_mtu(options.mtu)
    yield Network()


def main(arguments: Sequence[str]) -> int:
    """Prints the table; the exit code is 1 if the path cannot be made here."""
    options = _arguments(arguments)
    if options.path == "veth" and (reason := network.why_not("nft", "tc")):
        print(f"no veth pair: {reason}", file=sys.stderr)
        return 1
    if options.mtu and (code := network.again_inside("benchmarks.quic", arguments)) is not None:
        return code
    settings = {"server signing": "auto", **dict(line.split("=", 1) for line in options.set)}
    loads = [load for load in (_LOSSY_LOADS if options.loss else _LOADS) if options.only in load.name]
    programs = {} if all(load.only for load in loads) else other_stacks(options.without)
    kept: dict[str, Any] = {}
    conditions = (
        f"{machine_line()}\n{_path(options)}; medians of {options.rounds} rounds of {options.seconds:g} s"
    )
    with ExitStack() as stack:
        shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frevo-bench-", dir=shared)))
        place = stack.enter_context(_network(options))
        target = stack.enter_context(frevo_server(base / "server", settings, host=place.host, quic=True))
        authority = Authority(base / "ca")
        stacks = {}
        for name, program in programs.items():
            stacks[name] = Stack(name, program, authority, options.mtu, place)
            stack.callback(stacks[name].stop)
        print(f"{conditions}\n\n{_HEADER}", flush=True)
        ways = _ways(target, stacks, options, place)
        for load in loads:
            found = _measure(load, ways, options.rounds, options.patience)
            print("\n".join(_rows(load, found)), flush=True)
            kept[load.name] = {way: [asdict(one) for one in runs] for way, runs in found.items()}
        if options.idle and options.only in _IDLE and not options.loss:
            kept["idle"] = {"count": options.idle, "bytes": {}}
            for way, used, row in _idle_rows(base / "idle", settings, options.idle, place):
                print(row, flush=True)
                kept["idle"]["bytes"][way] = used
    if options.json:
        made = {
            "conditions": conditions,
            "cores": os.cpu_count(),
            "loads": kept,
        }
        options.json.write_text(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
