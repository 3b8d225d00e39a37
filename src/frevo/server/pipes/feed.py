"""Named pipes: the calls of clients run in turns, and their responses count for budgets."""

from __future__ import annotations

from frevo.dcerpc import open_pipe
from frevo.errors import SMBError
from frevo.server.core.budget import GUEST, NOBODY
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.pipes.rpc_context import rpc_context
from frevo.wire.erref import NTStatus


def new_pipe(request: Request, name: str) -> object:
    """Opens the pipe *name*. OBJECT_NAME_NOT_FOUND, or INSUFFICIENT_RESOURCES if the user has too many."""
    server, session = request.server, request.session
    budget = server.budgets.pipes
    budget.check(session.user)
    most = server.config.globals.frevo_max_anonymous_pipes
    if session.user in (NOBODY, GUEST) and budget.of(session.user) >= most:
        raise SMBError(
            NTStatus.INSUFFICIENT_RESOURCES, f"{session.user} may have at most {most} pipes"
        )
    pipe = open_pipe(name, rpc_context(server, session))
    if pipe is None:
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, f"pipe {name[:64]!r}")
    return pipe


async def feed(request: Request, data: bytes | bytearray | memoryview) -> None:
    """Writes *data* to the pipe of the request's open and runs the complete calls.

    PIPE_BUSY while there are too many unread responses; INSUFFICIENT_RESOURCES if the pipes of this user hold too much
    together: then the remaining calls are dropped and the pipe is broken.
    """
    server, opened = request.server, request.open
    pipe, budget, user = opened.pipe, server.budgets.pipe_bytes, opened.session.user
    if pipe.broken:
        raise SMBError(NTStatus.PIPE_DISCONNECTED)
    if pipe.full:
        raise SMBError(NTStatus.PIPE_BUSY, "the client does not read its responses")
    budget.check(user, max(len(data), 1))
    piece = server.turns.slice()
    done = pipe.write(bytes(data), piece.over)
    while True:
        account(request, opened)
        if done:
            return
        if not budget.room(user):
            pipe.break_off()
            account(request, opened)
            raise SMBError(
                NTStatus.INSUFFICIENT_RESOURCES, f"the pipes of {user} hold {budget.of(user)} bytes"
            )
        piece = await server.turns.next(request.connection.party)
        if opened.volatile_id not in server.opens:
            raise SMBError(NTStatus.FILE_CLOSED, "closed meanwhile")
        done = pipe.advance(piece.over)


def account(request: Request, opened: Open) -> None:
    """Counts what the pipe holds; called after every write and read."""
    budget, user = request.server.budgets.pipe_bytes, opened.session.user
    held = opened.pipe.held_bytes
    if held > opened.pipe_bytes:
        budget.take(user, held - opened.pipe_bytes)
    elif held < opened.pipe_bytes:
        budget.give(user, opened.pipe_bytes - held)
    opened.pipe_bytes = held
