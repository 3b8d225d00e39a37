"""A connected share on the wire: requests with its IDs and protection, errors as exceptions ([MS-SMB2] 3.2.4.2.4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from frevo.client.connection.connection import Connection
from frevo.client.connection.logon import Handshake, Session
from frevo.client.connection.messages import Element, FileId, Pending, Protection, Reply
from frevo.client.errors import ConnectionLost, PeerFault, RemoteError, remote_error
from frevo.client.tree.steps import in_steps
from frevo.errors import RemoteProtocolError
from frevo.proto.dialect import Cipher
from frevo.proto.offer import check_validation, validation
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    Command,
    CreateDisposition,
    CreateRequest,
    CreateResponse,
    IoctlRequest,
    IoctlResponse,
    ShareFlags,
    TreeConnectRequest,
    TreeConnectResponse,
    TreeDisconnectRequest,
    ValidateNegotiateInfoResponse,
)

#: Twice as many as our largest compound needs: with fewer credits, it could wait for some that never come.
_FEW = 8
_FORBIDDEN_NAME = (
    "the server does not allow files with this name (for example because of Samba's `veto files`)"
)
_MAY_NEED_ENCRYPTION = (
    "access denied: this user may not use the share, or it requires encryption, which this connection lacks"
)
#: Seconds that closes under way may take before their share is disconnected.
_CLOSING_S = 2.0
#: Statuses of responses with data; for queries they are no error.
_WITH_DATA = (NTStatus.SUCCESS, NTStatus.BUFFER_OVERFLOW)


def create_error(status: int, path: str, request: CreateRequest) -> RemoteError:
    """The exception for a CREATE *request* that failed with *status*."""
    makes = request.create_disposition not in (CreateDisposition.OPEN, CreateDisposition.OVERWRITE)
    forbidden = makes and status == NTStatus.OBJECT_NAME_NOT_FOUND
    return remote_error(status, path, sentence=_FORBIDDEN_NAME if forbidden else "")


class Tree:
    """One share of one session."""

    def __init__(self, connection: Connection, session: Session, name: str, encrypt: bool) -> None:
        self.connection = connection
        self.session = session
        self.name = name
        self.encrypt = encrypt
        self.id = 0
        self.info = TreeConnectResponse()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def max_transact(self) -> int:
        """The largest buffer of a query or listing."""
        assert self.connection.negotiated is not None
        return self.connection.largest(self.connection.negotiated.max_transact)

    async def call(self, elements: Sequence[Element]) -> list[Reply]:
        """The responses to one compound, whatever their status; sent one by one if there are few credits, or if it is
        longer than the transport takes."""
        connection = self.connection
        count = len(elements)
        if count > connection.compound_max or (count > 1 and connection.credits_held < _FEW):
            return await in_steps(elements, self._exchange, self.close_later)
        return await connection.call(elements, self.session.protection, self.id, encrypt=self.encrypt)

    async def _exchange(self, element: Element) -> Reply:
        return await self.connection.exchange(element, self.session.protection, self.id, encrypt=self.encrypt)

    async def one(self, element: Element, path: str | None = None, *, allow: Iterable[int] = ()) -> Reply:
        """The response to one request; an exception for a status that is neither success nor in *allow*."""
        protection = self.session.protection
        reply = await self.connection.exchange(element, protection, self.id, encrypt=self.encrypt)
        if reply.status != NTStatus.SUCCESS and reply.status not in allow:
            raise remote_error(reply.status, path)
        return reply

    async def post(self, element: Element) -> Pending:
        """Sends as soon as there are credits; the caller collects the response or abandons the request."""
        await self.connection.reserve(element.charge)
        return self.connection.send([element], self.session.protection, self.id, encrypt=self.encrypt)[0]

    # -- opens

    async def create(self, request: CreateRequest, path: str) -> CreateResponse:
        """Opens a file or directory. If the call is cancelled, what it has opened is closed."""
        element = Element(Command.CREATE, request.pack(), on_abandoned=self.close_abandoned)
        protection = self.session.protection
        reply = await self.connection.exchange(element, protection, self.id, encrypt=self.encrypt)
        if reply.status != NTStatus.SUCCESS:
            raise create_error(reply.status, path, request)
        return CreateResponse.parse(reply.message)

    def close_abandoned(self, reply: Reply) -> None:
        """Closes what an abandoned CREATE with the response *reply* has opened; the `on_abandoned` of an element."""
        if reply.status == NTStatus.SUCCESS:
            self.close_later(CreateResponse.parse(reply.message).file_id)

    def close_unawaited(self, file_id: FileId) -> bool:
        """Sends a CLOSE without waiting for its response; False if that is not possible now."""
        body = CloseRequest(0, file_id).pack()
        return self.connection.send_unawaited(
            Command.CLOSE, body, self.session.protection, self.id, self.encrypt
        )

    def close_later(self, file_id: FileId) -> None:
        """Sends a CLOSE without waiting for its response, as soon as there is a credit."""
        if self.close_unawaited(file_id):
            return
        task = asyncio.get_running_loop().create_task(self._close_quietly(file_id))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_quietly(self, file_id: FileId) -> None:
        with contextlib.suppress(OSError):
            await self.close(file_id)

    async def close(self, file_id: FileId) -> None:
        """CLOSE; raises errors that the server reports, such as a failed late write."""
        await self.one(Element(Command.CLOSE, CloseRequest(0, file_id).pack()))

    async def with_open(
        self, request: CreateRequest, path: str, *middle: Element, allow: Iterable[int] = ()
    ) -> tuple[CreateResponse, list[Reply]]:
        """CREATE, *middle* on what it has opened, and CLOSE, in one compound and one round trip.

        The elements of *middle* have ANY_FILE_ID as their FileId.
        """
        elements = [
            Element(Command.CREATE, request.pack()),
            *middle,
            Element(Command.CLOSE, CloseRequest(0, ANY_FILE_ID).pack()),
        ]
        replies = await self.call(elements)
        if replies[0].status != NTStatus.SUCCESS:
            raise create_error(replies[0].status, path, request)
        for reply in replies[1:-1]:
            if reply.status not in _WITH_DATA and reply.status not in allow:
                raise remote_error(reply.status, path)
        if replies[-1].status != NTStatus.SUCCESS:
            raise remote_error(replies[-1].status, path)
        return CreateResponse.parse(replies[0].message), replies[1:-1]

    # -- controls

    async def ioctl(
        self, code: int, data: bytes, size: int, file_id: FileId = ANY_FILE_ID, path: str | None = None
    ) -> IoctlResponse:
        """An FSCTL with up to *size* bytes of output."""
        body = IoctlRequest(int(code), file_id, data, 0, size).pack()
        element = Element(Command.IOCTL, body, self.connection.charge_of(max(len(data), size)))
        reply = await self.one(element, path, allow=(NTStatus.BUFFER_OVERFLOW,))
        return IoctlResponse.parse(reply.message)

    async def settled(self) -> None:
        """Waits until the server has closed everything closed before this call, for operations that an open file
        blocks. Other connections of this event loop count too, as a share may have several, and on one connection a
        server may overtake a CLOSE."""
        if self._closing:
            await asyncio.wait(self._closing)
        await self.connection.plane.settled(self.connection.server)

    async def disconnect(self) -> None:
        """TREE_DISCONNECT, after the closes under way; whatever is still open by then, the server closes. A server that
        answers neither is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self.settled()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self.one(Element(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack()))


