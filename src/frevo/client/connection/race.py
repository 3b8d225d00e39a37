"""A race: attempts that start one after another, and the first that succeeds; for transports and for addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from frevo.client.to_the_end import to_the_end


class _Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class AllFailed(Exception):
    """No attempt succeeded; `errors` has the error of each, in the order of the attempts."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__(errors)
        self.errors = errors


async def race(attempts: Sequence[Callable[[], Awaitable[T]]], starts_s: Sequence[float]) -> T:
    """The result of the first attempt that succeeds; of two at the same time, that of the earlier one.

    Attempt i starts *starts_s[i]* seconds (ascending) after the first, or at once when all before it have failed. When
    the race is over, the others have ended, and what they have opened is closed. AllFailed if no attempt succeeds.
    """
    if len(attempts) == 1:  # needs no task
        try:
            return await attempts[0]()
        except Exception as error:
            raise AllFailed([error]) from None
    now = asyncio.get_running_loop().time
    running: list[asyncio.Future[T]] = []
    start = now()
    try:
        while True:
            under_way = [one for one in running if not one.done()]
            if not under_way and len(running) == len(attempts):
                raise AllFailed([why for one in running if isinstance(why := one.exception(), Exception)])
            wait_s = None
            if len(running) < len(attempts):
                wait_s = start + starts_s[len(running)] - now() if under_way else 0.0
                if wait_s <= 0:
                    running.append(asyncio.ensure_future(attempts[len(running)]()))
                    continue
            await asyncio.wait(under_way, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for one in running:
                if one.done() and one.exception() is None:
                    running.remove(one)
                    return one.result()
    finally:
        if running:
            await to_the_end(_ended(running))


async def _ended(attempts: Sequence[asyncio.Future[T]]) -> None:
    """Ends attempts that nobody waits for any more."""
    for one in attempts:
        one.cancel()
    await asyncio.wait(attempts)
    for one in attempts:
        if not one.cancelled() and one.exception() is None:
            await one.result().close()
