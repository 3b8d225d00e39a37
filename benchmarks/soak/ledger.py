"""Which versions of each block were sent and written, in memory that all processes of a run share.

Who writes notes a version as sent before it sends it, and as done once it was answered; who reads looks at what is done
before, and at what was sent after. Each block has one writer (of a stripe of the file, or of its tail, which grows and
shrinks), so that its versions are in order. A block of which a version was sent and not done, as its writer was killed
or the request was cancelled, is left alone until no client is left: its request may still be on its way.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.words import (
    ABSENT,
    BLOCK,
    CUT,
    DATA,
    KIND_BITS,
    VERSION_BITS,
    ZEROS,
    Window,
    content,
    faults,
)

#: What clients count, in the order of the columns.
COUNTS = (
    "connects", "reads", "read_bytes", "local_reads", "local_bytes", "raced", "writes", "written_bytes", "resizes",
    "flushes", "cancels", "resets", "transfers", "interrupts",
)  # fmt: skip
_FAULT_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is: files with a stripe for each writer, and with a tail that changes its size, except the first."""

    seed: int
    files: int = 3
    writers: int = 3
    stripe_blocks: int = 2560
    tail_blocks: int = 2560
    crew: int = 8  # how many processes count

    @property
    def blocks(self) -> int:
        return self.tail_start + self.tail_blocks

    @property
    def tail_start(self) -> int:
        """The first block of the tail."""
        return self.stripe_blocks * self.writers

    def owner(self, file: int, block: int) -> int:
        """Who writes a block."""
        return block // self.stripe_blocks if block < self.tail_start else file % self.writers


