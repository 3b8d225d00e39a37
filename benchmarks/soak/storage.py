"""What a client of the soak reads and writes, one operation at a time, and whether the bytes are right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from benchmarks.soak.ledger import Ledger, note_fault
from benchmarks.soak.words import BLOCK, WORD, ZEROS, content
from frevo.client import File, Share
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import WriteResponse, read_data

#: READs and WRITEs have 4 KiB to 8 MiB, each power of two as often as twice the next one's half.
_POWERS = 12
_MEETING_BLOCKS = 16
_LARGEST_BLOCKS = 1 << (_POWERS - 1)
#: A response must come within this time, also from a busy machine.
_PATIENCE_S = 60.0
#: A request is cancelled after at most this time, at random.
_CANCEL_S = 0.02
_CANCELLED = 0.04


def file_name(number: int) -> str:
    """The name of a file of the ledger."""
    return f"file {number}"


class Storage:
    """One client's view of the share. *tails* are held by whoever moves the end of that file."""

    def __init__(self, share: Share, ledger: Ledger, member: int, rng: random.Random) -> None:
        self.share, self.ledger, self.member, self.rng = share, ledger, member, rng
        self.tails = [asyncio.Lock() for _ in range(ledger.shape.files)]

    def fault(self, text: str) -> None:
        """Something is wrong."""
        note_fault(self.ledger.folder, f"client {self.member}", text)

    async def work(self, ended: Callable[[], bool]) -> None:
        """Opens a file, uses it for a while, and so on, until it *ended*."""
        while not ended():
            number = self.rng.randrange(self.ledger.shape.files)
            async with self.share.open(file_name(number), "r+b") as file:
                for _ in range(self.rng.randrange(1, 40)):
                    if ended():
                        break
                    await self.step(number, file)

    async def step(self, number: int, file: File) -> None:
        """One operation, which may be cancelled."""
        kinds = (self.read, self.write, self.tail, self.flush)
        (make,) = self.rng.choices(kinds, (60, 30, 8, 2))
        if self.rng.random() < _CANCELLED:
            task = asyncio.ensure_future(make(number, file))
            await asyncio.wait([task], timeout=self.rng.random() * _CANCEL_S)
            if task.cancel():
                self.ledger.count(self.member, "cancels")
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await make(number, file)
        except TimeoutError:
            self.fault(f"no response within {_PATIENCE_S:g} s to {make.__name__} in {file_name(number)}")

    def _place(self, start: int, stop: int, count: int) -> int:
        """Where *count* of these blocks begin: half the times at the beginning, where everyone meets."""
        last = stop - count - start
        return start + self.rng.randrange(1 + (last if self.rng.randrange(2) else min(last, _MEETING_BLOCKS)))

    def _blocks(self, largest: int) -> int:
        """A number of blocks: small ones more often."""
        power = min(self.rng.randrange(_POWERS), self.rng.randrange(_POWERS + 4))
        return max(1, min(self.rng.randrange(1 << power, 2 << power), largest, _LARGEST_BLOCKS))

    async def read(self, number: int, file: File) -> None:
        """Anywhere, also beyond the end; of a third, neither end is that of a block."""
        shape = self.ledger.shape
        blocks = self._blocks(shape.blocks)
        start = self.rng.choice([shape.stripe_blocks * one for one in range(shape.writers + 1)])
        if start + blocks > shape.blocks:
            start = 0
        offset, size = self._place(start, shape.blocks, blocks) * BLOCK, blocks * BLOCK
        if self.rng.randrange(3) == 0:
            cut = self.rng.randrange(BLOCK // WORD) * WORD
            offset, size = offset + cut, size - self.rng.randrange(cut, BLOCK) // WORD * WORD
        before = self.ledger.before(number, offset, size)
        data = await self._read(file, offset, size)
        found, raced = self.ledger.check(number, offset, size, data, before)
        for text in found:
            self.fault(text)
        self.ledger.count(self.member, "reads")
        self.ledger.count(self.member, "raced", raced)
        self.ledger.count(self.member, "read_bytes", len(data))

    async def _read(self, file: File, offset: int, size: int) -> bytes:
        """As one READ, whatever its size, or as the library does it."""
        future = file.begin_read(size, offset) if self.rng.randrange(2) else None
        if future is None:
            return await file.pread(size, offset)
        reply = await future
        if reply.status == NTStatus.END_OF_FILE:
            return b""
        if reply.status:
            raise OSError(f"READ of {size} bytes at {offset}: {NTStatus(reply.status).name}")
        return read_data(reply.message)

    async def write(self, number: int, file: File) -> None:
        """In the own stripe, where nothing else may be on its way."""
        shape = self.ledger.shape
        count = self._blocks(shape.stripe_blocks)
        start = self.member * shape.stripe_blocks
        first = self._place(start, start + shape.stripe_blocks, count)
        blocks = slice(first, first + count)
        if self.ledger.settled(number, blocks):
            await self._write(number, file, blocks)

    async def _write(self, number: int, file: File, blocks: slice, hole: int = 0) -> None:
        """A WRITE of *blocks*; beyond the end of the file if there is a *hole* before them."""
        version = self.ledger.begin(number, blocks)
        offset, size = blocks.start * BLOCK, (blocks.stop - blocks.start) * BLOCK
        data = content(self.ledger.shape.seed, number, blocks.start, blocks.stop - blocks.start, version)
        future = file.begin_write(memoryview(data), offset) if self.rng.randrange(2) else None
        if future is None:
            await file.pwrite(data, offset)
        else:
            reply = await future
            if reply.status or WriteResponse.parse(reply.message).count != size:
                raise OSError(f"WRITE of {size} bytes at {offset}: {NTStatus(reply.status).name}")
        if blocks.start >= self.ledger.shape.tail_start:
            # Whoever is killed here leaves blocks that are not settled, and nobody relies on the end.
            self.ledger.ends[number] = max(int(self.ledger.ends[number]), offset + size)
        self.ledger.end(number, slice(blocks.start - hole, blocks.stop))
        self.ledger.count(self.member, "writes")
        self.ledger.count(self.member, "written_bytes", size)

    async def tail(self, number: int, file: File) -> None:
        """Writes or resizes the tail of a file, if it is the own one and its state is known."""
        shape, end = self.ledger.shape, int(self.ledger.ends[number])
        if not number or shape.owner(number, shape.tail_start) != self.member or self.tails[number].locked():
            return
        whole = slice(shape.tail_start, end // BLOCK)
        if self.ledger.resizes[number] & 1 or not self.ledger.settled(number, whole):
            return
        if not self.ledger.settled(number, slice(-(-end // BLOCK), shape.blocks)):
            return
        async with self.tails[number]:
            if end % BLOCK or self.rng.randrange(2):
                await self._extend(number, file, end)
            elif self.rng.randrange(2):
                await self._resize(number, file)
            elif count := min(end // BLOCK - shape.tail_start, self._blocks(shape.tail_blocks)):
                first = self._place(shape.tail_start, end // BLOCK, count)
                await self._write(number, file, slice(first, first + count))

    async def _extend(self, number: int, file: File, end: int) -> None:
        """A WRITE at the end of the file, or beyond; one that was cut within a block is made whole first."""
        first, last = end // BLOCK, self.ledger.shape.blocks
        if first == last:
            return
        hole = 0 if end % BLOCK or self.rng.randrange(2) else self.rng.randrange(min(17, last - first))
        if hole:
            self.ledger.begin(number, slice(first, first + hole), ZEROS)
        blocks = slice(first + hole, first + hole + self._blocks(last - first - hole))
        await self._write(number, file, blocks, hole)

    async def _resize(self, number: int, file: File) -> None:
        """SET_INFO of the end of the file: anywhere in the tail, half the times within a block."""
        shape = self.ledger.shape
        step = self.rng.choice((BLOCK, WORD))
        end = self.rng.randrange(shape.tail_start * BLOCK, shape.blocks * BLOCK, step)
        self.ledger.begin_resize(number, end)
        await file.truncate(end)
        self.ledger.end_resize(number, end)
        self.ledger.count(self.member, "resizes")

    async def flush(self, number: int, file: File) -> None:
        """FLUSH."""
        await file.flush()
        self.ledger.count(self.member, "flushes")
