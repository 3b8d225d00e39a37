"""Operations of a server that a test holds back."""

from __future__ import annotations

import threading

from pair.machine import Pair


class Held:
    """Operations that begin and do not end before `let_go`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)

    def wait(self) -> None:
        self.begun.release()
        assert self.gate.wait(30)

    def let_go(self, pair: Pair) -> None:
        pair.patient = True
        self.gate.set()
        pair.turn()
