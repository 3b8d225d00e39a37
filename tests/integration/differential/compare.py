"""Performs a sequence on servers with each data plane and looks for the first difference; the same as a program:

    PYTHONPATH=tests python -m integration.differential.compare [OPTION ...] [FILE]

FILE: steps as a difference is printed with, instead of seeds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peers.frevo_server import FrevoServer, frevo_server, status_of
from peers.planes import PLANES

from integration.differential.actors import Actors
from integration.differential.steps import STEPS, Sequence, Step, sequence
from integration.live import Live

#: Two clients at a time are served by different threads.
_COMMON = {"server signing": "auto", "frevo:data plane threads": "2"}
#: The first is what the others are compared with: everything done by the control plane.
ORDER = ("slow-path", "epoll", "uring")
#: A difference is made smaller for so long.
_SHRINK_S = 120.0


@dataclass
class Difference(Exception):
    """A step with different outcomes, or one that ended as it must not on one server."""

    plane: str
    made: Sequence
    number: int
    outcomes: tuple[object, object]
    seed: int | None = None
    steps: list[Step] = field(default_factory=list)

    def __str__(self) -> str:
        wanted, found = self.outcomes
        text = [f"{self.plane} differs from the slow path at step {self.number}, seed {self.seed}"]
        text += [f"  slow: {wanted}", f"  {self.plane}: {found}", "to repeat it:"]
        return "\n".join([*text, written(self.made)])


@dataclass
class Planes:
    """Running servers, by the name of their data plane."""

    servers: dict[str, tuple[FrevoServer, Live]]
    folders: Iterator[int] = field(default_factory=itertools.count)

    def check(self, made: Sequence, with_first: str = "") -> None:
        """Difference if there is one: between the first server and the others, or one of these."""
        compared = [plane for plane in self.servers if plane in (next(iter(self.servers)), with_first or plane)]
        outcomes = {plane: self.outcomes(plane, made) for plane in compared}
        [(_, wanted), *others] = outcomes.items()
        for plane, found in others:
            for number, pair in enumerate(zip(wanted, found, strict=True)):
                if pair[0] != pair[1]:
                    raise Difference(plane, made, number, pair)

    def outcomes(self, plane: str, made: Sequence) -> list[object]:
        """What each step gave; a failure of one ends the list, with what failed repeated."""
        server, live = self.servers[plane]
        folder = server.folder() / f"s{next(self.folders)}"
        actors = Actors(live, folder, made)
        found: list[object] = []
        try:
            for step in made.steps:
                found.append(actors.perform(step))
        except AssertionError as failed:
            found += [f"failed: {failed}"] * (len(made.steps) - len(found))
        finally:
            actors.end()
            live.links.clear()
            shutil.rmtree(folder, ignore_errors=True)
        return found

    def smaller(self, first: Difference) -> Difference:
        """The same with as few steps as can be found in some time."""
        best, end = first, time.monotonic() + _SHRINK_S
        steps = best.made.steps[: best.number + 1]
        size = len(steps) // 2
        while size and time.monotonic() < end:
            at = 0
            while at < len(steps) and time.monotonic() < end:
                tried = best.made._replace(steps=steps[:at] + steps[at + size :])
                try:
                    self.check(tried, first.plane)
                except Difference as found:
                    best, steps = found, found.made.steps[: found.number + 1]
                else:
                    at += size
            size //= 2
        best.made = best.made._replace(steps=steps)
        best.seed = first.seed
        return best

    def statistics(self) -> dict[str, dict[str, int]]:
        """What the data plane of each server did by itself."""
        told = {}
        for plane, (server, _) in self.servers.items():
            counters = status_of(server.log.parent / "smb.conf")["frevo"]["statistics"]
            told[plane] = {name: counters[name] for name in ("fast_reads", "fast_writes", "fast_flushes")}
        return told


@contextmanager
def planes(base: Path, chosen: Mapping[str, dict[str, str]] | None = None) -> Iterator[Planes]:
    """A server for each."""
    with ExitStack() as stack:
        servers = {}
        for plane, options in (chosen or {plane: PLANES[plane] for plane in ORDER}).items():
            server = stack.enter_context(frevo_server(base / plane, {**_COMMON, **options}))
            servers[plane] = (server, stack.enter_context(Live(server.host, server.port)))
        yield Planes(servers)


def check_seeds(running: Planes, seeds: Iterable[int], steps: int = STEPS) -> None:
    """Difference, as small as possible, for the first seed that has one."""
    for seed in seeds:
        try:
            running.check(sequence(seed, steps))
        except Difference as found:
            found.seed = seed
            raise running.smaller(found) from None


def written(made: Sequence) -> str:
    """A sequence as JSON, a step a line."""
    lines = ",\n ".join(json.dumps(step) for step in made.steps)
    return f"[{made.dialect}, {json.dumps(made.watching)},\n[{lines}]]"


def read(text: str) -> Sequence:
    """What `written` wrote."""
    dialect, watching, steps = json.loads(text)
    return Sequence(dialect, watching, [Step(*step) for step in steps])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("--seeds", default="1000-", help="FIRST-LAST")
    parser.add_argument("--seconds", type=float, default=600, help="begin no seed after these")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE in [global] of the fast servers")
    parser.add_argument("--steps", type=int, default=STEPS, help="per sequence")
    parser.add_argument("file", nargs="?", type=Path)
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    seeds = itertools.count(int(first)) if not last else iter(range(int(first), int(last) + 1))
    end, count = time.monotonic() + options.seconds, 0
    more = dict(one.split("=", 1) for one in options.set)
    chosen = {plane: {**PLANES[plane], **(more if plane != ORDER[0] else {})} for plane in ORDER}
    with tempfile.TemporaryDirectory(prefix="differential-") as base, planes(Path(base), chosen) as running:
        try:
            if options.file:
                running.check(read(options.file.read_text()))
                return 0
            for seed in itertools.takewhile(lambda _: time.monotonic() < end, seeds):
                check_seeds(running, [seed], options.steps)
                count += 1
                if count % 100 == 0:
                    print(f"{count} sequences, the last with seed {seed}", flush=True)
        except Difference as found:
            print(found)
            return 1
        for plane, counters in running.statistics().items():
            print(plane, *(f"{name} {value}" for name, value in counters.items()))
    print(f"{count} sequences without a difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
