"""Who makes the calls to a file system that may not answer: see `frevo.vfs.offloaded` and `frevo.server.core.lane`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class CallRunner(Protocol):
    """Makes calls to a file system elsewhere."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that goes on meanwhile."""

    @property
    def inside(self) -> bool:
        """Whether the running code may call `call`."""

    def call(self, call: Callable[[], T]) -> T:
        """What *call* gives or raises, one call after the other; others may run meanwhile."""

    async def data(self, call: Callable[[], T]) -> T:
        """The same for a call that moves data: several at a time, in no order with the others."""

    def keep(self, thing: object) -> None:
        """Lets *thing* go later, elsewhere: its end may be a system call."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Runs *work*, which may use `call`, some time later."""

    def in_loop(self, call: Callable[[], object]) -> None:
        """Calls *call* in the event loop, soon; from any thread."""
