"""Processes one message: split it, run the elements in order, respond; waits become tasks ([MS-SMB2] 3.3.5.2)."""

from __future__ import annotations

import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NoReturn

from frevo.aio.acting import act_as
from frevo.errors import RemoteProtocolError, SMBError, WireError, ntstatus_of
from frevo.server.core.request import Buffer, Chain, Request
from frevo.server.core.server import EMPTY_ERROR
from frevo.server.core.state import Connection
from frevo.server.dispatch import execute
from frevo.server.handlers.negotiate import handle_smb1
from frevo.server.lifecycle import drop_connection
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, ErrorResponse, Header, HeaderFlags, split_compound
from frevo.wire.smb2.error import ERROR_ID_DEFAULT, ErrorContext, pack_error_contexts

if TYPE_CHECKING:
    from frevo.server.core.server import Server

log = logging.getLogger("frevo.server")

_RESPONSE = int(HeaderFlags.SERVER_TO_REDIR)
_NEGOTIATE = int(Command.NEGOTIATE)
_SMB1 = 0xFF  # first byte of an SMB1 message
#: Errors that a peer can cause, and that end its connection.
_PEER_ERRORS = (RemoteProtocolError, WireError, SMBError)


def receive(server: Server, connection: Connection, event: tuple[Any, ...]) -> None:
    """Processes a message from the transport (frevo.transport.base)."""
    _, _, encrypted_session, _, message, bad, unverified = event
    try:
        if message[0] == _SMB1:
            server.send_chain_raw(connection, 0, handle_smb1(server, connection, message))
        else:
            ReceivedMessage(server, connection, message, encrypted_session, bad, unverified).run()
    except _PEER_ERRORS as error:
        _disconnect(server, connection, error)


def _process(server: Server, connection: Connection, action: Callable[[], None]) -> None:
    """Runs *action*; a protocol error of the peer ends its connection only."""
    try:
        action()
    except _PEER_ERRORS as error:
        _disconnect(server, connection, error)


def _disconnect(server: Server, connection: Connection, error: Exception) -> None:
    """Ends the connection of a peer that violated the protocol."""
    log.info("%s: %s", connection.peer, error)
    drop_connection(server, connection)


class ReceivedMessage:
    """A received message that is being processed: its elements and its progress."""

    __slots__ = ("bad", "chain", "connection", "elements", "server", "unverified")

    def __init__(
        self,
        server: Server,
        connection: Connection,
        message: Buffer,
        encrypted_session: int,
        bad: int,
        unverified: int,
    ) -> None:
        self.server = server
        self.connection = connection
        self.elements: list[Any] = [message] if not _has_next(message) else split_compound(message)
        self.chain = Chain(len(self.elements), encrypted_session)
        self.bad = bad
        self.unverified = unverified

    def run(self, index: int = 0) -> None:
        """Runs the elements from *index* on until one waits or all are answered; then sends the responses."""
        chain, count = self.chain, len(self.elements)
        piece = self.server.turns.slice() if count > 1 else None
        while index < count:
            message = self.elements[index]
            header = Header.parse(message)
            if header.flags & _RESPONSE:
                raise RemoteProtocolError("received a response")
            request = Request(
                self.server, self.connection, header, message, chain,
                last=index + 1 == count, encrypted=chain.encrypted_session != 0,
            )  # fmt: skip
            try:
                if (header.command == _NEGOTIATE) is (self.connection.dialect is not None):
                    self._refuse_order(header.command)
                outcome = execute(
                    request,
                    signature_bad=bool(self.bad >> index & 1),
                    unverified=bool(self.unverified >> index & 1),
                )
                chain.started = True
                if outcome is not None and not isinstance(outcome, bytes):
                    waiting = start(outcome, request)
                    if not isinstance(waiting, bytes):
                        self._wait(request, waiting, index)
                        return
                    outcome = waiting
            except Exception as error:
                chain.started = True
                self._fail(request, error)
            else:
                if outcome is not None:
                    chain.responses.append((request.response_header(request.status), outcome))
            index += 1
            if piece is not None and index < count and piece.over():
                self._put_off(index)
                return
        self.server.send_chain(self.connection, chain)

    def _put_off(self, index: int) -> None:
        """Continues with element *index* when it is the user's turn again."""
        server, connection = self.server, self.connection

        def go_on() -> None:
            if not connection.closed:
                _process(server, connection, lambda: self.run(index))

        server.turns.call(connection.party, go_on)

    def _refuse_order(self, command: int) -> NoReturn:
        """NEGOTIATE must come first and only once ([MS-SMB2] 3.3.5.2, 3.3.5.4)."""
        raise RemoteProtocolError(
            "a second negotiate" if command == _NEGOTIATE else "a request before negotiate"
        )

    def _fail(self, request: Request, error: BaseException) -> None:
        answer = fail(request, error)
        if request.header.command == Command.CANCEL:
            return
        if request.header.command == Command.CREATE:
            self.chain.create_failed = answer[0].status
        self.chain.responses.append(answer)

    def _wait(self, request: Request, outcome: Awaitable[bytes], index: int) -> None:
        connection = self.connection
        connection.waiting[request.header.message_id] = request
        request.task = self.server.loop.create_task(self._finish(request, outcome, index))

    async def _finish(self, request: Request, outcome: Awaitable[bytes], index: int) -> None:
        """Waits for the handler, responds, and continues with the rest of the compound. Never cancelled."""
        server, connection, chain = self.server, self.connection, self.chain
        try:
            body = await outcome
        except RemoteProtocolError as error:
            connection.waiting.pop(request.header.message_id, None)
            if request.async_id:
                server.budgets.waiting.give(request.session.user)
            _disconnect(server, connection, error)
            return
        except Exception as error:
            answer = fail(request, error)
        else:
            answer = request.response_header(request.status), body
        connection.waiting.pop(request.header.message_id, None)
        if request.async_id:
            server.budgets.waiting.give(request.session.user)
        if connection.closed:
            return
        if request.async_id:
            connection.waiting_async.pop(request.async_id, None)
            server.send_async(request, *answer)
            return
        if request.header.command == Command.CREATE and answer[0].status & 0x80000000:
            chain.create_failed = answer[0].status
        chain.responses.append(answer)
        _process(server, connection, lambda: self.run(index + 1))


