"""A process with frevo's client, which may be killed at any time."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import frevo
from benchmarks.soak.ledger import Ledger, Shape, note_fault
from benchmarks.soak.storage import Storage
from frevo.client import Share

#: How its connections are protected: the server leaves it to the client.
_PROTECTION: tuple[dict[str, Any], ...] = (
    {"signing": True, "encryption": False, "ciphers": ()},
    {"signing": True, "encryption": True},
    {"signing": False, "encryption": False, "ciphers": ()},
)
_TASKS = 6
#: A connection lasts at most this long, at random.
_CONNECTED_S = 4.0


@dataclass(frozen=True, slots=True)
class Post:
    """What a member of the crew must know: its number and life, the server, and the run."""

    member: int
    life: int
    host: str
    port: int
    user: str
    password: str
    share: Path  # its folder, for local programs
    folder: Path  # of the ledger
    shape: Shape

    @property
    def rng(self) -> random.Random:
        """What it does by chance follows from the run's seed."""
        return random.Random(f"{self.shape.seed} {self.member} {self.life}")

    @property
    def url(self) -> str:
        return f"smb://{self.host}:{self.port}/share"

    def ledger(self) -> Ledger:
        """The run's."""
        return Ledger(self.folder, self.shape)


class Ended:
    """Whether the round is over: it was said, or who said it is gone."""

    def __init__(self, ledger: Ledger, seconds: float = float("inf")) -> None:
        self._ledger, self._parent = ledger, os.getppid()
        self._deadline = time.monotonic() + seconds

    def __call__(self) -> bool:
        return bool(self.over or time.monotonic() > self._deadline)

    @property
    def over(self) -> bool:
        """Whether it is time to end, and not only to connect anew."""
        return bool(self._ledger.stop[0]) or os.getppid() != self._parent


def run(post: Post) -> None:
    """Connects again and again until the round is over."""
    asyncio.run(_run(post, post.ledger(), post.rng))


async def _run(post: Post, ledger: Ledger, rng: random.Random) -> None:
    while not Ended(ledger).over:
        protection = rng.choice(_PROTECTION)
        ended = Ended(ledger, rng.random() * _CONNECTED_S)
        account = {"user": post.user, "password": post.password}
        more: dict[str, Any] = {**account, **protection, "reconnect": 0, "connections": rng.randrange(2)}
        try:
            async with frevo.connect(post.url, **more) as share:
                ledger.count(post.member, "connects")
                await _crowd(post, share, ledger, rng, ended)
        except* Exception as group:
            for error in _leaves(group):
                note_fault(post.folder, f"client {post.member}", f"{protection}: {error!r}")
            await asyncio.sleep(1)


async def _crowd(post: Post, share: Share, ledger: Ledger, rng: random.Random, ended: Ended) -> None:
    storage = Storage(share, ledger, post.member, rng)
    async with asyncio.TaskGroup() as group:
        for _ in range(rng.randrange(1, _TASKS + 1)):
            group.create_task(storage.work(ended))


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
