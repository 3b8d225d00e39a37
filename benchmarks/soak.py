"""A long run under mixed load that watches the server's memory: `python -m benchmarks.soak --minutes 30`.

Every round opens and closes, reads, writes, logs on and off, and verifies data; then the resident memory is printed.
The first rounds warm up caches. If later rounds need much more memory, the run fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from peers.frevo_server import frevo_server

from benchmarks.frevo_bench import frevo_bench
from benchmarks.machine import machine_line
from benchmarks.servers import memory_bytes

_WARM_ROUNDS = 8
_GROWTH_MAX = 0.15
_LOADS = (
    ("sign", "open"),
    ("sign", "mixed", "--qdepth", "8", "--verify"),
    ("encrypt", "read", "--qdepth", "2", "--io-size", "1M"),
    ("encrypt", "write", "--qdepth", "2", "--io-size", "1M", "--verify"),
    ("sign", "session"),
    ("sign", "echo", "--qdepth", "4"),
)


def main() -> int:
    """0 if memory does not grow after the warm-up, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="length of each load of a round (default 2)"
    )
    options = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder, frevo_server(Path(folder)) as target:
        sizes: list[int] = []
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end or len(sizes) <= _WARM_ROUNDS:
            rates = []
            for protect, *words in _LOADS:
                found = frevo_bench(target, words, options.seconds, protect=protect)
                rates.append(f"{words[0]} {found['operations_per_second']:,.0f}/s")
            sizes.append(memory_bytes(target)[0])
            print(f"round {len(sizes)}: {sizes[-1] / 1e6:.1f} MB resident; {', '.join(rates)}", flush=True)
    growth = max(sizes[_WARM_ROUNDS:]) / max(sizes[:_WARM_ROUNDS]) - 1
    print(f"growth after the warm-up: {growth:+.1%} (at most {_GROWTH_MAX:+.0%})")
    return 0 if growth <= _GROWTH_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
