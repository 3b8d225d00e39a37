"""Sequences of steps that a seed alone decides: none depends on what a server has answered. So a sequence is the same
for every server, and it is still one when steps are taken out of it.

Three clients have two places for opens each; a place whose CREATE has failed holds a FileId that does not exist.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

CLIENTS: Final = 3
PLACES: Final = 2
NAMES: Final = (*"aaabbbccc", "a:stream")
FILES: Final = ("a", "b", "c", "d")
ALL, READS, WRITES, APPENDS, LOOKS = 0x001F01FF, 0x00120089, 0x00120116, 0x00120114, 0x00120080
_OFFSETS: Final = (0, 1, 100, 4095, 4096, 65535, 65536, 2**31, 2**40, 2**63 - 1, 2**64 - 1)
_LENGTHS: Final = (0, 1, 100, 4096, 20_000, 65536, 70_000)
_LOCKS: Final = ((0, 1000), (500, 1), (3000, 4096), (0, 2**63))
PROTECTIONS: Final = ("signed", "encrypted", "plain")
#: Times that are set, as steps name them. They are long over, so a later time is that of a write.
TIMES: Final = (132_000_000_000_000_000, 132_000_000_600_000_000, 132_000_001_200_000_000)
DIALECTS: Final = (0x0210, 0x0302, 0x0311, 0x0311)
STEPS: Final = 80


class Step(NamedTuple):
    """What one client does with the open at one of its places; *sequence*: its ChannelSequence."""

    action: str
    client: int
    place: int
    values: list[Any]
    protection: str = "signed"
    sequence: int = 0


class Sequence(NamedTuple):
    """The steps of one seed, and how its clients connect; *watching*: what is told about changes counts, too."""

    dialect: int
    watching: bool
    steps: list[Step]


def sequence(seed: int, length: int = STEPS) -> Sequence:
    """The sequence of a seed."""
    return _Maker(random.Random(seed)).sequence(length)


class _Maker:
    """Chooses, and remembers what was asked for, so that locks and times that are kept end again: until then the data
    plane leaves the file alone."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.changing = False  # ChannelSequence
        self.protections = PROTECTIONS
        self.locked: list[tuple[int, int, int, int]] = []
        self.keeping: list[tuple[int, int]] = []
        self.closed: list[tuple[int, int]] = []  # on purpose; filled again soon
        self.sequences = [0] * CLIENTS

    def sequence(self, length: int) -> Sequence:
        rng = self.rng
        dialect, watching = rng.choice(DIALECTS), rng.random() < 0.3
        self.changing = rng.random() < 0.2
        self.protections = PROTECTIONS if dialect >= 0x0300 else ("signed", "plain")
        steps = [self.step(self.open, client, place) for client in range(CLIENTS) for place in range(PLACES)]
        while len(steps) < length:
            if self.closed and rng.random() < 0.5:
                steps.append(self.step(self.open, *self.closed[0]))
            else:
                steps.append(self.step(self.choice(), rng.randrange(CLIENTS), rng.randrange(PLACES)))
        return Sequence(dialect, watching, steps)

    def choice(self) -> Callable[[int, int], Step]:
        rng = self.rng
        if self.locked and rng.random() < 0.4:
            return self.unlock
        if self.keeping and rng.random() < 0.25:
            return self.thaw
        weights = {
            self.write: 22, self.read: 16, self.flush: 4, self.lock: 2, self.size: 5, self.allocation: 2,
            self.zero: 2, self.rename: 3, self.dispose: 2, self.basic: 2, self.position: 2, self.look: 5,
            self.close: 4, self.open: 6, self.chain: 8, self.local: 6, self.echo: 1, self.copy: 2,
            self.together: 0 if self.keeping else 6, self.race: 2,
        }  # fmt: skip
        return rng.choices(list(weights), list(weights.values()))[0]

    def step(self, make: Callable[[int, int], Step], client: int, place: int) -> Step:
        made = make(client, place)
        protection = self.rng.choice(self.protections)
        if self.changing and self.rng.random() < 0.05:
            self.sequences[client] = self.rng.choice((0, 1, 2, 0x7FFF, 0x8001))
        return made._replace(protection=protection, sequence=self.sequences[made.client])

    def offset(self) -> int:
        return self.rng.choice(_OFFSETS) if self.rng.random() < 0.1 else self.rng.randrange(9000)

    def length(self) -> int:
        return self.rng.choice(_LENGTHS)

    # -- steps

    def open(self, client: int, place: int) -> Step:
        rng, name = self.rng, self.rng.choice(NAMES)
        self.forget(client, place)
        self.closed = [one for one in self.closed if one != (client, place)]
        if rng.random() < 0.7:
            return Step("open", client, place, [name, ALL, 7, 3, 0])
        access = rng.choice((ALL, ALL, ALL, READS, WRITES, APPENDS, LOOKS))
        share = rng.choice((7, 7, 7, 7, 3, 1, 0))
        disposition = rng.choice((3, 3, 3, 3, 1, 2, 5, 4, 0))
        options = rng.choice((0, 0, 0, 0, 0x1000, 0x2, 0x8, 0x20))
        return Step("open", client, place, [name, access, share, disposition, options])

    def close(self, client: int, place: int) -> Step:
        self.forget(client, place)
        self.closed.append((client, place))
        return Step("close", client, place, [self.rng.randrange(2)])

    def read(self, client: int, place: int) -> Step:
        rng, length = self.rng, self.length()
        if rng.random() < 0.7:
            return Step("read", client, place, [rng.randrange(2000), max(1, length), 0, 0, 0])
        minimum = rng.choice((0, 0, 0, 0, 1, length, length + 1))
        channel = 1 if rng.random() < 0.02 else 0
        return Step(
            "read", client, place, [self.offset(), length, minimum, rng.choice((0, 0, 0, 1, 2)), channel]
        )

    def write(self, client: int, place: int) -> Step:
        length = self.length() if self.rng.random() < 0.95 else 300_000
        flags = self.rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 2, 3))
        return Step("write", client, place, [self.offset(), length, self.rng.randrange(256), flags])

    def flush(self, client: int, place: int) -> Step:
        return Step("flush", client, place, [])

    def echo(self, client: int, place: int) -> Step:
        return Step("echo", client, place, [])

    def lock(self, client: int, place: int) -> Step:
        offset, length = self.rng.choice(_LOCKS)
        if self.rng.random() < 0.1:
            offset = self.offset()
        self.locked.append((client, place, offset, length))
        return Step(
            "lock",
            client,
            place,
            [offset, length, self.rng.choice((0x12, 0x12, 0x12, 0x11, 0x13, 0x2, 0x1, 0))],
        )

    def unlock(self, client: int, place: int) -> Step:
        client, place, offset, length = self.locked.pop(self.rng.randrange(len(self.locked)))
        return Step("lock", client, place, [offset, length, 4])

    def size(self, client: int, place: int) -> Step:
        return Step("size", client, place, [self.rng.choice((0, 1, 5000, 20_000, 70_000, 2**41, -5))])

    def allocation(self, client: int, place: int) -> Step:
        return Step("allocation", client, place, [self.rng.choice((0, 4096, 70_000))])

    def zero(self, client: int, place: int) -> Step:
        start = self.rng.randrange(9000)
        return Step("zero", client, place, [start, start + self.rng.choice((0, 1, 4096, 9000))])

    def copy(self, client: int, place: int) -> Step:
        """On the server, from the open at the next place."""
        where = (self.rng.randrange(9000), self.rng.randrange(9000))
        return Step("copy", client, place, [(place + 1) % PLACES, *where, self.rng.choice((1, 4096, 20_000))])

    def rename(self, client: int, place: int) -> Step:
        return Step("rename", client, place, [self.rng.choice(FILES), self.rng.random() < 0.3])

    def dispose(self, client: int, place: int) -> Step:
        return Step("dispose", client, place, [self.rng.random() < 0.6])

    def basic(self, client: int, place: int) -> Step:
        """A last write time: one of TIMES, "keep", or "thaw"; and attributes."""
        time = self.rng.choice((0, 1, 2, "keep", "none"))
        if time != "none":
            self.keeping.append((client, place))
        return Step("basic", client, place, [time, self.rng.choice((0, 0, 0x20, 0x80, 0x1))])

    def thaw(self, client: int, place: int) -> Step:
        client, place = self.keeping.pop()
        return Step("basic", client, place, ["thaw", 0])

    def position(self, client: int, place: int) -> Step:
        return Step("position", client, place, [self.rng.choice((0, 5, 2**40))])

    def look(self, client: int, place: int) -> Step:
        return Step("look", client, place, [])

    def chain(self, client: int, place: int) -> Step:
        kind = self.rng.choice(
            ("reads", "read-close", "write-close", "write-flush-read", "write-read", "create")
        )
        if kind.endswith("-close"):
            self.forget(client, place)
            self.closed.append((client, place))
        values = [kind, self.rng.choice(NAMES), self.rng.randrange(9000), self.rng.choice(_LENGTHS[:5])]
        return Step("chain", client, place, values)

    def local(self, client: int, place: int) -> Step:
        kind = self.rng.choice(("write", "write", "append", "truncate", "time", "unlink", "move", "replace"))
        return Step("local", client, place, [kind, self.rng.choice(FILES), self.rng.randrange(6000)])

    def together(self, client: int, place: int) -> Step:
        """Writes of all clients to pieces of their own, flushes and echoes, all under way at once."""
        rng, sent = self.rng, []
        size = rng.choice((100, 4096, 30_000, 100_000))
        for number in range(rng.randrange(2, 8)):
            who, where = rng.choice([(one, place) for one in range(CLIENTS) for place in range(PLACES)])
            if any(one[:3] == ["write", who, where] for one in sent):
                sent.append(["flush", who, where])  # a second write could be before the first: two positions
            else:
                sent.append(["write", who, where, number * size, size, rng.randrange(256)])
            if rng.random() < 0.3:
                sent.append(["echo", who, where])
        return Step("together", client, place, sent)

    def race(self, client: int, place: int) -> Step:
        kind = self.rng.choice(("lock", "close", "size", "overwrite", "dispose", "time"))
        return Step(
            "race", client, place, [kind, self.rng.choice((100, 4096, 60_000)), self.rng.randrange(2, 9)]
        )

    def forget(self, client: int, place: int) -> None:
        """The open at this place is closed: so its locks and kept times end."""
        self.locked = [one for one in self.locked if one[:2] != (client, place)]
        self.keeping = [one for one in self.keeping if one != (client, place)]