def _has_next(message: Buffer) -> bool:
    return message[20:24] != b"\0\0\0\0"


def start(outcome: Awaitable[bytes], request: Request) -> bytes | Awaitable[bytes]:
    """Runs a handler's coroutine up to its first real wait without a task, which saves an iteration of the loop for
    those that do not wait.

    After a wait, it runs as the user of *request* on disk again; and in the lane of its tree, if there is one by then.
    """
    if not isinstance(outcome, Coroutine):
        return outcome
    try:
        yielded = outcome.send(None)
    except StopIteration as stop:
        result: bytes = stop.value
        return result
    return _resume(outcome, yielded, request)


@types.coroutine
def _resume(
    coroutine: Coroutine[Any, Any, bytes], yielded: Any, request: Request
) -> Generator[Any, Any, bytes]:
    """Continues a coroutine that has already been started, and passes on its futures."""
    acting = request.tree.acting if request.tree is not None else None
    while True:
        try:
            value = yield yielded
        except BaseException as error:
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            act_as(acting)
        except OSError as error:
            thrown = error
        if request.inline and request.tree.lane is not None:
            # The tree has moved to a lane meanwhile: what is left takes turns with the handlers there.
            coroutine, value, thrown = request.tree.lane.go_on(coroutine, value, thrown), None, None
            request.inline = False
        try:
            yielded = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
        except StopIteration as stop:
            result: bytes = stop.value
            return result


def fail(request: Request, error: BaseException) -> tuple[Header, bytes]:
    """The ERROR response for an exception of a handler ([MS-SMB2] 2.2.2); RemoteProtocolError is raised again."""
    body = EMPTY_ERROR
    if isinstance(error, SMBError):
        status: int = error.status
        if error.error_data:
            body = _error_body(request, error.error_data)
    elif isinstance(error, WireError):
        status = NTStatus.INVALID_PARAMETER
    elif isinstance(error, OSError):
        status = ntstatus_of(error)
    elif isinstance(error, RemoteProtocolError):
        raise error
    else:
        log.error("internal error in command %d", request.header.command, exc_info=error)
        status = NTStatus.INTERNAL_ERROR
    if log.isEnabledFor(logging.DEBUG):
        name = NTStatus(status).name
        log.debug(
            "%s: %s: %s", Command(request.header.command).name, name, error if str(error) != name else ""
        )
    return request.response_header(status), body


def _error_body(request: Request, data: bytes) -> bytes:
    """ErrorData, wrapped in an error context for 3.1.1 ([MS-SMB2] 2.2.2)."""
    dialect = request.connection.dialect
    if dialect is not None and dialect.contexts:
        return ErrorResponse(pack_error_contexts([ErrorContext(ERROR_ID_DEFAULT, data)]), 1).pack()
    return ErrorResponse(data).pack()
