"""Everyone who uses the server: processes that are started, killed, and asked to end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from peers.target import Target

from benchmarks.soak import client, local, rough, transfers
from benchmarks.soak.client import Post
from benchmarks.soak.ledger import Ledger, note_fault

#: Programs are imported once, and a member is a fork of that.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["benchmarks.soak.crew"])
#: Between two kills, at random.
_KILL_S = (0.2, 2.5)
_LOOK_S = 0.1
#: Whoever has not ended by then is stuck. `frevo get` may be in the middle of a file.
_END_S = 100.0


class Crew:
    """The members of a leg. The first ones are clients that get killed."""

    def __init__(self, target: Target, ledger: Ledger) -> None:
        self._target, self._ledger = target, ledger
        self._lives = 0
        self._roles: list[Callable[[Post], None]] = [client.run] * ledger.shape.writers
        self._roles += [rough.run, local.run, transfers.run]
        self._running: dict[int, BaseProcess] = {}
        self._rng = random.Random(f"{ledger.shape.seed} kills")
        self.kills = 0
        first = _CONTEXT.Process(target=_ready)
        first.start()
        first.join()

    def work(self, seconds: float) -> None:
        """A round: everyone starts, clients are killed and replaced, and all are asked to end."""
        self._ledger.stop[0] = 0
        end = time.monotonic() + seconds
        for member in range(len(self._roles)):
            self._start(member)
        kill_at = time.monotonic() + self._rng.uniform(*_KILL_S)
        while (now := time.monotonic()) < end:
            time.sleep(min(_LOOK_S, end - now))
            if now >= kill_at:
                self._replace(self._rng.randrange(self._ledger.shape.writers))
                kill_at = now + self._rng.uniform(*_KILL_S)
            self._watch()
        self.end()

    def _start(self, member: int) -> None:
        target, ledger = self._target, self._ledger
        self._lives += 1
        post = Post(
            member, self._lives, target.host, target.port, target.user, target.password, target.folder(),
            ledger.folder, ledger.shape,
        )  # fmt: skip
        process = _CONTEXT.Process(target=_member, args=(self._roles[member], post))
        process.start()
        self._running[member] = process

    def _replace(self, member: int) -> None:
        """SIGKILL, in the middle of whatever it does."""
        _kill(self._running[member])
        self.kills += 1
        self._start(member)

    def _watch(self) -> None:
        """Nobody ends by itself."""
        for member, process in list(self._running.items()):
            if process.exitcode is not None:
                self._fault(member, f"ended with {process.exitcode}")
                self._start(member)

    def _fault(self, member: int, text: str) -> None:
        note_fault(self._ledger.folder, f"{self._roles[member].__module__} {member}", text)

    def end(self) -> None:
        """Asks everyone to end, and waits."""
        self._ledger.stop[0] = 1
        deadline = time.monotonic() + _END_S
        for member, process in self._running.items():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                self._fault(member, f"did not end within {_END_S:g} s")
        self.kill(self._running)

    def kill(self, members: Iterable[int] = ()) -> None:
        """Ends whoever is left at once."""
        for member in list(members or self._running):
            _kill(self._running.pop(member))


def _kill(process: BaseProcess) -> None:
    """With what it has started."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # in case that it has no group yet
    process.join()


def _ready() -> None:
    """The first fork ends once everything is imported."""


def _member(role: Callable[[Post], None], post: Post) -> None:
    """Ctrl-C in a terminal is not for this group of processes; what it starts may be interrupted, though, even where
    the run itself was started in the background, without SIGINT."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    role(post)
