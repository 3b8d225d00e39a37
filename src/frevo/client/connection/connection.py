"""One connection of a client: message IDs, credits, requests as futures, and the checks of responses.

[MS-SMB2] 3.2.4.1 and 3.2.5.1. The data plane frames, signs, encrypts and verifies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from frevo.client.connection.messages import Buffer, Element, Pending, Protection, Reply, protection_fault
from frevo.client.connection.plane import Plane
from frevo.client.connection.unawaited import UNAWAITED_MAX, Unawaited
from frevo.client.errors import ConnectionLost, PeerFault, fault, lost
from frevo.errors import FrevoError, WireError
from frevo.proto.negotiation import Negotiated
from frevo.transport.base import ENCRYPT, ENCRYPTED, Event, Secured
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CREDIT_BYTES,
    CancelRequest,
    Command,
    Header,
    HeaderFlags,
    ReadResponse,
    ResponseFields,
    pack_request_header,
    response_fields,
    split_compound,
)

#: The number of credits that a connection requests; each covers 64 KiB.
CREDITS_WANTED = 1024
_CREDITS_EXTRA = 128
#: With no more requests under way than this, a request is sent at once: others to send with it are unlikely.
_FEW = 3
_SIGNED = int(HeaderFlags.SIGNED)
_ASYNC = int(HeaderFlags.ASYNC_COMMAND)
_RELATED = int(HeaderFlags.RELATED_OPERATIONS)
_SERVER = int(HeaderFlags.SERVER_TO_REDIR)
_UNSOLICITED = 0xFFFFFFFFFFFFFFFF
_PENDING = int(NTStatus.PENDING)
_SESSION_DELETED = int(NTStatus.USER_SESSION_DELETED)


class RunningPump(Protocol):
    """A request loop of the data plane on this connection."""

    @property
    def progress(self) -> object:
        """Changes with every response."""

    def on_end(self, reason: str, code: int, offset: int) -> None:
        """Called when the data plane has released everything."""


class Connection:
    """Sends requests as credits allow and gives each its response."""

    def __init__(self, plane: Plane, server: str) -> None:
        self.plane = plane
        self.server = server
        self.number = 0
        self.negotiated: Negotiated | None = None
        self.secured: Secured | None = None  # what the handshake of a transport with TLS came to
        self.multi_credit = False
        self.inline_max = 1 << 24  # bytes of data that one message of its transport carries
        self.compound_max = 1 << 24  # requests that one message may have
        self.credits = plane.transport.new_credits()
        self.pumps: dict[int, RunningPump] = {}
        self.unawaited = Unawaited()
        self._pending: dict[int, Pending] = {}
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._error: ConnectionLost | None = None
        self._closing = False
        self._messages = 0
        self._when_lost: list[Callable[[], None]] = []
        self.last_sent: Buffer | Sequence[Buffer] = b""  # for the preauth hash
        self._loop = asyncio.get_running_loop()
        self.closed = self._loop.create_future()

    # -- state

    @property
    def credits_held(self) -> int:
        """Credits that are free or in use: how far requests can be pipelined."""
        return self.credits.total

    @property
    def lost(self) -> bool:
        """The connection has ended."""
        return self._error is not None

    @property
    def busy(self) -> bool:
        """Whether anything waits for responses, credits or the end of a pump."""
        return bool(self._pending or self._waiting or self.pumps) or self.credits.free != self.credits.total

    def due(self) -> dict[int, object]:
        """What should make progress: each pump with its progress, and as -1 the oldest request whose answer is due."""
        found: dict[int, object] = {number: pump.progress for number, pump in self.pumps.items()}
        oldest = next((one.message_id for one in self._pending.values() if not one.patient), None)
        return found if oldest is None else {**found, -1: oldest}

    @property
    def signs_of_life(self) -> tuple[int, int]:
        """Changes with every response; while pumps run, whose responses do not arrive here, with the credits in use."""
        return self._messages, self.credits.free

    def when_lost(self, call: Callable[[], None]) -> None:
        """*call* is called once, when the connection ends."""
        self._when_lost.append(call)

    def charge_of(self, size: int) -> int:
        """CreditCharge of a request that moves *size* bytes ([MS-SMB2] 3.2.4.1.5)."""
        if size <= CREDIT_BYTES or not self.multi_credit:
            return 1
        return max(1, -(-size // CREDIT_BYTES))

    def largest(self, limit: int) -> int:
        """The largest payload of one request, no more than *limit*: half of the credits must stay for others."""
        if not self.multi_credit:
            return min(limit, CREDIT_BYTES)
        return min(limit, self.inline_max, max(1, self.credits_held // 2) * CREDIT_BYTES)

    @property
    def verified(self) -> bool:
        """The transport's handshake has proved who the server is."""
        return self.secured is not None and self.secured.verified

    @property
    def smb_direct(self) -> dict[str, Any] | None:
        """The state of SMB Direct (`Transport.smb_direct`), at most a second old; None over another transport."""
        return self.plane.transport.smb_direct(self.number)

    @property
    def transport_security(self) -> bool:
        """The transport encrypts, and both sides have agreed that this is enough."""
        return self.negotiated is not None and self.negotiated.transport_security

    # -- requests

    async def reserve(self, charge: int) -> None:
        """Waits for *charge* credits; the caller sends before it awaits anything else."""
        if self._error is not None:
            raise self._renewed_error(unsent=True)
        if not self._waiting and self.credits.reserve(charge):
            return
        ready = self._loop.create_future()
        self._waiting.append((charge, ready))
        self._wake()
        self._starved()
        try:
            await ready
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove((charge, ready))
            self._wake()
        if self._error is not None:
            raise self._renewed_error(unsent=True)
        if not self.credits.reserve(charge):  # another task took them
            await self.reserve(charge)

    def send(
        self, elements: Sequence[Element], protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> list[Pending]:
        """Sends one request or a compound of related ones, whose credits were reserved."""
        encrypt = encrypt or protection.encrypt
        parts: list[Buffer] = []
        made: list[Pending] = []
        last = len(elements) - 1
        message_id = self.credits.take(sum(element.charge for element in elements))
        for index, element in enumerate(elements):
            size = 64 + len(element.body)
            padding = 0 if index == last else -size % 8
            pending, header = self._registered(
                element, message_id, protection, tree_id, encrypt, _RELATED if index else 0,
                0 if index == last else size + padding,
            )  # fmt: skip
            message_id += element.charge
            made.append(pending)
            parts.append(header + element.body + bytes(padding) if padding else header + element.body)
            if element.tail is not None:
                parts.append(element.tail)
        self._submit(parts[0] if len(parts) == 1 else tuple(parts), protection, encrypt)
        return made

    def send_one(self, element: Element, protection: Protection, tree_id: int, encrypt: bool) -> Pending:
        """`send` for a single request, the usual case."""
        encrypt = encrypt or protection.encrypt
        message_id = self.credits.take(element.charge)
        pending, header = self._registered(element, message_id, protection, tree_id, encrypt, 0, 0)
        message = header + element.body
        self._submit(message if element.tail is None else (message, element.tail), protection, encrypt)
        return pending

    def send_unawaited(
        self, command: int, body: bytes, protection: Protection, tree_id: int, encrypt: bool
    ) -> bool:
        """Sends a request without waiting for its response, after everything else in this turn of the loop.

        False if there is no credit or too many are under way. Does nothing on a connection that has ended.
        """
        if self._error is not None:
            return True
        unawaited = self.unawaited
        if self._waiting or len(unawaited.under_way) >= UNAWAITED_MAX or not self.credits.reserve(1):
            return False
        message_id = self.credits.take(1)
        unawaited.under_way.add(message_id)
        encrypt = encrypt or protection.encrypt
        element = Element(
            command, body, on_abandoned=partial(unawaited.answered, message_id), future=unawaited.future
        )
        _, header = self._registered(element, message_id, protection, tree_id, encrypt, 0, 0)
        flags = ENCRYPT if encrypt else 0
        self.plane.transport.submit_last(self.number, protection.session_id, flags, header + body)
        return True

    def _registered(
        self, element: Element, message_id: int, protection: Protection, tree_id: int, encrypt: bool, flags: int,
        following: int,
    ) -> tuple[Pending, bytes]:  # fmt: skip
        """Registers the request as waiting for a response; also returns its header."""
        charge = element.charge
        future = element.future or self._loop.create_future()
        pending = Pending(
            future, message_id, charge, protection, encrypt, element.command, element.patient, 0, element.sink,
            element.on_abandoned,
        )  # fmt: skip
        self._pending[message_id] = pending
        header = pack_request_header(
            element.command,
            message_id,
            tree_id,
            protection.session_id,
            charge if self.multi_credit else 0,
            charge + (_CREDITS_EXTRA if self.credits.total < CREDITS_WANTED else 0),
            flags | _SIGNED if protection.sign and not encrypt else flags,
            following,
        )
        return pending, header

    def _submit(self, message: Buffer | Sequence[Buffer], protection: Protection, encrypt: bool) -> None:
        """Sends with the rest of this turn of the loop, or at once if hardly anything is under way."""
        self.last_sent = message
        send = self.plane.transport.submit if len(self._pending) > _FEW else self.plane.transport.submit_now
        send(self.number, protection.session_id, ENCRYPT if encrypt else 0, message)

    async def call(
        self, elements: Sequence[Element], protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> list[Reply]:
        """Sends and waits for all responses. If it is cancelled, so are its requests."""
        await self.reserve(sum(element.charge for element in elements))
        pending = self.send(elements, protection, tree_id, encrypt=encrypt)
        return await self.collect(pending)

    async def exchange(
        self, element: Element, protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> Reply:
        """`call` for one request."""
        if self._waiting or self._error is not None or not self.credits.reserve(element.charge):
            await self.reserve(element.charge)
        pending = self.send_one(element, protection, tree_id, encrypt)
        try:
            return await pending.future
        except BaseException:
            self.abandon((pending,))
            raise

    def begin(
        self, element: Element, protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> asyncio.Future[Reply] | None:
        """Sends one request without waiting for credits. Returns its future, or None without credits or a connection.

        Cancelling the future discards the response; *element* must not have a sink.
        """
        if self._waiting or self._error is not None or not self.credits.reserve(element.charge):
            return None
        return self.send_one(element, protection, tree_id, encrypt).future

    async def collect(self, pending: Sequence[Pending]) -> list[Reply]:
        """The responses of *pending*. If this is cancelled or a response cannot come, all are abandoned."""
        try:
            return [await one.future for one in pending]
        except BaseException:
            self.abandon(pending)
            raise

    def abandon(self, pending: Sequence[Pending]) -> None:
        """Gives up requests: their buffers are released now, and the server is asked to cancel them."""
        for one in pending:
            if one.abandoned or one.message_id not in self._pending:
                if one.future.done() and not one.abandoned and one.on_abandoned is not None:
                    self._answer_abandoned(one)
                continue
            one.abandoned = True
            one.release_sink()
            one.future.cancel()
            if self._error is None:
                self._cancel(one)

    def _answer_abandoned(self, pending: Pending) -> None:
        """Undoes the effect of an abandoned request that succeeded."""
        future = pending.future
        if not future.cancelled() and future.exception() is None and pending.on_abandoned is not None:
            try:
                pending.on_abandoned(future.result())
            except WireError as error:
                self.fail(f"the server sent a malformed message ({error})")

    def _cancel(self, pending: Pending) -> None:
        """[MS-SMB2] 3.2.4.24:

        CANCEL has the ID of its request and costs no credit. Only one per request: with AES-GMAC, two signed ones, with
        and without an async ID, reveal the key.
        """
        header = Header(
            command=Command.CANCEL,
            message_id=pending.message_id,
            async_id=pending.async_id,
            flags=(_ASYNC if pending.async_id else 0)
            | (_SIGNED if pending.protection.sign and not pending.encrypted else 0),
            session_id=pending.protection.session_id,
        )
        message = header.pack() + CancelRequest().pack()
        flags = ENCRYPT if pending.encrypted else 0
        self.plane.transport.submit(self.number, pending.protection.session_id, flags, message)

    # -- responses

    def on_message(self, event: Event) -> None:
        """Takes one message of the server: one response or a compound of them."""
        _, _, session_id, flags, message, bad, unverified = event
        self._messages += 1
        encrypted_by = session_id if flags & ENCRYPTED else None
        try:
            fields = response_fields(message)
            if not fields.next_command:
                self._answer(fields, message, encrypted_by, bad, unverified)
                return
            for index, element in enumerate(split_compound(message)):
                bit = 1 << index
                self._answer(response_fields(element), element, encrypted_by, bad & bit, unverified & bit)
        except WireError as error:
            self.fail(f"the server sent a malformed message ({error})")

    def _answer(
        self, fields: ResponseFields, message: Buffer, encrypted_by: int | None, bad: int, unverified: int
    ) -> None:
        _, _, status, command, _, flags, _, message_id, async_id = fields
        if not flags & _SERVER:
            raise WireError("a request instead of a response")
        if message_id == _UNSOLICITED:  # an oplock break; frevo never asks for oplocks
            return
        pending = self._pending.get(message_id)
        if pending is None:
            raise WireError(f"a response to message {message_id}, which was never sent")
        interim = status == _PENDING and bool(flags & _ASYNC)
        if command != pending.command:
            raise WireError(
                f"a response to command {command} for message {message_id}, which was {pending.command}"
            )
        complaint = protection_fault(pending, command, flags, encrypted_by, bad, unverified, interim)
        if complaint:
            if (
                status == _SESSION_DELETED and not bad
            ):  # without a session it cannot sign; like a lost connection, not a protocol error
                self.fail("the server ended the session", ConnectionLost)
            else:
                self.fail(complaint)
            return
        if interim:
            pending.async_id = async_id
        else:
            self._finish(pending, Reply(status, message))
            # Only now, so that a malformed response fails this request, too.
            del self._pending[message_id]
            self.credits.settle(pending.charge)
        if self._waiting:
            self._wake()
            self._starved()

    def _finish(self, pending: Pending, reply: Reply) -> None:
        if pending.future.done():
            if pending.on_abandoned is not None:
                pending.on_abandoned(reply)
            return
        if pending.sink is not None and reply.status == 0:
            data = ReadResponse.parse(reply.message).data
            if len(data) > len(pending.sink):
                raise WireError(f"{len(data)} bytes of data for a read of {len(pending.sink)}")
            pending.sink[: len(data)] = data
            pending.release_sink()
            reply = Reply(0, b"", len(data))
        pending.future.set_result(reply)

    def on_credits(self) -> None:
        """The credits that the first waiter needs are there."""
        self._wake()

    def on_pump_ended(self, pump: int, reason: str, code: int, offset: int) -> None:
        """A pump of this connection has ended and released everything."""
        ended = self.pumps.pop(pump, None)
        if ended is not None:
            ended.on_end(reason, code, offset)
        self._starved()

    def _wake(self) -> None:
        """Wakes waiters for credits, in order, as far as the credits suffice."""
        self.credits.want(self._waiting[0][0] if self._waiting else 0)
        free = self.credits.free
        for charge, ready in self._waiting:
            if charge > free:
                return
            free -= charge
            if not ready.done():
                ready.set_result(None)

    def _starved(self) -> None:
        """Ends the connection if credits are needed but nothing is under way that could bring any."""
        if self._waiting and self._error is None and not self._pending and not self.pumps:
            charge, free, total = self._waiting[0][0], self.credits.free, self.credits.total
            if charge > free == total:
                self.fail(f"the server granted {free} credits, but {charge} are needed")

    # -- the end

    def on_closed(self, reason: str) -> None:
        """The data plane reports that the connection has ended."""
        self._end(lost(reason))
        for pump in list(self.pumps):  # those started too late for the data plane to end
            self.on_pump_ended(pump, "lost", 0, 0)
        self.plane.release(self.number)
        if not self.closed.done():
            self.closed.set_result(None)

    def fail(self, reason: str, kind: type[ConnectionLost] = PeerFault) -> None:
        """Ends the connection, usually because the server violated the protocol."""
        self._end(lost(reason, kind))
        self.plane.transport.close(self.number, abort=True)

    def cut(self) -> None:
        """Ends the connection at once, because the user wants no more of it."""
        self.fail("closed by this program", ConnectionLost)

    def peer_fault(self, error: FrevoError) -> PeerFault:
        """Ends the connection because a response is malformed (a WireError) or violates the protocol; returns what to
        raise."""
        malformed = isinstance(error, WireError)
        reason = f"the server sent a malformed message ({error})" if malformed else str(error)
        self.fail(reason)
        return fault(reason)

    def _end(self, error: ConnectionLost) -> None:
        if self._error is not None:
            return
        self._error = error
        for call in self._when_lost:
            call()
        pending, self._pending = list(self._pending.values()), {}
        for one in pending:
            one.release_sink()
            if not one.future.done():
                one.future.set_exception(self._renewed_error())
                one.future.exception()  # marks it as retrieved, as perhaps nothing waits
        for _, ready in self._waiting:
            if not ready.done():
                ready.set_result(None)
        self.unawaited.connection_lost()

    async def why_lost(self) -> ConnectionLost:
        """Waits for the end of the connection and returns its reason."""
        await asyncio.shield(self.closed)
        return self._renewed_error()

    def _renewed_error(self, *, unsent: bool = False) -> ConnectionLost:
        """A new exception for each waiter, so that each has its own traceback."""
        assert self._error is not None
        text = str(self._error.strerror)
        error = (ConnectionLost if unsent else type(self._error))(self._error.errno, text)
        error.ntstatus, error.unsent = self._error.ntstatus, unsent
        return error

    async def close(self, *, abort: bool = False) -> None:
        """Sends what is queued, closes, and waits until the data plane has released the connection."""
        if not self._closing:
            self._closing = True
            self._end(lost("closed by this program"))
            self.plane.transport.close(self.number, abort=abort)
        await asyncio.shield(self.closed)
