"""What outlives a connection: it is made anew with the same log-on, the share is connected again, work is repeated.

A server that restarts, a cut link, an expired session, a share that was closed by force: `Link` gets the connection
back, one rebuild for all who wait, `LastingTree` the share. Only what can be done twice without harm is repeated
([MS-SMB2] 3.2.7.1: without durable handles all that was open is gone).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import msgspec

from frevo.client.connection.connection import Connection, Element
from frevo.client.connection.logon import Handshake, Session
from frevo.client.errors import (
    CannotReconnect,
    ConnectionLost,
    LogonError,
    PeerFault,
    RemoteError,
    fault,
    lost,
    unknown_outcome,
)
from frevo.client.lasting.further import Siblings
from frevo.client.tree.tree import Tree, connect_tree
from frevo.errors import FrevoError, RemoteProtocolError, WireError
from frevo.proto.dialect import Cipher
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, LogoffRequest

#: So often one operation is done again before its error is the caller's.
REPEATS = 5
_FIRST_PAUSE_S = 0.1
_PAUSE_MAX_S = 5.0
_T = TypeVar("_T")

#: The server has not carried out what it answers with these: the session or the share is gone or has to be renewed.
_RENEWABLE = (
    NTStatus.NETWORK_SESSION_EXPIRED,
    NTStatus.USER_SESSION_DELETED,
    NTStatus.NETWORK_NAME_DELETED,
)


class Reached(msgspec.Struct):
    """A connection with a user logged on, and what was agreed on the way."""

    connection: Connection
    session: Session
    handshake: Handshake
    transport: str


def is_gone(error: RemoteError) -> bool:
    """Whether *error* says that the connection, the session or the share has to be renewed."""
    if isinstance(error, PeerFault):
        return False
    return isinstance(error, ConnectionLost) or error.ntstatus in _RENEWABLE


def malformed(connection: Connection, error: FrevoError) -> PeerFault:
    """The exception for an answer that is none, a WireError, or that breaks a rule; *connection* ends."""
    reason = f"the server sent something malformed ({error})" if isinstance(error, WireError) else str(error)
    connection.fail(reason)
    return fault(reason)


class Link:
    """The present connection to one server.

    *patience_s*: how long a lost one is tried to get back; 0: never. *connections*: how many a share of it
    may have, 0: `siblings.automatic`.
    """

    def __init__(
        self,
        made: Reached,
        reach: Callable[[], Awaitable[Reached]],
        renew: Callable[[Reached], Awaitable[None]],
        patience_s: float,
        connections: int = 1,
    ) -> None:
        self.now = made
        self.patience_s = patience_s
        self.connections = connections
        #: Further connections of its shares, which end with it.
        self.grown: set[Siblings] = set()
        self._reach = reach
        self._renew = renew
        self._closed = False
        self._in_vain = False
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def __del__(self) -> None:
        connection = self.now.connection
        if not self._closed and not connection.lost and not connection.plane.inherited:
            text = f"the connection to {connection.server} was not closed"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            connection.plane.soon(connection.plane.transport.close, connection.number)

    async def another(self) -> Link:
        """A connection of its own to the same server, with the same log-on."""
        made = await self._reach()
        complaint = _weaker(self.now, made)
        if complaint:
            await made.connection.close(abort=True)
            raise RemoteError(errno.EPROTO, complaint)
        return Link(made, self._reach, self._renew, self.patience_s)

    async def tree(self, name: str) -> LastingTree:
        """Connects to a share."""
        return LastingTree(self, await self.connected(name))

    async def connected(self, name: str) -> Tree:
        """The share on the present connection, or on the next when that has ended."""
        for last in (False, True):
            now = self.now
            try:
                return await connect_tree(now.connection, now.session, now.handshake, name)
            except RemoteError as error:
                if last or not self.patience_s or not is_gone(error):
                    raise
            except (WireError, RemoteProtocolError) as error:
                raise malformed(now.connection, error) from error
            await self.rebuilt(now.connection)
        raise AssertionError

    async def rebuilt(self, gone: Connection) -> None:
        """Returns when there is another connection than *gone*. ConnectionLost when there will be none."""
        if self.now.connection is gone:
            await self._joined(self._rebuild)

    async def authenticated(self) -> None:
        """Logs on again on the same session ([MS-SMB2] 3.2.4.2.3)."""
        await self._joined(self._reauthenticate)

    async def _joined(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Does *work*, or waits for it when it is under way; a waiter that is cancelled does not stop it."""
        if self._closed:
            raise lost("closed by this program")
        name = work.__name__
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.ensure_future(work())
            # Not in the task itself: cancelled before its first step it does nothing.
            task.add_done_callback(lambda _: self._under_way.pop(name))
        await asyncio.wait([task])
        if task.cancelled():  # by close() alone
            raise lost("closed by this program")
        error = task.exception()
        if error is not None:
            if not isinstance(error, OSError | FrevoError):
                raise error
            text = getattr(error, "strerror", None) or str(error)
            text = f"the connection to the server ended and could not be made again: {text}"
            raise CannotReconnect(errno.ECONNRESET, text) from error

    async def _rebuild(self) -> None:
        """Tries with growing pauses; after it was in vain once, one try each time."""
        await self.now.connection.close(abort=True)
        now = asyncio.get_running_loop().time
        deadline = now() + (0.0 if self._in_vain else self.patience_s)
        pause = _FIRST_PAUSE_S
        self._in_vain = True
        while True:
            try:
                made = await self._reach()
                break
            except (LogonError, PeerFault):
                raise
            except OSError:
                if now() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _PAUSE_MAX_S)
        complaint = _weaker(self.now, made)
        if complaint:
            await made.connection.close(abort=True)
            raise RemoteError(errno.EPROTO, complaint)
        self.now, self._in_vain = made, False

    async def _reauthenticate(self) -> None:
        await self._renew(self.now)

    async def close(self) -> None:
        """Nothing is rebuilt any more; what was under way ends."""
        self._closed = True
        if self._under_way:
            tasks = list(self._under_way.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def end(self) -> None:
        """Logs off and closes the connection; what was open there is closed by the server."""
        try:
            for siblings in list(self.grown):
                await siblings.close()
            await self.close()
            connection = self.now.connection
            if not connection.lost:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        element = Element(Command.LOGOFF, LogoffRequest().pack())
                        await connection.exchange(element, self.now.session.protection)
        finally:
            await self.now.connection.close()


def _weaker(old: Reached, new: Reached) -> str:
    """What the new connection protects less than the first one did; empty when nothing."""
    before, after = old.connection.negotiated, new.connection.negotiated
    assert before is not None and after is not None
    if after.dialect.revision < before.dialect.revision:
        return f"the server now speaks {after.dialect.name}, before {before.dialect.name}"
    if before.cipher is not Cipher.NONE and after.cipher is Cipher.NONE:
        return "the server now offers no encryption, before it did"
    was, is_now = old.session.protection, new.session.protection
    if (was.sign and not is_now.sign and not is_now.seal) or (was.seal and not is_now.seal):
        return "messages would be less protected than before"
    return ""


class LastingTree:
    """A share that outlives its connection: the present tree, and another one when that is gone."""

    def __init__(self, link: Link, tree: Tree) -> None:
        self.link = link
        self.tree = tree
        self.siblings = Siblings(self, link.connections)
        self._lock = asyncio.Lock()

    async def run(
        self, work: Callable[[Tree, str], Awaitable[_T]], path: str = "", *, repeatable: bool = True
    ) -> _T:
        """The result of *work* on *path*. What is not *repeatable* is done again only when it was never sent."""
        left = REPEATS
        while True:
            tree = self.tree
            try:
                return await work(tree, path)
            except WireError as error:
                raise malformed(tree.connection, error) from error
            except RemoteError as error:
                if not is_gone(error):
                    raise
                left -= 1
                if isinstance(error, ConnectionLost) and not error.unsent and not repeatable:
                    raise unknown_outcome(error, path) from None
                if left < 0:
                    raise
                await self.renewed(tree, error)

    async def another(self) -> LastingTree:
        """The same share over a connection of its own, which `link.end` ends."""
        link = await self.link.another()
        try:
            return await link.tree(self.tree.name)
        except BaseException:
            await link.end()
            raise

    async def renewed(self, gone: Tree, error: RemoteError) -> Tree:
        """The tree to go on with after *gone* has failed with *error*, which is raised when there is none."""
        if not self.link.patience_s or not is_gone(error):
            raise error
        async with self._lock:
            if self.tree is gone:
                if error.ntstatus == NTStatus.NETWORK_SESSION_EXPIRED:
                    with contextlib.suppress(ConnectionLost):  # else a new session may do
                        await self.link.authenticated()
                        return gone
                if error.ntstatus != NTStatus.NETWORK_NAME_DELETED:
                    await self.link.rebuilt(gone.connection)
                self.tree = await self.link.connected(gone.name)
            return self.tree
