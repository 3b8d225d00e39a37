"""Runs calls to a file system that may not respond: see `frevo.vfs.offloaded` and `frevo.server.core.lane`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class CallRunner(Protocol):
    """Runs calls to a file system outside the event loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, which continues meanwhile."""

    @property
    def inside(self) -> bool:
        """Whether the running code may use `call`."""

    @property
    def responds(self) -> bool:
        """Whether the file system always responds, if slowly, because it is on this machine's disks."""

    def call(self, call: Callable[[], T]) -> T:
        """The result of *call*, or its exception. Calls run one after the other; other code may run meanwhile."""

    def data(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """The same for calls that move data: several in parallel, unordered relative to the others."""

    def keep(self, thing: object) -> None:
        """Release *thing* later, in a thread: its destructor may make system calls."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Run *work*, which may use `call`, later."""

    def in_loop(self, call: Callable[[], object]) -> None:
        """Call *call* in the event loop, soon; can be called from any thread."""
