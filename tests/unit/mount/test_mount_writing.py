"""Writes that the program does not wait for: merged, in order where they overlap, bounded, errors kept."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from frevo.mount import writing
from frevo.mount.handles import Handle
from frevo.mount.nodes import Node
from frevo.mount.writing import Budget, Writes


class SlowFile:
    """A file whose writes end on the test's command."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.calls: list[tuple[int, int]] = []
        self.gate = asyncio.Event()
        self.error: OSError | None = None

    def begin_write(self, data: memoryview, offset: int) -> None:
        """As when there are few credits."""

    async def pwrite(self, data: memoryview, offset: int) -> int:
        self.calls.append((offset, len(data)))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.content.extend(bytes(max(0, offset + len(data) - len(self.content))))
        self.content[offset : offset + len(data)] = data
        return len(data)


class Buffers:
    """The session's buffers, counted."""

    def __init__(self) -> None:
        self.out = 0

    def take_buffer(self) -> bytearray:
        self.out += 1
        return bytearray(1 << 20)

    def give_buffer(self, buffer: bytearray) -> None:
        self.out -= 1


class Case:
    def __init__(self) -> None:
        self.buffers, self.file, self.budget = Buffers(), SlowFile(), Budget()
        self.writes = Writes(cast(Any, self.buffers), self.budget)
        self.handle = Handle(Node(2, None, "file"), cast(Any, self.file), 2)

    def add(self, start: int, data: bytes) -> None:
        buffer = self.buffers.take_buffer()
        buffer[: len(data)] = data
        view = memoryview(buffer)[: len(data)]
        if not self.writes.add(self.handle, start, view, buffer):
            view.release()
            self.buffers.give_buffer(buffer)


async def test_small_writes_go_together() -> None:
    """The first is sent at once, adjacent ones wait for it and are sent as one."""
    case = Case()
    for number in range(10):
        case.add(number * 100, bytes([number]) * 100)
    await asyncio.sleep(0)
    assert case.file.calls == [(0, 100)]
    assert case.writes.overlaps(950, 960) and not case.writes.overlaps(1000, 2000)
    case.file.gate.set()
    await case.writes.settle()
    assert case.file.calls == [(0, 100), (100, 900)]
    assert case.file.content == b"".join(bytes([number]) * 100 for number in range(10))
    assert (case.buffers.out, case.budget.used, bool(case.writes)) == (0, 0, False)


async def test_overlapping_writes_keep_their_order() -> None:
    """An overlapping write waits until the first is done."""
    case = Case()
    case.add(0, bytes(200_000))
    case.add(200_000, b"a" * 10)
    assert not case.writes.has_room(100_000, 10) and not case.writes.has_room(200_005, 10)
    assert case.writes.has_room(200_010, 10)
    waiting = asyncio.create_task(case.writes.room(200_005, 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    case.file.gate.set()
    await waiting
    case.add(200_005, b"b" * 10)
    await case.writes.settle()
    assert bytes(case.file.content[200_000:]) == b"aaaaabbbbbbbbbb"
    assert (case.buffers.out, case.budget.used) == (0, 0)


async def test_the_window_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes faster than the server has to wait; one write is always admitted."""
    monkeypatch.setattr(writing, "WINDOW_BYTES", 600_000)
    case = Case()
    for start in (0, 200_000, 400_000):
        assert case.writes.has_room(start, 200_000)
        case.add(start, bytes(200_000))
    assert not case.writes.has_room(600_000, 200_000)
    monkeypatch.setattr(writing, "TOTAL_BYTES", 1)
    other = Writes(cast(Any, case.buffers), case.budget)
    assert other.has_room(0, 200_000)
    case.file.gate.set()
    await case.writes.settle()


async def test_errors_are_reported_once() -> None:
    """An error stays with the handle, for the next write, close or fsync."""
    case = Case()
    case.file.error = OSError(28, "full")
    case.file.gate.set()
    case.add(0, b"x")
    await case.writes.settle()
    with pytest.raises(OSError, match="full"):
        case.handle.raise_error()
    case.handle.raise_error()
    assert (case.buffers.out, case.budget.used) == (0, 0)
