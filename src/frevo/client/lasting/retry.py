"""The policy for repeating work after a lost connection: what, how often, how long, with which pauses.

*What*: work that failed because its connection, session or share is gone (`is_gone`), never because the server violated
the protocol. Work that must not be done twice is repeated only if it was never sent.

*How often*: REPEATS times without progress. Work that got further than before gets all its repeats again. After the
last repeat, the error is `final`: if the work was a part of other work, that is not repeated, so nested loops (the
files of a folder, the requests of a file) do not multiply.

*How long, with which pauses*: the client tries to connect for `Options.reconnect` seconds, with pauses that double from
FIRST_PAUSE_S to PAUSE_MAX_S and are shortened at random, so that many clients do not return at the same time. If that
fails, the next work tries once (`Link`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from frevo.client.errors import ConnectionLost, LogonError, PeerFault, RemoteError, unknown_outcome
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.erref import NTStatus

#: How often work is repeated without progress before the caller gets its error.
REPEATS = 5
FIRST_PAUSE_S = 0.1
PAUSE_MAX_S = 5.0
_T = TypeVar("_T")

#: With these statuses the server has done nothing: the session or share is gone or has to be renewed.
_RENEWABLE = (
    NTStatus.NETWORK_SESSION_EXPIRED,
    NTStatus.USER_SESSION_DELETED,
    NTStatus.NETWORK_NAME_DELETED,
)


def is_gone(error: RemoteError) -> bool:
    """Whether *error* says that the connection, the session or the share has to be renewed."""
    if isinstance(error, PeerFault):
        return False
    return isinstance(error, ConnectionLost) or error.ntstatus in _RENEWABLE


class Renewable(Protocol):
    """The target of work: a tree that can be replaced."""

    tree: Tree

    async def renewed(self, gone: Tree, error: RemoteError) -> object:
        """Returns when there is a replacement after *gone* has failed with *error*; raises if there is none."""


class Attempts:
    """How often one piece of work may still be repeated."""

    __slots__ = ("_best", "_left")

    def __init__(self) -> None:
        self._left, self._best = REPEATS, 0

    def again(self, error: RemoteError, progress: int = 0) -> bool:
        """Whether to repeat the work after *error*. *progress*: how far it got this time, in any unit."""
        if error.final or not is_gone(error):
            return False
        if progress > self._best:
            self._left, self._best = REPEATS, progress
        self._left -= 1
        error.final = self._left < 0
        return not error.final

    async def renew(
        self, error: RemoteError | WireError, on: Renewable, tree: Tree, progress: int = 0
    ) -> None:
        """Returns when the work that failed on *tree* may be repeated; raises otherwise."""
        if isinstance(error, WireError):
            raise tree.connection.peer_fault(error) from error
        if not self.again(error, progress):
            raise error
        await on.renewed(tree, error)


async def repeat(
    work: Callable[[Tree], Awaitable[_T]],
    on: Renewable,
    *,
    path: str = "",
    repeatable: bool = True,
    progress: Callable[[], int] | None = None,
) -> _T:
    """The result of *work* on the current tree of *on*, repeated according to the policy.

    ConnectionLost names *path* if work that is not *repeatable* may have been done.
    """
    attempts: Attempts | None = None
    while True:
        tree = on.tree
        try:
            return await work(tree)
        except (WireError, RemoteError) as error:
            if not repeatable and isinstance(error, ConnectionLost) and is_gone(error) and not error.unsent:
                raise unknown_outcome(error, path) from None
            attempts = attempts or Attempts()
            await attempts.renew(error, on, tree, progress() if progress is not None else 0)


async def keep_trying(connect: Callable[[], Awaitable[_T]], patience_s: float) -> _T:
    """The result of *connect*, which is tried for *patience_s* seconds, and at least once.

    A refused log-on and a protocol violation are raised at once, other errors at the end.
    """
    now = asyncio.get_running_loop().time
    deadline, pause = now() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return await connect()
        except (LogonError, PeerFault):
            raise
        except OSError:
            if now() + pause > deadline:
                raise
        import random  # most clients lose no connection

        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, PAUSE_MAX_S)
