"""The list of shares over the srvsvc pipe: frevo's own endpoint answers, whole, in pieces, or wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from unit.client.scripted import OPENED, ScriptedConnection, opened, scripted

from frevo.client.errors import RemoteError
from frevo.client.tree.list_shares import list_shares
from frevo.client.tree.stat import ShareEntry
from frevo.client.tree.tree import Tree
from frevo.dcerpc import RpcContext, ShareInfo, open_pipe, pdu
from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, IoctlRequest, IoctlResponse, ReadResponse


class Pipe:
    """The srvsvc pipe of a server with these shares, which gives *piece* bytes at a time."""

    def __init__(self, *shares: ShareInfo, piece: int = 1 << 16) -> None:
        context = RpcContext("NAS", "GROUP", "server", shares, is_admin=False, now=0)
        self.endpoint: Any = open_pipe("srvsvc", context)
        self.piece = piece

    def answer(self, command: Command, message: bytes) -> Any:
        if command == Command.CREATE:
            return opened()
        if command == Command.IOCTL:
            self.endpoint.write(bytes(IoctlRequest.parse(message).input_buffer))
        data = self.endpoint.read(self.piece) if self.endpoint.readable else b""
        if command == Command.READ:
            return ReadResponse(data).pack()
        return int(NTStatus.BUFFER_OVERFLOW), IoctlResponse(0, output_buffer=data).pack()

    def tree(self) -> tuple[Tree, ScriptedConnection]:
        return scripted(self.answer, "IPC$")


@pytest.mark.parametrize("piece", [1 << 16, 100, 7])
async def test_the_list(piece: int) -> None:
    """Names, kinds and comments, however the pipe cuts its answers; the pipe is closed afterwards."""
    shares = (
        ShareInfo("docs", comment="Grüße"),
        ShareInfo("IPC$", type=0x80000003),
        ShareInfo("laser", type=1),
        ShareInfo("odd", type=9),
    )
    tree, connection = Pipe(*shares, piece=piece).tree()
    assert await list_shares(tree) == [
        ShareEntry("docs", "disk", "Grüße", False),
        ShareEntry("IPC$", "pipe", "", True),
        ShareEntry("laser", "printer", "", False),
        ShareEntry("odd", "other", "", False),
    ]
    assert connection.closed == [OPENED]


async def test_many_shares() -> None:
    """A list of many fragments is put together."""
    tree, _ = Pipe(*(ShareInfo(f"share{number}", comment="c" * 100) for number in range(300))).tree()
    assert [one.name for one in await list_shares(tree)] == [f"share{number}" for number in range(300)]


async def test_no_shares() -> None:
    """An empty list is a list."""
    tree, _ = Pipe().tree()
    assert await list_shares(tree) == []


async def test_a_pipe_that_cannot_be_opened() -> None:
    """The server's error."""
    tree, _ = scripted(lambda command, message: int(NTStatus.ACCESS_DENIED))
    with pytest.raises(PermissionError):
        await list_shares(tree)


def whole(kind: int, body: bytes = b"", flags: int = int(pdu.WHOLE)) -> bytes:
    return pdu.Packet(pdu.PacketType(kind), pdu.PacketFlags(flags), 1, body).pack()


@pytest.mark.parametrize(
    ("bind", "reply", "error", "text"),
    [
        (whole(pdu.PacketType.BIND_NAK, bytes(4)), b"", RemoteError, "does not provide its list"),
        (None, whole(pdu.PacketType.FAULT, bytes(16)), RemoteError, "failed NetrShareEnum"),
        (
            None,
            whole(pdu.PacketType.RESPONSE, bytes(8)),
            WireError,
            "stub data ends",
        ),  # without the arguments
        (None, b"", WireError, "ends early"),
        (None, whole(pdu.PacketType.RESPONSE, bytes(8))[:20], WireError, "ends early"),
    ],
)
async def test_odd_answers(bind: bytes | None, reply: bytes, error: type[Exception], text: str) -> None:
    """A refusal is told; what cannot be parsed or ends early is malformed. The pipe is closed in any case."""
    pipe = Pipe()
    calls = 0

    def answer(command: Command, message: bytes) -> Any:
        nonlocal calls
        if command == Command.READ:
            return ReadResponse(b"").pack()
        if command == Command.IOCTL:
            calls += 1
            if calls == 2 or bind is not None:
                return IoctlResponse(0, output_buffer=bind if calls == 1 and bind else reply).pack()
        return pipe.answer(command, message)

    tree, connection = scripted(answer, "IPC$")
    with pytest.raises(error, match=text):
        await list_shares(tree)
    assert connection.closed == [OPENED]


async def test_an_answer_without_an_end() -> None:
    """Fragments that never say they are the last one are taken up to 16 MiB."""
    pipe = Pipe()
    piece = whole(pdu.PacketType.RESPONSE, bytes(4000), 0)
    bound = False

    def answer(command: Command, message: bytes) -> Any:
        nonlocal bound
        if command == Command.READ:
            return ReadResponse(piece * 16).pack()
        if command == Command.IOCTL and bound:
            return IoctlResponse(0, output_buffer=piece).pack()
        bound = bound or command == Command.IOCTL
        return pipe.answer(command, message)

    tree, _ = scripted(answer, "IPC$")
    with pytest.raises(WireError, match="no end"):
        await list_shares(tree)
