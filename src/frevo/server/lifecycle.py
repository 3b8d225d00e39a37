"""The life cycle of opens, tree connects, sessions and connections ([MS-SMB2] 3.3.7.1, 3.3.5.6 to 3.3.5.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.server.core.state import Connection, Open, Session, SessionState, Tree
from frevo.server.rules.deleting import leave_file
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.server.core.server import Server

log = logging.getLogger("frevo.server")


def close_open(server: Server, opened: Open, *, waiting_status: int = NTStatus.CANCELLED) -> None:
    """Closes one open once its reads and writes have ended:

    `begin_close` and `end_close`. Its locks and share modes hold until then, so that there are no late writes.
    """
    begin_close(server, opened, waiting_status=waiting_status)
    if opened.handle is not None:
        # Only a CLOSE waits for a file system that may never respond.
        counted = opened.tree.lane is None or opened.tree.lane.responds
        opened.session.closing += counted
        server.fastpath.when_idle(opened, lambda: _ended(server, opened, counted))


def _ended(server: Server, opened: Open, counted: bool) -> None:
    session = opened.session
    try:
        end_close(server, opened)
    finally:
        session.closing -= counted
        waiting, session.on_closed = session.on_closed, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


async def all_closed(session: Session) -> None:
    """Waits until all closed opens of *session* have ended, after which none of its writes can reach a file."""
    while session.closing:
        ended = asyncio.get_running_loop().create_future()
        session.on_closed.append(ended)
        await ended


async def session_closed(server: Server, session: Session, party: str) -> None:
    """Waits, in *party*'s turns, until all opens of an ended session are closed and have ended (`all_closed`)."""
    while session.opens:
        await server.turns.next(party)
    await all_closed(session)


def begin_close(server: Server, opened: Open, *, waiting_status: int) -> None:
    """Removes the open from all tables; requests that wait on it end with *waiting_status*."""
    session = opened.session
    session.opens.pop(opened.volatile_id, None)
    opened.tree.opens.discard(opened.volatile_id)
    server.opens.pop(opened.volatile_id, None)
    for request in tuple(opened.waiting):
        request.abort(waiting_status)
    for action in opened.on_close:
        action()
    server.fastpath.detach(opened)
    if opened.descriptors:
        server.budgets.descriptors.give(session.user, opened.descriptors)
        opened.descriptors = 0
    elif opened.pipe is not None:
        server.budgets.pipes.give(session.user)
        if opened.pipe_bytes:
            server.budgets.pipe_bytes.give(session.user, opened.pipe_bytes)
            opened.pipe_bytes = 0


def end_close(server: Server, opened: Open) -> OSError | SMBError | None:
    """Releases the locks, leaves the file, and deletes it if it is delete pending.

    The open is gone afterwards in any case. Returns the error for the CLOSE response if the system could not store data
    (quota, full disk) or delete the file.
    """
    if opened.record is not None and opened.handle is not None:
        lane = opened.tree.lane
        if lane is None or lane.inside:
            return _let_go(server, opened)
        lane.spawn(lambda: _let_go(server, opened))
    return None


def _let_go(server: Server, opened: Open) -> OSError | SMBError | None:
    record, handle = opened.record, opened.handle
    assert record is not None and handle is not None
    failed: OSError | SMBError | None = None
    try:
        record.locks.release_all(opened)
        failed = leave_file(server, opened, handle)
    finally:
        try:
            handle.close()
        except OSError as error:
            log.warning("%s: written data may be lost: %s", opened.path, error.strerror)
            failed = error
    return failed


def disconnect_tree(server: Server, tree: Tree) -> None:
    """Removes a tree and closes its opens; if there are many, those left to close are in `tree.opens`."""
    server.turns.run(tree.session.connection.party, _disconnecting(server, tree))


def _disconnecting(server: Server, tree: Tree) -> Iterator[None]:
    if tree.lane is not None:
        _abort_in_lane(tree)
    tree.session.trees.pop(tree.id, None)
    for volatile_id in tuple(tree.opens):
        opened = server.opens.get(volatile_id)
        if opened is not None:
            close_open(server, opened, waiting_status=NTStatus.CANCELLED)
            yield
    tree.share.users -= 1


def _abort_in_lane(tree: Tree) -> None:
    """Aborts the requests of a tree that are in its lane and do not wait on an open."""
    for request in tuple(tree.session.connection.waiting.values()):
        if request.tree is tree:
            request.abort(NTStatus.CANCELLED)


def end_session(server: Server, session: Session, *, waiting_status: int = NTStatus.CANCELLED) -> None:
    """Closes everything of a session and removes it from its connection."""
    if session.state is SessionState.GONE:
        return
    session.state = SessionState.GONE
    server.sessions.pop(session.id, None)
    session.connection.sessions.pop(session.id, None)
    server.turns.run(session.connection.party, _closing(server, session, waiting_status))


def _closing(server: Server, session: Session, waiting_status: int) -> Iterator[None]:
    """Closes the opens of a removed session one by one, in turns: there may be thousands."""
    for opened in tuple(session.opens.values()):
        close_open(server, opened, waiting_status=waiting_status)
        yield
    for tree in tuple(session.trees.values()):
        yield from _disconnecting(server, tree)
    server.budgets.sessions.give(session.user)


def drop_keys(server: Server, session: Session) -> None:
    """Removes the keys of an ended session from the data plane once its waiting requests have been answered."""
    connection = session.connection
    tasks = [
        request.task for request in connection.waiting.values() if request.session is session and request.task
    ]
    if not tasks:
        server.transport.drop_session(connection.id, session.id)
        return
    answered = asyncio.gather(*tasks, return_exceptions=True)
    answered.add_done_callback(lambda _: server.transport.drop_session(connection.id, session.id))


def watch_expiry(server: Server, session: Session) -> None:
    """Makes a session expire in time, even if only the data plane serves it."""
    deadline = session.expires_at
    if deadline is not None:
        server.loop.call_at(deadline, _expire, server, session, deadline)


def _expire(server: Server, session: Session, deadline: float) -> None:
    if session.expires_at == deadline and session.state is SessionState.VALID:
        expire_session(server, session)


def expire_session(server: Server, session: Session) -> None:
    """The session must authenticate again; until then the data plane answers nothing for it ([MS-SMB2] 3.3.5.2.9)."""
    session.state = SessionState.EXPIRED
    for opened in session.opens.values():
        server.fastpath.detach(opened)


def end_connection(server: Server, connection: Connection) -> None:
    """The transport has ended: closes everything that belongs to the connection, without responses."""
    if connection.closed:
        return
    connection.closed = True
    for request in tuple(connection.waiting.values()):
        request.abort(NTStatus.CANCELLED)
    for session in tuple(connection.sessions.values()):
        end_session(server, session)
    server.connections.pop(connection.id, None)
    if connection.user:
        server.budgets.connections.give(connection.user)


def drop_connection(server: Server, connection: Connection) -> None:
    """Ends a connection and its transport at once."""
    server.transport.close(connection.id)
    end_connection(server, connection)
