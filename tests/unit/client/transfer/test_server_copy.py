"""FSCTL_SRV_COPYCHUNK from the client's side: chunks, the server's limits, and answers that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from unit.client.scripted import opened, scripted

from frevo.client.errors import ConnectionLost, RemoteError, lost
from frevo.client.transfer.server_copy import CHUNK_BYTES, CHUNKS, copy_file, copy_part
from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import (
    Command,
    CreateDisposition,
    IoctlRequest,
    IoctlResponse,
    SrvCopychunkCopy,
    SrvCopychunkResponse,
    SrvRequestResumeKeyResponse,
)

MIB = 1 << 20


class Server:
    """Copies at most *chunks* chunks of *chunk* bytes at a time; *lie* changes how many bytes it says."""

    def __init__(self, size: int, chunks: int = CHUNKS, chunk: int = CHUNK_BYTES, lie: int = 0) -> None:
        self.size, self.chunks, self.chunk, self.lie = size, chunks, chunk, lie
        self.copied: list[tuple[int, int]] = []
        self.refused = 0
        self.opens = 0
        self.status = 0

    def answer(self, command: Command, message: bytes) -> Any:
        if command == Command.CREATE:
            self.opens += 1
            return opened(self.size if self.opens == 1 else 0, file_id=(self.opens, self.opens))
        request = IoctlRequest.parse(message)
        if request.ctl_code == FsctlCode.SRV_REQUEST_RESUME_KEY:
            return self.output(SrvRequestResumeKeyResponse(b"k" * 24).pack())
        if self.status:
            return self.status
        copy = SrvCopychunkCopy.parse(request.input_buffer)
        assert copy.source_key == b"k" * 24
        if len(copy.chunks) > self.chunks or any(one.length > self.chunk for one in copy.chunks):
            self.refused += 1
            return int(NTStatus.INVALID_PARAMETER), self.output(
                SrvCopychunkResponse(self.chunks, self.chunk, self.chunks * self.chunk).pack()
            )
        assert all(one.source_offset == one.target_offset for one in copy.chunks)
        self.copied += [(one.source_offset, one.length) for one in copy.chunks]
        total = sum(one.length for one in copy.chunks)
        return self.output(SrvCopychunkResponse(len(copy.chunks), 0, total + self.lie).pack())

    @staticmethod
    def output(data: bytes) -> bytes:
        return IoctlResponse(0, output_buffer=data).pack()


async def run(server: Server, *, overwrite: bool = True, progress: Any = None) -> tuple[int, Any]:
    tree, connection = scripted(server.answer)
    try:
        return await copy_file(tree, "a", "b", overwrite=overwrite, progress=progress), connection
    finally:
        assert connection.closed == [(2, 2), (1, 1)]  # both opens, whatever happened


@pytest.mark.parametrize("size", [0, 1, MIB, 16 * MIB, 16 * MIB + 1, 40 * MIB + 7])
async def test_every_byte_once(size: int) -> None:
    """In chunks of one MiB, sixteen at a time, without gaps; progress is told after each request."""
    server, told = Server(size), list[int]()
    count, connection = await run(server, progress=told.append)
    assert count == size and sum(length for _, length in server.copied) == size
    assert [start for start, _ in server.copied] == list(range(0, size, MIB))
    assert told == [*range(16 * MIB, size, 16 * MIB), size] if size else told == []
    assert [one.create_disposition for one in connection.creates()] == [
        CreateDisposition.OPEN,
        CreateDisposition.OVERWRITE_IF,
    ]


async def test_a_new_file_only() -> None:
    """Without *overwrite* a target that exists is the server's error."""
    _, connection = await run(Server(1), overwrite=False)
    assert connection.creates()[1].create_disposition == CreateDisposition.CREATE


async def test_the_limits_of_a_server() -> None:
    """INVALID_PARAMETER comes with what the server takes: the copy goes on with that."""
    server = Server(3 * MIB, chunks=2, chunk=65536)
    assert (await run(server))[0] == 3 * MIB
    assert server.refused == 1 and max(length for _, length in server.copied) == 65536


@pytest.mark.parametrize(("chunks", "chunk"), [(0, 1 << 20), (16, 0)])
async def test_limits_of_nothing(chunks: int, chunk: int) -> None:
    """A server that takes no chunks at all cannot copy."""
    with pytest.raises(RemoteError, match="copying on the server"):
        await run(Server(MIB, chunks, chunk))


async def test_the_same_limits_again() -> None:
    """A server that refuses what it says it takes is not asked for ever."""
    server = Server(MIB)
    real = server.answer

    def answer(command: Command, message: bytes) -> Any:
        found = real(command, message)
        if command == Command.IOCTL and IoctlRequest.parse(message).ctl_code == FsctlCode.SRV_COPYCHUNK:
            return int(NTStatus.INVALID_PARAMETER), Server.output(
                SrvCopychunkResponse(256, MIB, 16 * MIB).pack()
            )
        return found

    server.answer = answer  # type: ignore[method-assign]
    with pytest.raises(OSError, match="copying on the server"):
        await run(server)


async def test_more_than_was_asked_for() -> None:
    """A server that says it copied more breaks the protocol; one that copied nothing is full."""
    with pytest.raises(WireError, match="copied of"):
        await run(Server(MIB, lie=1))
    with pytest.raises(OSError, match="full"):
        await run(Server(MIB, lie=-MIB))


async def test_a_refusal() -> None:
    """The server's status; nothing is assumed about its body."""
    server = Server(MIB)
    server.status = int(NTStatus.ACCESS_DENIED)
    with pytest.raises(PermissionError, match="copying on the server"):
        await run(server)
    server = Server(MIB)
    server.status = int(NTStatus.INVALID_PARAMETER)  # without the limits
    with pytest.raises(RemoteError, match="copying on the server"):
        await run(server)


async def test_a_connection_lost_once_the_target_is_there() -> None:
    """The error never says that nothing was sent: the target has been made."""
    server = Server(MIB)
    real = server.answer

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.IOCTL:
            error = lost("cut")
            error.unsent = True
            raise error
        return real(command, message)

    server.answer = answer  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost) as caught:
        await run(server)
    assert not caught.value.unsent


async def test_a_part() -> None:
    """At most sixteen chunks, at any place of the target; more than was asked for is a lie."""
    said = [16 * MIB]

    def answer(command: Command, message: bytes) -> Any:
        copy = SrvCopychunkCopy.parse(IoctlRequest.parse(message).input_buffer)
        first, last = copy.chunks[0], copy.chunks[-1]
        assert (first.source_offset, first.target_offset) == (5, 9) and len(copy.chunks) == 16
        assert last.target_offset + last.length == 9 + 16 * MIB
        return Server.output(SrvCopychunkResponse(16, 0, said[0]).pack())

    tree, _ = scripted(answer)
    assert await copy_part(tree, b"k" * 24, 5, (1, 2), 9, 40 * MIB, "a") == 16 * MIB
    said[0] += 1
    with pytest.raises(WireError):
        await copy_part(tree, b"k" * 24, 5, (1, 2), 9, 40 * MIB, "a")