async def connect_tree(
    connection: Connection, session: Session, handshake: Handshake, share: str, *, encrypt: bool = False
) -> Tree:
    """TREE_CONNECT, and before 3.1.1 the check that the negotiation was not changed in transit."""
    negotiated = connection.negotiated
    assert negotiated is not None
    tree = Tree(connection, session, share, encrypt)
    protection = session.protection
    if protection.keys is not None and not protection.encrypt:  # [MS-SMB2] 3.2.4.1.1: always signed on 3.1.1
        protection = replace(protection, sign=True)
    body = TreeConnectRequest(f"\\\\{connection.server}\\{share}").pack()
    (reply,) = await connection.call([Element(Command.TREE_CONNECT, body)], protection)
    if reply.status != NTStatus.SUCCESS:
        in_the_clear = session.protection.keys is None or negotiated.cipher is Cipher.NONE
        perhaps = _MAY_NEED_ENCRYPTION if in_the_clear and reply.status == NTStatus.ACCESS_DENIED else ""
        raise remote_error(reply.status, f"//{connection.server}/{share}", sentence=perhaps)
    tree.id, tree.info = reply.header.tree_id, TreeConnectResponse.parse(reply.message)
    if tree.info.share_flags & ShareFlags.ENCRYPT_DATA and negotiated.cipher is not Cipher.NONE:
        tree.encrypt = True
    if not negotiated.dialect.contexts and protection.keys is not None:
        await _validate(tree, handshake, protection)
    return tree


async def _validate(tree: Tree, handshake: Handshake, protection: Protection) -> None:
    """FSCTL_VALIDATE_NEGOTIATE_INFO, signed ([MS-SMB2] 3.2.5.5). Servers before 3.0 refuse it, signed too."""
    question = validation(handshake.request).pack()
    body = IoctlRequest(int(FsctlCode.VALIDATE_NEGOTIATE_INFO), ANY_FILE_ID, question, 0, 24).pack()
    element = Element(Command.IOCTL, body)
    try:
        (reply,) = await tree.connection.call([element], protection, tree.id, encrypt=tree.encrypt)
    except ConnectionLost as error:  # a server does this when the values differ ([MS-SMB2] 3.3.5.15.12)
        if not isinstance(error, PeerFault):
            error.strerror = f"{error.strerror} instead of a confirmed negotiation (downgrade attack?)"
        raise
    if reply.status == NTStatus.SUCCESS:
        answer = IoctlResponse.parse(reply.message).output_buffer
        check_validation(handshake.response, ValidateNegotiateInfoResponse.parse(answer))
    elif reply.status == NTStatus.ACCESS_DENIED:
        raise RemoteProtocolError("the server did not confirm the negotiation (downgrade attack?)")
