"""The ways to read and write that are tried: each leg has a server of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice

from benchmarks.rungs import rungs

ENGINES = ("uring", "epoll")
#: Ways that only io_uring has.
_URING = {"async", "zerocopy"}


@dataclass(frozen=True, slots=True)
class Leg:
    """One server: its engine, and the options that force its ways."""

    engine: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        ways = ", ".join(f"{key.removeprefix('frevo:')} = {value}" for key, value in self.options.items())
        return f"{self.engine}, {ways}" if ways else self.engine


def legs(engines: tuple[str, ...], only: str = "") -> list[Leg]:
    """For each engine, its own choice and then every way to read and every way to write, in pairs. *only*: legs with
    this text in their name."""
    found = []
    for engine in engines:
        forced = {
            path: [{}, *(more for more in named.values() if _possible(engine, more))]
            for path, named in rungs().items()
        }
        count = max(map(len, forced.values()))
        reads, writes = (list(islice(cycle(ways), count)) for ways in forced.values())
        found += [Leg(engine, {**read, **write}) for read, write in zip(reads, writes, strict=True)]
    return [leg for leg in found if only in leg.name]


def _possible(engine: str, options: Mapping[str, str]) -> bool:
    return engine == "uring" or not _URING.intersection(options.values())
