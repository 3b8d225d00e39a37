"""The connections of one share: how many, made when needed, and what happens when one cannot be had."""

from __future__ import annotations

import asyncio
import os
from typing import Any, cast

import pytest

from frevo.client.errors import lost
from frevo.client.lasting.connections import ShareConnections, automatic


class Link:
    """Counts its ends."""

    def __init__(self) -> None:
        self.before_end: set[Any] = set()
        self.ended = 0

    async def end(self) -> None:
        self.ended += 1


class Tree:
    """A share on one connection; *limit* further ones can be had."""

    def __init__(self, limit: int = 99) -> None:
        self.link = Link()
        self.limit, self.asked = limit, 0

    async def another(self) -> Tree:
        self.asked += 1
        await asyncio.sleep(0)
        if self.asked > self.limit:
            raise lost("too many connections")
        return Tree()


def connections(first: Tree, most: int) -> ShareConnections:
    return ShareConnections(cast(Any, first), most)


@pytest.mark.parametrize(
    ("processors", "many", "one"), [(1, 2, 1), (2, 2, 1), (3, 3, 1), (4, 4, 2), (64, 4, 4)]
)
def test_how_many(monkeypatch: pytest.MonkeyPatch, processors: int, many: int, one: int) -> None:
    """By the processors of this machine: 2 to 4 for many files, half as many for a large one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert automatic() == (many, one)
    assert connections(Tree(), 0).most == many and connections(Tree(), 0).for_one_file == one
    assert connections(Tree(), 3).most == 3 == connections(Tree(), 3).for_one_file


async def test_made_when_needed() -> None:
    """The first one exists; number 2 brings number 1 too; callers that wait for the same one share the attempt."""
    first = Tree()
    all_of_them = connections(first, 3)
    assert await all_of_them.nth(0) is first and first.asked == 0
    found = await asyncio.gather(all_of_them.nth(2), all_of_them.nth(2), all_of_them.nth(1))
    assert (
        first.asked == 2 and found[0] is found[1] is all_of_them.trees[2] and found[2] is all_of_them.trees[1]
    )
    assert await all_of_them.nth(3) is None and first.asked == 2


async def test_a_limit_of_the_server() -> None:
    """After the first failure no further connection is tried."""
    first = Tree(limit=1)
    few = connections(first, 4)
    assert await few.nth(3) is None and first.asked == 2
    assert await few.nth(1) is few.trees[1] and few.most == 2 == few.for_one_file
    assert await few.nth(2) is None and first.asked == 2


async def test_cancelled_it_is_made_anyway() -> None:
    """A cancelled waiter takes nothing away from the next one."""
    first = Tree()
    some = connections(first, 2)
    waiting = asyncio.create_task(some.nth(1))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await asyncio.wait_for(some.nth(1), 5) is some.trees[1] and first.asked == 1
    assert waiting.cancelled()


async def test_the_end() -> None:
    """Closing ends the further ones only, once, and no new ones are made; the link does the same before it ends."""
    first = Tree()
    some = connections(first, 3)
    await some.nth(2)
    further = [cast(Any, one) for one in some.trees[1:]]
    (close,) = first.link.before_end
    await close()
    await some.close()
    assert [one.link.ended for one in further] == [1, 1] and first.link.ended == 0
    assert first.link.before_end == set() and some.trees == [first]
    assert await some.nth(1) is None
