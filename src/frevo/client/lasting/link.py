"""The connection to one server, restored with the same log-on when it is lost.

After a restart of the server, a network failure or an expired session, `Link` restores the connection once for all
waiters. `lasting.retry` determines what is repeated on it, and how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import warnings
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from frevo.client.connection.connection import Connection
from frevo.client.connection.logon import Handshake, Session
from frevo.client.connection.messages import Element
from frevo.client.errors import ConnectionLost, RemoteError, lost
from frevo.client.lasting.retry import Attempts, keep_trying
from frevo.client.tree.tree import Tree, connect_tree
from frevo.errors import FrevoError, RemoteProtocolError, WireError
from frevo.proto.dialect import Cipher
from frevo.wire.smb2 import Command, LogoffRequest


class LoggedOn(msgspec.Struct):
    """A connection with a user logged on, and what was negotiated."""

    connection: Connection
    session: Session
    handshake: Handshake
    transport: str


class Link:
    """The present connection to one server.

    *patience_s*: for how long to try to restore a lost connection; 0: never. *connections*: how many a share may have,
    0: `connections.automatic`.
    """

    def __init__(
        self,
        made: LoggedOn,
        connect: Callable[[], Awaitable[LoggedOn]],
        renew: Callable[[LoggedOn], Awaitable[None]],
        patience_s: float,
        connections: int = 1,
    ) -> None:
        self.current = made
        self.patience_s = patience_s
        self.connections = connections
        #: Called before the connection ends: they end the further connections of its shares.
        self.before_end: set[Callable[[], Awaitable[None]]] = set()
        self._connect = connect
        self._renew = renew
        self._closed = False
        self._in_vain = False
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def __del__(self) -> None:
        connection = self.current.connection
        if not self._closed and not connection.lost and not connection.plane.inherited:
            text = f"the connection to {connection.server} was not closed"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            connection.plane.soon(connection.plane.transport.close, connection.number)

    async def another(self) -> Link:
        """Another connection to the same server, with the same log-on."""
        made = await self._connect()
        await self._check_protection(made)
        return Link(made, self._connect, self._renew, self.patience_s)

    async def connected(self, share: str) -> Tree:
        """TREE_CONNECT on the current connection, or on the next one if that has ended."""
        attempts = Attempts()
        while True:
            current = self.current
            try:
                return await connect_tree(current.connection, current.session, current.handshake, share)
            except RemoteError as error:
                if not self.patience_s or not attempts.again(error):
                    raise
            except (WireError, RemoteProtocolError) as error:
                raise current.connection.peer_fault(error) from error
            await self.rebuilt(current.connection)

    async def rebuilt(self, gone: Connection) -> None:
        """Returns when there is a connection other than *gone*. ConnectionLost if there will be none."""
        if self.current.connection is gone:
            await self._joined(self._rebuild)

    async def authenticated(self) -> None:
        """Logs on again on the same session ([MS-SMB2] 3.2.4.2.3)."""
        await self._joined(self._reauthenticate)

    async def _joined(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Does *work*, or joins it if it is under way; cancelling a waiter does not stop it."""
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
            text = f"the connection to the server ended and could not be restored: {text}"
            failed = ConnectionLost(errno.ECONNRESET, text)
            failed.final = True
            raise failed from error

    async def _rebuild(self) -> None:
        """Connects until the server responds; only one attempt if the last rebuild failed."""
        await self.current.connection.close(abort=True)
        patience_s, self._in_vain = 0.0 if self._in_vain else self.patience_s, True
        made = await keep_trying(self._connect, patience_s)
        await self._check_protection(made)
        self.current, self._in_vain = made, False

    async def _check_protection(self, made: LoggedOn) -> None:
        """Gives up a connection that protects less than the current one."""
        complaint = _less_protected(self.current, made)
        if complaint:
            await made.connection.close(abort=True)
            raise RemoteError(errno.EPROTO, complaint)

    async def _reauthenticate(self) -> None:
        await self._renew(self.current)

    async def close(self) -> None:
        """Stops what is under way; from now on nothing is rebuilt."""
        self._closed = True
        if self._under_way:
            tasks = list(self._under_way.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def end(self) -> None:
        """Logs off and closes the connection; what was open there is closed by the server."""
        answered = False
        try:
            for call in list(self.before_end):
                await call()
            await self.close()
            connection = self.current.connection
            if not connection.lost:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        element = Element(Command.LOGOFF, LogoffRequest().pack())
                        await connection.exchange(element, self.current.session.protection)
                        answered = True
        finally:
            await self.current.connection.close(abort=not answered)


def _less_protected(old: LoggedOn, new: LoggedOn) -> str:
    """What the new connection protects less well than the old one; empty if nothing."""
    before, after = old.connection.negotiated, new.connection.negotiated
    assert before is not None and after is not None
    if after.dialect.revision < before.dialect.revision:
        return f"the server now uses {after.dialect.name}, before {before.dialect.name}"
    if before.cipher is not Cipher.NONE and after.cipher is Cipher.NONE:
        return "the server no longer offers encryption"
    was, is_now = old.session.protection, new.session.protection
    encrypted, is_encrypted = _encrypted(old), _encrypted(new)
    if (was.sign and not is_now.sign and not is_now.encrypt) or (encrypted and not is_encrypted):
        return "messages would be less protected than before"
    return ""


def _encrypted(one: LoggedOn) -> bool:
    return one.session.protection.encrypt or one.connection.transport_security
