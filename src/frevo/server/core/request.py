"""One request in the server: what handlers get, and how they wait and are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.proto.dialect import SMB_3_0
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ANY_FILE_ID, Command, Header, HeaderFlags

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.state import Connection, Open, Session, Tree

Buffer = bytes | memoryview

#: Commands that fail with an old ChannelSequence.
_CHANGES = (Command.WRITE, Command.SET_INFO, Command.IOCTL)

_KEPT_FLAGS = int(HeaderFlags.RELATED_OPERATIONS | HeaderFlags.PRIORITY_MASK | HeaderFlags.DFS_OPERATIONS)
_RESPONSE = int(HeaderFlags.SERVER_TO_REDIR)
_SIGNED = int(HeaderFlags.SIGNED)


class Chain:
    """A compound: what its elements pass on to each other, and its responses so far ([MS-SMB2] 3.3.5.2.7)."""

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
        self.create_failed = 0  # status of a failed CREATE: requests that need its file fail with it, too


class Request:
    """A request with everything that the dispatcher has already checked.

    `session`, `tree` and `open` are set if the command needs them according to the dispatch table. `message` is only
    this element, with its header at position 0. A handler returns the response body, or an awaitable of it.

    A request that waits for another client waits in `wait`, which `abort` ends (CANCEL, logoff, tree disconnect, close,
    lost connection). Everything else runs to its end and is answered with what it has done: a WRITE that is half on
    disk cannot be reported as cancelled ([MS-SMB2] 3.3.5.16).
    """

    __slots__ = (
        "aborted", "async_id", "awaited", "chain", "connection", "encrypted", "header", "inline", "last", "looks",
        "message", "open", "protected", "server", "session", "sign", "status", "task", "tree",
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
        self.protected = False  # encrypted for its session, or signed with a verified signature
        self.session: Session = None  # type: ignore[assignment]  # set by dispatch when the table asks for it
        self.tree: Tree = None  # type: ignore[assignment]
        self.open: Open = None  # type: ignore[assignment]
        #: Status of a successful response (BUFFER_OVERFLOW, NOTIFY_ENUM_DIR, ... have a normal body).
        self.status: int = NTStatus.SUCCESS
        self.sign = False  # sign the response although the request was not signed
        self.async_id = 0
        self.inline = False  # uses its share's files in the event loop
        self.looks = 0  # number of large folders read for it
        self.task: asyncio.Task[None] | None = None
        self.awaited: asyncio.Future[int] | None = None
        self.aborted: int = NTStatus.SUCCESS  # the status of `abort`, which also ends later waits

    def find_open(self, file_id: tuple[int, int]) -> None:
        """Sets `open` from *file_id*, or from the previous request if it is all ones ([MS-SMB2] 3.3.5.2.7.2), and
        verifies the ChannelSequence (3.3.5.2.10)."""
        chain = self.chain
        if file_id == ANY_FILE_ID and self.header.flags & HeaderFlags.RELATED_OPERATIONS:
            if chain.file_id is None:
                raise SMBError(NTStatus.FILE_CLOSED, "no earlier request in this compound has a file")
            file_id = chain.file_id
        opened = self.session.opens.get(file_id[1])
        if opened is None or opened.persistent_id != file_id[0] or opened.tree is not self.tree:
            raise SMBError(NTStatus.FILE_CLOSED, f"file {file_id[0]:#x}:{file_id[1]:#x}")
        self.open = opened
        chain.file_id = opened.file_id
        sequence = self.channel_sequence
        if sequence is not None and not opened.in_sequence(sequence) and self.header.command in _CHANGES:
            raise SMBError(NTStatus.FILE_NOT_AVAILABLE, f"ChannelSequence {sequence} is old")

    @property
    def channel_sequence(self) -> int | None:
        """ChannelSequence; None before SMB 3.0, where requests have none."""
        dialect = self.connection.dialect
        if dialect is None or dialect.revision < SMB_3_0.revision:
            return None
        return self.header.channel_sequence

    def response_header(self, status: int) -> Header:
        """The header of the response. Its credits are those that the client requested; the data plane replaces them
        with what it grants."""
        header = self.header
        flags = _RESPONSE | header.flags & _KEPT_FLAGS
        # Errors found before the session was looked up are signed, too: a client that requires signing drops unsigned
        # responses ([MS-SMB2] 3.3.4.1.1).
        session = self.session or self.connection.sessions.get(header.session_id)
        if session is not None and session.keys is not None and not self.encrypted:
            if self.sign or header.flags & _SIGNED or session.signing_required:
                flags |= _SIGNED
        return Header(
            header.credit_charge, status, header.command, header.credits, flags, 0,
            header.message_id, header.process_id, header.tree_id, 0, header.session_id,
        )  # fmt: skip

    def go_async(self) -> None:
        """Tells the client that the response will come later (STATUS_PENDING, [MS-SMB2] 3.3.4.2).

        Only the last element of a compound can wait; for others INTERNAL_ERROR is raised, as on Windows.
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
        """`go_async` if that is allowed; otherwise does nothing."""
        if self.connection.closed:
            return
        try:
            self.go_async()
        except SMBError:
            pass

    async def wait(self, future: asyncio.Future[int]) -> int:
        """Goes async and waits for *future* on behalf of this request's open, if it has one.

        Raises SMBError with the status of `abort` if that comes first.
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
        """Waits for *future*, which no other request may wait for. SMBError with the status of `abort` if that comes
        first or has already come."""
        if self.aborted:
            raise SMBError(self.aborted)
        self.awaited = future
        try:
            return await future
        finally:
            self.awaited = None

    def abort(self, status: int) -> None:
        """Ends the current wait, or the next one: the client gets *status*. Other work of the request continues."""
        self.aborted = self.aborted or status
        if self.awaited is not None and not self.awaited.done():
            self.awaited.set_exception(SMBError(status))
