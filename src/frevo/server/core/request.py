"""One request on its way through the server: what the handlers get, and how they wait and are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ANY_FILE_ID, Header, HeaderFlags

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.state import Connection, Open, Session, Tree

Buffer = bytes | memoryview

_KEPT_FLAGS = int(HeaderFlags.RELATED_OPERATIONS | HeaderFlags.PRIORITY_MASK | HeaderFlags.DFS_OPERATIONS)
_RESPONSE = int(HeaderFlags.SERVER_TO_REDIR)
_SIGNED = int(HeaderFlags.SIGNED)


class Chain:
    """A compound: what its elements hand to each other, and the answers that are ready ([MS-SMB2] 3.3.5.2.7)."""

    __slots__ = (
        "after_sending", "before_sending", "count", "create_failed", "encrypted_session", "file_id", "responses",
        "session_id", "started", "tree_id",
    )  # fmt: skip

    def __init__(self, count: int, encrypted_session: int) -> None:
        self.count = count
        self.encrypted_session = encrypted_session
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
    element only, its header at position 0. A handler returns the response body, or an awaitable of it.

    A request that waits for somebody else waits in `wait`, which `abort` ends (CANCEL, logoff, tree disconnect, close,
    lost connection). Everything else runs to its end and is answered with what it has done: a WRITE that is half on
    disk cannot be reported as cancelled ([MS-SMB2] 3.3.5.16).
    """

    __slots__ = (
        "aborted", "async_id", "awaited", "chain", "connection", "encrypted", "header", "last", "looks", "message",
        "open", "protected", "server", "session", "sign", "status", "task", "tree",
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
        encrypted: bool,
    ) -> None:
        self.server = server
        self.connection = connection
        self.header = header
        self.message = message
        self.chain = chain
        self.last = last
        self.encrypted = encrypted
        self.protected = False  # encrypted for its session, or signed with a signature that was verified
        self.session: Session = None  # type: ignore[assignment]  # set by dispatch when the table asks for it
        self.tree: Tree = None  # type: ignore[assignment]
        self.open: Open = None  # type: ignore[assignment]
        #: Status of a successful response (BUFFER_OVERFLOW, NOTIFY_ENUM_DIR, ... go with a normal body).
        self.status: int = NTStatus.SUCCESS
        self.sign = False  # sign the answer although the request was not signed
        self.async_id = 0
        self.looks = 0  # how many large folders were read for it
        self.task: asyncio.Task[None] | None = None
        self.awaited: asyncio.Future[int] | None = None
        self.aborted: int = NTStatus.SUCCESS  # the status of `abort`, which also ends waits that begin later

    def find_open(self, file_id: tuple[int, int]) -> None:
        """Sets `open` from *file_id*, or from the request before when it is all ones ([MS-SMB2] 3.3.5.2.10)."""
        chain = self.chain
        if file_id == ANY_FILE_ID and self.header.flags & HeaderFlags.RELATED_OPERATIONS:
            if chain.file_id is None:
                raise SMBError(NTStatus.FILE_CLOSED, "no request before it in this compound has a file")
            file_id = chain.file_id
        opened = self.session.opens.get(file_id[1])
        if opened is None or opened.persistent_id != file_id[0] or opened.tree is not self.tree:
            raise SMBError(NTStatus.FILE_CLOSED, f"file {file_id[0]:#x}:{file_id[1]:#x}")
        self.open = opened
        chain.file_id = opened.file_id

    def response_header(self, status: int) -> Header:
        """The header of the answer. Its credits are those the client asked for; the data plane replaces them with what
        it grants."""
        header = self.header
        flags = _RESPONSE | header.flags & _KEPT_FLAGS
        # Errors found before the session was looked up are signed, too: a client that requires signing drops unsigned
        # answers ([MS-SMB2] 3.3.4.1.1).
        session = self.session or self.connection.sessions.get(header.session_id)
        if session is not None and session.keys is not None and not self.encrypted:
            if self.sign or header.flags & _SIGNED or session.signing_required:
                flags |= _SIGNED
        return Header(
            header.credit_charge, status, header.command, header.credits or 1, flags, 0,
            header.message_id, header.process_id, header.tree_id, 0, header.session_id,
        )  # fmt: skip

    def go_async(self) -> None:
        """Tells the client that the answer will come later (STATUS_PENDING, [MS-SMB2] 3.3.4.2).

        Only the last element of a compound can wait; for others INTERNAL_ERROR is raised, as Windows answers.
        """
        if self.async_id:
            return
        if not self.last:
            raise SMBError(NTStatus.INTERNAL_ERROR, "only the last request of a compound can wait")
        if len(self.connection.waiting_async) >= self.server.config.globals.frevo_max_pending_async_requests:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many waiting requests")
        self.server.budgets.waiting.reserve(self.session.user)
        self.server.send_interim(self)

    def tell_pending(self) -> None:
        """`go_async` where it is allowed; otherwise the client is not told."""
        if self.connection.closed:
            return
        try:
            self.go_async()
        except SMBError:
            pass

    async def wait(self, future: asyncio.Future[int]) -> int:
        """Goes async and waits for *future* on behalf of this request's open, if it has one.

        Raises SMBError with the status of `abort` when that comes first.
        """
        self.go_async()
        if self.open is not None:
            self.open.waiting.add(self)
        try:
            return await self.may_end(future)
        finally:
            if self.open is not None:
                self.open.waiting.discard(self)

    async def may_end(self, future: asyncio.Future[int]) -> int:
        """Waits for *future*, which must be this request's alone. SMBError with the status of `abort`, if that comes
        first or has come before."""
        if self.aborted:
            raise SMBError(self.aborted)
        self.awaited = future
        try:
            return await future
        finally:
            self.awaited = None

    def abort(self, status: int) -> None:
        """Ends the current wait, or the next one: the client gets *status*. Other work of the request goes on."""
        self.aborted = self.aborted or status
        if self.awaited is not None and not self.awaited.done():
            self.awaited.set_exception(SMBError(status))
