"""A share that outlives its connection: what is renewed after which error, once for all waiters."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.client.errors import ConnectionLost, RemoteError, lost, remote_error
from frevo.client.lasting.tree import LastingTree
from frevo.wire.erref import NTStatus


class Link:
    """Notes what is asked of it."""

    def __init__(self, patience_s: float = 30.0) -> None:
        self.patience_s = patience_s
        self.done: list[str] = []
        self.refuses = False
        self.ended = False

    async def connected(self, share: str) -> Any:
        self.done.append(f"connect {share}")
        await asyncio.sleep(0)
        if self.refuses:
            raise remote_error(NTStatus.BAD_NETWORK_NAME)
        return tree(share)

    async def rebuilt(self, gone: Any) -> None:
        self.done.append("rebuild")

    async def authenticated(self) -> None:
        self.done.append("log on again")
        if self.refuses:
            raise lost("gone as well")

    async def another(self) -> Link:
        other = Link()
        other.refuses = self.refuses
        self.other = other
        return other

    async def end(self) -> None:
        self.ended = True


def tree(name: str = "share") -> Any:
    return SimpleNamespace(name=name, connection=object())


def on(link: Link) -> LastingTree:
    return LastingTree(cast(Any, link), tree())


@pytest.mark.parametrize(
    ("error", "done"),
    [
        (lost("cut"), ["rebuild", "connect share"]),
        (remote_error(NTStatus.USER_SESSION_DELETED), ["rebuild", "connect share"]),
        (remote_error(NTStatus.NETWORK_NAME_DELETED), ["connect share"]),  # the connection is fine
        (remote_error(NTStatus.NETWORK_SESSION_EXPIRED), ["log on again"]),  # so is the tree
    ],
)
async def test_as_little_as_needed(error: RemoteError, done: list[str]) -> None:
    """The connection, the share or only the log-on is renewed."""
    link = Link()
    share = on(link)
    before = share.tree
    found = await share.renewed(before, error)
    assert link.done == done and found is share.tree
    assert (found is before) is (done == ["log on again"])


async def test_a_log_on_that_fails() -> None:
    """A session that cannot be renewed because its connection went too: a new one is made."""
    link = Link()
    link.refuses = True
    share = on(link)
    with pytest.raises(RemoteError, match="no such share"):
        await share.renewed(share.tree, remote_error(NTStatus.NETWORK_SESSION_EXPIRED))
    assert link.done == ["log on again", "rebuild", "connect share"]


@pytest.mark.parametrize(
    ("patience_s", "error"), [(0.0, lost("cut")), (30.0, remote_error(NTStatus.ACCESS_DENIED))]
)
async def test_what_is_not_renewed(patience_s: float, error: RemoteError) -> None:
    """Nothing without patience, and never after a refusal."""
    link = Link(patience_s)
    share = on(link)
    with pytest.raises(type(error)):
        await share.renewed(share.tree, error)
    assert link.done == []


async def test_once_for_all() -> None:
    """Ten pieces of work that fail together are renewed together, and a late one finds the new tree."""
    link = Link()
    share = on(link)
    gone = share.tree
    found = await asyncio.gather(*(share.renewed(gone, lost("cut")) for _ in range(10)))
    assert link.done == ["rebuild", "connect share"] and set(map(id, found)) == {id(share.tree)}
    assert await share.renewed(gone, lost("cut")) is share.tree and len(link.done) == 2


async def test_running_work() -> None:
    """Work gets the present tree and its path, and is done again on the next one."""
    share = on(Link())
    seen: list[tuple[Any, str]] = []

    async def work(tree: Any, path: str) -> str:
        seen.append((tree, path))
        if len(seen) == 1:
            raise lost("cut")
        return "done"

    first = share.tree
    assert await share.run(work, "dir/a") == "done"
    assert seen == [(first, "dir/a"), (share.tree, "dir/a")]

    async def once(tree: Any, path: str) -> None:
        raise lost("cut")

    with pytest.raises(ConnectionLost, match="may not have"):
        await share.run(once, "dir/a", repeatable=False)


async def test_another_connection() -> None:
    """The same share on a connection of its own; one that cannot be had leaves none open."""
    link = Link()
    other = await on(link).another()
    assert other.link is link.other and other.tree.name == "share"
    link.refuses = True
    with pytest.raises(RemoteError):
        await on(link).another()
    assert link.other.ended
