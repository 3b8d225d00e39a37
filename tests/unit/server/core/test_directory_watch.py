"""DirectoryWatch: which changes of its directory an open remembers, and which waiter it wakes."""

from __future__ import annotations

import asyncio

from frevo.server.core.directory_watch import CHANGED, DELETED, DirectoryWatch
from frevo.vfs.base import Change


def changes(*paths: str) -> list[Change]:
    return [Change(1, path, 1) for path in paths]


def waiter(watch: DirectoryWatch) -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    watch.waiters.append(future)
    return future


async def test_one_waiter_for_one_batch() -> None:
    """Goal: the oldest waiter is woken, one that gave up is skipped. Method: three waiters, one done."""
    watch = DirectoryWatch(1000)
    first, second, third = waiter(watch), waiter(watch), waiter(watch)
    first.cancel()
    watch.on_changes(changes("a"))
    assert second.result() == CHANGED and not third.done() and watch.ready


async def test_taken_once() -> None:
    """Goal: what was reported is forgotten, and the space for more is whole again. Method: fill it twice."""
    watch = DirectoryWatch(40)
    for _ in range(2):
        watch.on_changes(changes("abcd", "efgh"))  # two entries of 20 bytes
        assert watch.take() == changes("abcd", "efgh") and not watch.ready


async def test_too_much() -> None:
    """Goal: what does not fit is reported as "read it again", once. Method: one entry more than fits, and another."""
    watch = DirectoryWatch(40)
    watch.on_changes(changes("abcd", "efgh", "i"))
    watch.on_changes(changes("j"))
    assert watch.ready and watch.take() is None
    assert not watch.ready and watch.take() == []


async def test_deletion_wakes_all() -> None:
    """Goal: all waiters hear of the deletion. Method: three waiters."""
    watch = DirectoryWatch(1000)
    waiters = [waiter(watch) for _ in range(3)]
    watch.directory_deleted()
    assert [one.result() for one in waiters] == [DELETED] * 3 and not watch.waiters
