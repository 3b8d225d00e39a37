"""SMB over QUIC and over TCP (cubic) on the same lossy path, in pairs: two network namespaces, a veth pair, packets of
1500 bytes, and nftables that drops a share of them in both directions.

`python -m benchmarks.quic_loss` as root. There is no delay: what counts is how each recovers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from peers.frevo_server import frevo_server

from benchmarks.machine import machine_line, wait_until_quiet
from benchmarks.network import NETWORK, SERVER, again_inside, run, veth, why_not
from benchmarks.quic import Figures, Load, by_transport
from benchmarks.sample import wait_until_idle

_GOAL = 0.7
#: Small enough that many are answered in a run.
_SIZE = 256 << 10
_LOADS = (
    Load("READ 256 KiB, 8 in flight", "read", 4, _SIZE, 8, bulk=True),
    Load("WRITE 256 KiB, 8 in flight", "write", _SIZE, 4, 8, bulk=True),
)


def _shape(prefix: Sequence[str], device: str, loss: float, rate: str) -> None:
    """Makes one end of the path lossy, in the namespace that *prefix* enters."""
    # Segments are made before the packet filter, so that it drops packets and not 64 KiB at a time.
    run(*prefix, "ip", "link", "set", device, "gso_max_segs", "1")
    run(*prefix, "ip", "route", "change", NETWORK, "dev", device, "proto", "kernel", "congctl", "cubic")
    dropped = round(loss * 10_000)
    rules = f"""
        table ip lossy {{
            chain incoming {{
                type filter hook input priority 0
                iifname {device} numgen random mod 10000 < {dropped} drop
            }}
        }}
    """
    run(*prefix, "nft", "-f", "-", text=rules)
    if rate:
        shape = ("rate", rate, "burst", "32kb", "latency", "50ms")
        run(*prefix, "tc", "qdisc", "add", "dev", device, "root", "tbf", *shape)


@contextmanager
def lossy_path(loss: float, rate: str) -> Iterator[list[str]]:
    """A path from this namespace to another one; the words that start a program there."""
    with veth() as network:
        _shape([], "server", loss, rate)
        _shape(network.prefix, "client", loss, rate)
        yield network.prefix


def _row(load: Load, quic: list[Figures], tcp: list[Figures]) -> str:
    ratio = median(a.rate(load) / b.rate(load) for a, b in zip(quic, tcp, strict=True))
    rates = (f"{median(one.rate(load) for one in runs) / 1e6:.2f} MB/s" for runs in (quic, tcp))
    met = "met" if ratio >= _GOAL else "missed"
    return f"| {' | '.join([load.name, *rates, f'**{ratio:.2f}**', f'>= {_GOAL:g}: {met}'])} |"


def main(arguments: Sequence[str]) -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quic_loss", description=__doc__)
    parser.add_argument(
        "--loss", type=float, default=0.05, help="share of packets that are dropped each way (0.05)"
    )
    parser.add_argument("--rate", default="", help="of the link, as tc writes it, such as 100mbit (no limit)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs (5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a run (5)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds to wait for a quiet machine (5)")
    options = parser.parse_args(arguments)
    if reason := why_not("nft", "tc"):
        print(f"skipped: {reason}", file=sys.stderr)
        return 1
    if (code := again_inside("benchmarks.quic_loss", arguments)) is not None:
        return code
    with (
        tempfile.TemporaryDirectory(prefix="frevo-bench-", dir="/dev/shm") as base,
        lossy_path(options.loss, options.rate) as prefix,
        frevo_server(Path(base), {"server signing": "auto"}, host=SERVER, quic=True) as target,
    ):
        print(f"{machine_line()}\n\nMedians of {options.rounds} pairs of {options.seconds:g} s.\n")
        print(f"| load, {options.loss:.1%} lost | QUIC | TCP cubic | ratio | goal |\n" + "|---" * 5 + "|")
        for load in _LOADS:
            found: dict[str, list[Figures]] = {"quic": [], "tcp": []}
            for number in range(options.rounds):
                wait_until_quiet(options.patience)
                for way in ("quic", "tcp") if number % 2 == 0 else ("tcp", "quic"):
                    wait_until_idle(target)
                    found[way].append(by_transport(target, load, way, options.seconds, prefix))
            print(_row(load, found["quic"], found["tcp"]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
