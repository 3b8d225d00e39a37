"""One request on its way through the server: what the handlers get, and how they wait and are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Header

if TYPE_CHECKING:
    from frevo.server.service import Server
    from frevo.server.state import Connection, Open, Session, Tree

Buffer = bytes | memoryview


class Chain:
    """A compound: what its elements hand to each other, and the answers that are ready ([MS-SMB2] 3.3.5.2.7)."""

    __slots__ = (
        "after_sending", "before_sending", "count", "create_failed", "file_id", "responses", "sealed_session",
        "session_id", "started", "tree_id",
    )  # fmt: skip

    def __init__(self, count: int, sealed_session: int) -> None:
        self.count = count
        self.sealed_session = sealed_session
        self.started = False
        #: Called with the finished message just before it goes to the data plane, and just after.
        self.before_sending: Callable[[bytes], None] | None = None
        self.after_sending: Callable[[], None] | None = None
        self.responses: list[tuple[Header, bytes]] = []
        self.session_id = 0
        self.tree_id = 0
        self.file_id: tuple[int, int] | None = None
        self.create_failed = 0  # status of a CREATE that failed: what needs its file fails the same way


class Request:
    """A request with everything that the dispatcher has already checked.

    `session`, `tree`, `open` are set where the dispatch table says that the command needs them. `message` is this
    element only, its header at position 0. A handler returns the response body, or an awaitable of it; while it
    waits it may be cancelled (CANCEL, logoff, tree disconnect, close, lost connection), which it sees as
    asyncio.CancelledError: it cleans up and lets it pass. The client then gets `abort_status`.
    """

    __slots__ = (
        "abort_status", "async_id", "chain", "connection", "header", "last", "message", "open", "protected", "sealed",
        "server", "session", "sign", "status", "task", "tree",
    )  # fmt: skip

    def __init__(
        self,
        server: Server,
        connection: Connection,
        header: Header,
        message: Buffer,
        chain: Chain,
        *,
        last: bool,
        sealed: bool,
    ) -> None:
        self.server = server
        self.connection = connection
        self.header = header
        self.message = message
        self.chain = chain
        self.last = last
        self.sealed = sealed
        self.protected = False  # sealed for its session, or signed with a signature that was verified
        self.session: Session = None  # type: ignore[assignment]  # set by dispatch when the table asks for it
        self.tree: Tree = None  # type: ignore[assignment]
        self.open: Open = None  # type: ignore[assignment]
        #: Status of a successful response (BUFFER_OVERFLOW, NOTIFY_ENUM_DIR, ... go with a normal body).
        self.status: int = NTStatus.SUCCESS
        self.sign = False  # sign the answer although the request was not signed
        self.async_id = 0
        self.task: asyncio.Task[None] | None = None
        self.abort_status: int = NTStatus.CANCELLED

    def go_async(self) -> None:
        """Tells the client now that the answer will take long (STATUS_PENDING, [MS-SMB2] 3.3.4.2).

        Only the last element of a compound can wait; for others INTERNAL_ERROR is raised, as Windows answers.
        """
        if self.async_id:
            return
        if not self.last:
            raise SMBError(NTStatus.INTERNAL_ERROR, "only the last request of a compound can wait")
        if len(self.connection.waiting_async) >= self.server.config.globals.frevo_max_pending_async_requests:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many waiting requests")
        self.server.budgets.waiting.check(self.session.user)
        self.server.budgets.waiting.take(self.session.user)
        self.server.send_interim(self)

    async def wait(self, future: asyncio.Future[int]) -> int:
        """Goes async and waits for *future* on behalf of this request's open, if it has one."""
        self.go_async()
        if self.open is not None:
            self.open.waiting.add(self)
        try:
            return await future
        finally:
            if self.open is not None:
                self.open.waiting.discard(self)

    def abort(self, status: int) -> None:
        """Ends the wait: the client gets *status*. Nothing happens when the request has been answered."""
        if self.task is not None and not self.task.done():
            self.abort_status = status
            # Not at once: a task that has not had its first turn would end without an answer.
            self.server.loop.call_soon(self.task.cancel)
