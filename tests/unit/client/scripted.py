"""The client's real `Tree` on a connection that is only a function: a test says how the server answers.

`answer(command, message)` gets each request with a header in front and returns the status, the body or both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from frevo.client.connection.messages import Element, Pending, Protection, Reply
from frevo.client.errors import PeerFault, RemoteError, fault
from frevo.client.lasting.tree import LastingTree
from frevo.client.tree.tree import Tree
from frevo.wire.smb2 import CloseRequest, Command, CreateRequest, CreateResponse, QueryInfoResponse

HEADER = bytes(64)
OPENED = (11, 22)
Answer = Callable[[Command, bytes], "int | bytes | tuple[int, bytes]"]


class ScriptedConnection:
    """Answers at once, keeps what was sent, and notes which opens were closed without waiting."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.server = "server"
        self.lost = False
        self.multi_credit = True
        self.credits_held = 512
        self.compound_max = 100
        self.negotiated = SimpleNamespace(max_transact=1 << 20, max_read=1 << 20, max_write=1 << 20)
        self.plane = SimpleNamespace(
            settled=self._settled, transport=SimpleNamespace(flush=lambda: None), inherited=False
        )
        self.sent: list[tuple[Command, bytes]] = []
        self.elements: list[Element] = []
        self.closed: list[tuple[int, int]] = []
        self.abandoned: list[Pending] = []
        self.settled = 0
        self.faults: list[str] = []
        self.posted: list[Pending] = []
        self.hold_posts = False  # answers to `send` come when a test gives them

    async def _settled(self, server: str) -> None:
        assert server == self.server
        self.settled += 1

    def largest(self, limit: int) -> int:
        return limit

    def charge_of(self, size: int) -> int:
        return max(1, -(-size // 65536))

    def commands(self) -> list[Command]:
        return [command for command, _ in self.sent]

    def creates(self) -> list[CreateRequest]:
        return [CreateRequest.parse(message) for command, message in self.sent if command == Command.CREATE]

    def _reply(self, element: Element) -> Reply:
        message = HEADER + element.body + bytes(element.tail or b"")
        command = Command(element.command)
        self.sent.append((command, message))
        self.elements.append(element)
        said = self.answer(command, message)
        status, body = (
            said if isinstance(said, tuple) else (said, b"") if isinstance(said, int) else (0, said)
        )
        return Reply(int(status), HEADER + body)

    async def exchange(
        self, element: Element, protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> Reply:
        await asyncio.sleep(0)
        return self._reply(element)

    async def call(
        self, elements: Sequence[Element], protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> list[Reply]:
        await asyncio.sleep(0)
        replies: list[Reply] = []
        for element in elements:  # as a server does with related requests: after a failed CREATE all fail
            failed = replies and element.command != Command.CREATE and replies[0].status
            replies.append(replies[0] if failed and not replies[0].message[64:] else self._reply(element))
        return replies

    async def reserve(self, charge: int) -> None:
        await asyncio.sleep(0)

    def send(
        self, elements: Sequence[Element], protection: Protection, tree_id: int = 0, *, encrypt: bool = False
    ) -> list[Pending]:
        made = []
        for element in elements:
            future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            pending = Pending(
                future, len(self.posted), 1, protection, encrypt, element.command, element.patient
            )
            if not self.hold_posts:
                try:
                    future.set_result(self._reply(element))
                except RemoteError as error:
                    future.set_exception(error)
            self.posted.append(pending)
            made.append(pending)
        return made

    def send_unawaited(self, command: int, body: bytes, *_: Any) -> bool:
        assert command == Command.CLOSE
        self.closed.append(CloseRequest.parse(HEADER + body).file_id)
        return True

    def abandon(self, pending: Sequence[Pending]) -> None:
        self.abandoned += pending

    def peer_fault(self, error: Exception) -> PeerFault:
        self.faults.append(str(error))
        return fault(str(error))


def scripted(answer: Answer, name: str = "share") -> tuple[Tree, ScriptedConnection]:
    """A tree whose server answers like *answer*, and its connection."""
    connection = ScriptedConnection(answer)
    session = cast(Any, SimpleNamespace(protection=Protection(7)))
    return Tree(cast(Any, connection), session, name, False), connection


def lasting(tree: Tree, patience_s: float = 0.0) -> LastingTree:
    """*tree* as shares have it; without patience it is not connected again."""
    return LastingTree(
        cast(Any, SimpleNamespace(patience_s=patience_s, connections=1, before_end=set())), tree
    )


def opened(size: int = 0, file_id: tuple[int, int] = OPENED, **fields: Any) -> bytes:
    """The body of a CREATE response."""
    return CreateResponse(file_id=file_id, end_of_file=size, **fields).pack()


def queried(data: bytes) -> bytes:
    """The body of a QUERY_INFO response."""
    return QueryInfoResponse(data).pack()
