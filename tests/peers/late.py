"""Operations of a ring that are held up just before the system call: a preempted worker, a slow kernel."""

from __future__ import annotations

import threading as _threading
from collections.abc import Callable
from typing import Any

import pytest

from frevo._native import RingOperation
from frevo.aio import threads
from frevo.aio.ring import Ring
from frevo.aio.uring import UringRing


class Late:
    """Holds up the operations of a ring just before the system call, until the test releases them."""

    def __init__(self, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ring, self.event = ring, _threading.Event()
        self.asked: list[object] = []
        if isinstance(ring, UringRing):
            self.native, self.batches = ring._native, list[tuple[list[Any], list[int]]]()
            monkeypatch.setattr(ring, "_native", self)
        else:
            for code in (RingOperation.WRITE, RingOperation.FALLOCATE):
                monkeypatch.setitem(threads._CALLS, code, self._held(threads._CALLS[code]))

    def _held(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any) -> Any:
            self.asked.append(words)
            self.event.wait()
            return real(*words)

        return call

    def submit(self, operations: list[Any], cancels: list[int]) -> list[Any]:
        self.asked += operations
        self.batches.append((operations, cancels))
        return []

    def let_go(self) -> None:
        self.event.set()
        if isinstance(self.ring, UringRing):
            self.ring._native = self.native
            for operations, cancels in self.batches:
                self.ring._deliver(self.native.submit(operations, cancels))
