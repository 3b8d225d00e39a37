"""`python -m benchmarks.soak`."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_line
from benchmarks.options import folder as existing
from benchmarks.options import number, report_file
from benchmarks.soak.ledger import Shape
from benchmarks.soak.legs import ENGINES, legs
from benchmarks.soak.rounds import Outcome, run_leg

#: A leg has at least this many rounds, if they are not shorter than a few seconds.
_ROUNDS, _ROUND_S = 12, (2.0, 20.0)
_TOLD_MAX = 20


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="A long run under mixed load that looks for wrong bytes and for leaks, on both engines, with every "
        "way to read and write that can be forced. Exit code 1 if it finds something, 130 after Ctrl-C.",
        epilog="example: python -m benchmarks.soak --seconds 300 --engine uring --only splice --json soak.json",
    )
    add = parser.add_argument
    add(
        "--seconds",
        type=number(1, float),
        default=1800.0,
        metavar="S",
        help="how long, all legs together (default 1800)",
    )
    add(
        "--seed",
        type=number(0),
        metavar="N",
        help="what clients do by chance follows from it (default: by chance, and shown)",
    )
    add("--engine", choices=[*ENGINES, "both"], default="both", help="the server's I/O engine (default both)")
    add("--only", default="", metavar="TEXT", help="legs with TEXT in their name, such as splice; see --list")
    add("--list", action="store_true", help="name the legs, and do nothing")
    add("--folder", type=existing, help="where to store the files, 200 MB (default: /dev/shm)")
    add("--json", type=report_file, metavar="FILE", help="write everything that was found here")
    options = parser.parse_args(arguments)
    options.legs = legs(ENGINES if options.engine == "both" else (options.engine,), options.only)
    if not options.legs:
        parser.error(f"no leg has {options.only!r} in its name: --list shows them")
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    return options


def main(arguments: Sequence[str]) -> int:
    """0 if everything was right, 1 if not, 130 if it was interrupted before anything was wrong."""
    options = _options(arguments)
    if options.list:
        print(*(leg.name for leg in options.legs), sep="\n")
        return 0
    print(f"{machine_line()}\nseed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    interrupted = False
    folder = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    try:
        with tempfile.TemporaryDirectory(prefix="frevo-soak-", dir=folder) as base:
            _run(options, Path(base), outcomes)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        interrupted = True
    found = [f"{one.leg.name}: {fault['who']}: {fault['what']}" for one in outcomes for fault in one.faults]
    if found:
        print("\nWrong:", *found[:_TOLD_MAX], sep="\n    ")
    if options.json is not None:
        options.json.write_text(json.dumps(_report(options, outcomes), indent=1) + "\n")
    print(f"{len(found)} faults (seed {options.seed})")
    return 1 if found else 130 if interrupted else 0


def _run(options: argparse.Namespace, base: Path, outcomes: list[Outcome]) -> None:
    seconds = options.seconds / len(options.legs)
    round_s = min(max(seconds / _ROUNDS, _ROUND_S[0]), _ROUND_S[1])
    for index, leg in enumerate(options.legs):
        outcomes.append(Outcome(leg))
        shape = Shape(options.seed + index)
        run_leg(
            outcomes[-1], base / str(index), shape, seconds, round_s, lambda line: print(line, flush=True)
        )


def _report(options: argparse.Namespace, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "machine": machine_line(),
        "seed": options.seed,
        "seconds": options.seconds,
        "legs": [one.to_json() for one in outcomes],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
