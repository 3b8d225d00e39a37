"""Runs Python fuzz targets: seeded mutations of the byte vectors, reproducible from the printed seed.

python fuzz/python/run.py [--seconds N] [--seed S] [TARGET ...]      no target: all of them, N seconds
together python fuzz/python/run.py --list
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_tls
import fuzz_wire
from fuzz_wire import Target

TARGETS: dict[str, Target] = {**fuzz_wire.TARGETS, **fuzz_tls.targets()}

_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
_SIZE_MAX = 1 << 14


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to four changes: overwrite, flip, insert, delete, repeat or truncate."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(out) + 1)
        width = rng.choice((1, 2, 4))
        value = (rng.choice(_VALUES) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        match rng.randrange(6):
            case 0 | 1:
                out[position : position + width] = value
            case 2 if position < len(out):
                out[position] ^= 1 << rng.randrange(8)
            case 3:
                out[position:position] = rng.randbytes(rng.randint(1, 16))
            case 4:
                del out[position : position + rng.randint(1, 16)]
            case _:
                out = out[:position] if rng.randrange(4) else out + out[position:]
    return bytes(out[:_SIZE_MAX])


def fuzz(name: str, target: Target, seed: int, seconds: float) -> int:
    """Run *target* for *seconds*; the number of inputs. An input that violates the invariant is printed and raised."""
    call, corpus = target
    rng = random.Random(f"{seed}:{name}")
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for _ in range(100):
            data = mutate(rng, rng.choice(corpus))
            try:
                call(data)
            except Exception:
                print(f"{name}: seed {seed}, input {count}: {data.hex()}", file=sys.stderr)
                raise
            count += 1
    return count


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=10.0, help="for all targets together (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock")
    parser.add_argument("--list", action="store_true", help="print the targets and exit")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print("\n".join(sorted(TARGETS)))
        return 0
    names = chosen.targets or sorted(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; --list names them")
    seed = time.time_ns() if chosen.seed is None else chosen.seed
    counts = {name: fuzz(name, TARGETS[name], seed, chosen.seconds / len(names)) for name in names}
    print(f"{len(names)} targets, {sum(counts.values())} inputs, seed {seed}: no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