class Ledger:
    """The shared memory, in a folder beside the servers' own."""

    def __init__(self, folder: Path, shape: Shape, *, create: bool = False) -> None:
        self.folder, self.shape = folder, shape
        sizes = {
            "sent": (np.uint32, (shape.files, shape.blocks)),
            "done": (np.uint32, (shape.files, shape.blocks)),
            "counters": (np.uint32, (shape.writers,)),
            "resizes": (np.uint32, (shape.files,)),  # odd: the end of the file is moving
            "ends": (np.uint64, (shape.files,)),  # bytes
            "stop": (np.uint32, (1,)),
            "counts": (np.uint64, (shape.crew, len(COUNTS))),
        }
        path = folder / "ledger"
        total = sum(
            -(-int(np.prod(size)) * np.dtype(kind).itemsize // 64) * 64 for kind, size in sizes.values()
        )
        if create:
            path.write_bytes(bytes(total))
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), total)
        arrays: dict[str, Any] = {}
        offset = 0
        for name, (kind, size) in sizes.items():
            arrays[name] = np.ndarray(size, kind, memory, offset)
            offset += -(-arrays[name].nbytes // 64) * 64
        self.sent, self.done, self.counters, self.resizes, self.ends, self.stop, self.counts = arrays.values()

    def count(self, member: int, name: str, number: int = 1) -> None:
        """Adds to what a member of the crew has done."""
        self.counts[member, COUNTS.index(name)] += np.uint64(number)

    def totals(self) -> dict[str, int]:
        """The sums over the crew."""
        return dict(zip(COUNTS, map(int, self.counts.sum(axis=0)), strict=True))

    # -- writing

    def next_version(self, file: int, block: int, kind: int) -> int:
        """A version that no block of this writer has had."""
        owner = self.shape.owner(file, block)
        self.counters[owner] += 1
        version = int(self.counters[owner]) << KIND_BITS | kind
        assert version < 1 << VERSION_BITS, "too many writes for one run"
        return version

    def begin(self, file: int, blocks: slice, kind: int = DATA) -> int:
        """Before *blocks* of one writer are written; the version."""
        version = self.next_version(file, blocks.start, kind)
        self.sent[file, blocks] = version
        return version

    def end(self, file: int, blocks: slice) -> None:
        """They were written."""
        self.done[file, blocks] = self.sent[file, blocks]

    def begin_resize(self, file: int, end: int) -> None:
        """Before the end of the file moves to *end*, within the tail. What is there is whole."""
        start, old, blocks = self.shape.tail_start, int(self.ends[file]), self.shape.blocks
        self.resizes[file] += 1
        whole = end // BLOCK
        if end < old:
            self.begin(file, slice(-(-end // BLOCK), blocks), ABSENT)
        elif -(-old // BLOCK) < whole:
            self.begin(file, slice(max(-(-old // BLOCK), start), whole), ZEROS)
        if end % BLOCK:
            self.begin(file, slice(whole, whole + 1), CUT)

    def end_resize(self, file: int, end: int) -> None:
        """It has moved."""
        tail = self.sent[file, self.shape.tail_start :].copy()
        if end % BLOCK:  # what it had may still be there
            tail[end // BLOCK - self.shape.tail_start] = self.done[file, end // BLOCK] | CUT
        self.done[file, self.shape.tail_start :] = tail
        self.ends[file] = end
        self.resizes[file] += 1

    def settled(self, file: int, blocks: slice) -> bool:
        """Whether no request for any of them may be on its way."""
        return bool((self.sent[file, blocks] == self.done[file, blocks]).all())

    # -- reading

    def before(self, file: int, offset: int, size: int) -> tuple[Any, int]:
        """What is known before a range is read."""
        resizes = int(self.resizes[file])  # first, so that one that begins and ends now is noticed
        return self.done[file, offset // BLOCK : -(-(offset + size) // BLOCK)].copy(), resizes

    def check(
        self, file: int, offset: int, asked: int, data: Any, before: tuple[Any, int]
    ) -> tuple[list[str], bool]:
        """What is wrong with *data*, and whether somebody wrote it meanwhile."""
        low, resizes = before
        blocks = slice(offset // BLOCK, -(-(offset + asked) // BLOCK))
        high = self.sent[file, blocks].copy()
        resized = resizes != int(self.resizes[file]) or bool(resizes & 1)
        raced = bool((low != high).any())
        return faults(self.shape.seed, file, offset, asked, data, Window(low, high, resized)), raced

    # -- when nobody else writes

    def fill(self, file: int, path: Path) -> None:
        """Writes the stripes of a new file; it has no tail yet."""
        with path.open("wb") as out:
            for writer in range(self.shape.writers):
                first = writer * self.shape.stripe_blocks
                blocks = slice(first, first + self.shape.stripe_blocks)
                version = self.begin(file, blocks)
                out.write(content(self.shape.seed, file, first, self.shape.stripe_blocks, version))
                self.end(file, blocks)
        self.ends[file] = self.shape.tail_start * BLOCK

    def settle(self, file: int, path: Path) -> list[str]:
        """Checks a whole file on the server's disk, and writes anew what may be in several versions."""
        size = self.shape.blocks * BLOCK
        data = path.read_bytes()
        found, _ = self.check(file, 0, size, data, self.before(file, 0, size))
        start, seed = self.shape.tail_start, self.shape.seed
        with path.open("r+b") as out:
            if self.resizes[file] & 1 or not self.settled(file, slice(start, self.shape.blocks)):
                self.resizes[file] += self.resizes[file] & 1
                out.truncate(start * BLOCK)
                self.begin(file, slice(start, self.shape.blocks), ABSENT)
                self.end(file, slice(start, self.shape.blocks))
                self.ends[file] = start * BLOCK
            for block in map(int, np.flatnonzero(self.sent[file, :start] != self.done[file, :start])):
                version = self.begin(file, slice(block, block + 1))
                out.seek(block * BLOCK)
                out.write(content(seed, file, block, 1, version))
                self.end(file, slice(block, block + 1))
        return found


def note_fault(folder: Path, member: str, text: str) -> None:
    """Stores something that is wrong where the run finds it; not more than anybody would read."""
    with (folder / "faults").open("a") as out:
        if out.tell() > _FAULT_BYTES_MAX:
            return
        out.write(json.dumps({"who": member, "what": text}) + "\n")


def noted_faults(folder: Path) -> list[dict[str, str]]:
    """What was stored so far."""
    path = folder / "faults"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
