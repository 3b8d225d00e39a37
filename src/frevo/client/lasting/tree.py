"""A connected share that outlives its connection ([MS-SMB2] 3.2.7.1: without durable handles all opens are gone)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from frevo.client.errors import ConnectionLost, RemoteError
from frevo.client.lasting.link import Link
from frevo.client.lasting.retry import is_gone, repeat
from frevo.client.tree.tree import Tree
from frevo.wire.erref import NTStatus

_T = TypeVar("_T")


class LastingTree:
    """The current tree of a share, replaced when it is gone."""

    def __init__(self, link: Link, tree: Tree) -> None:
        self.link = link
        self.tree = tree
        self._lock = asyncio.Lock()

    @classmethod
    async def connect(cls, link: Link, share: str) -> LastingTree:
        """Connects to *share*."""
        return cls(link, await link.connected(share))

    def run(
        self, work: Callable[[Tree, str], Awaitable[_T]], path: str = "", *, repeatable: bool = True
    ) -> Awaitable[_T]:
        """The result of *work* on *path*, repeated as `lasting.retry` says. Await it at once."""
        return repeat(lambda tree: work(tree, path), self, path=path, repeatable=repeatable)

    async def another(self) -> LastingTree:
        """The same share over another connection, which `link.end` ends."""
        link = await self.link.another()
        try:
            return await LastingTree.connect(link, self.tree.name)
        except BaseException:
            await link.end()
            raise

    async def renewed(self, gone: Tree, error: RemoteError) -> Tree:
        """The replacement after *gone* has failed with *error*, which is raised if there is none."""
        if not self.link.patience_s or not is_gone(error):
            raise error
        async with self._lock:
            if self.tree is gone:
                if error.ntstatus == NTStatus.NETWORK_SESSION_EXPIRED:
                    with contextlib.suppress(ConnectionLost):  # if that fails, a new session may work
                        await self.link.authenticated()
                        return gone
                if error.ntstatus != NTStatus.NETWORK_NAME_DELETED:
                    await self.link.rebuilt(gone.connection)
                self.tree = await self.link.connected(gone.name)
            return self.tree
