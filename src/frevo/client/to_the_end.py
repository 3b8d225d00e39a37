"""Work that is never abandoned half-way: a thread that uses a descriptor, a step whose outcome must be known.

`asyncio.shield` lets the work continue after its caller was cancelled, which then frees what the work still uses; so
does `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Awaitable[T], *, undo: Callable[[T], object] | None = None) -> T:
    """The result of *work*. A cancellation is delayed until *work* has ended.

    Then its result goes to *undo*, and CancelledError is raised.
    """
    running = asyncio.ensure_future(work)
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
    if not cancelled:
        return running.result()
    if not running.cancelled() and running.exception() is None and undo is not None:
        undo(running.result())
    raise asyncio.CancelledError


async def in_thread(
    call: Callable[..., T], *arguments: object, undo: Callable[[T], object] | None = None
) -> T:
    """The result of *call* in a thread. However this ends, the thread is done then; see `to_the_end`."""
    inside = functools.partial(contextvars.copy_context().run, call, *arguments)
    return await to_the_end(asyncio.get_running_loop().run_in_executor(None, inside), undo=undo)
