"""ECHO and READ at full speed: prepared requests of one size, a fixed number of them outstanding per connection.

All answers to such requests have one size too, so a connection looks at the length and the status of each and
throws it away (an interim STATUS_PENDING does not count). Answers that are sealed or signed are checked once,
before the clock runs: the client must not be what limits the server.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Iterator, Sequence

from benchmarks.client import HEADER_SIZE, Client, LoadError, frame
from frevo.wire.smb2 import Command, EchoRequest, Header, ReadRequest

_BLOCK = 1024
_PROTECTED_BLOCK = 128
_RECEIVE_BYTES = 256 * 1024
#: Sizes on the wire: TRANSFORM_HEADER, STATUS_PENDING, and what of an answer is looked at.
_SEALED_BYTES = 52
_INTERIM_BYTES = 73
_HEAD_BYTES = 20
#: FILE_READ_DATA, FILE_WRITE_DATA, DELETE, FILE_READ_ATTRIBUTES.
_ACCESS = 0x00010083
_CREATE, _DELETE_ON_CLOSE_FILE = 2, 0x1040


class Stream:
    """One connection: where its requests come from, and how far it has come."""

    __slots__ = (
        "_answer_bytes", "_blocks", "_head", "_interim_bytes", "_left", "_position", "_requests", "_size",
        "depth", "socket",
    )  # fmt: skip

    def __init__(
        self, client: Client, request: bytes, answer_bytes: int, depth: int, credit_charge: int
    ) -> None:
        self.socket: socket.socket = client.socket
        self.depth = depth
        sealed = _SEALED_BYTES if client.protection == "sealed" else 0
        self._answer_bytes = answer_bytes + sealed
        self._interim_bytes = _INTERIM_BYTES + sealed
        self._head = b""  # the first bytes of an answer, when a receive ended within them
        self._left = 0  # bytes of the present answer that are still to come
        self._blocks = blocks(client, request, credit_charge)
        self._requests, self._size = next(self._blocks)
        self._position = 0

    def send(self, count: int) -> None:
        """The next *count* requests."""
        while count:
            start = self._position
            end = min(start + count * self._size, len(self._requests))
            self.socket.sendall(self._requests[start:end])
            count -= (end - start) // self._size
            self._position = end
            if end == len(self._requests):
                self._requests, self._size = next(self._blocks)
                self._position = 0

    def receive(self, buffer: memoryview) -> int:
        """Takes what has come; how many answers that completed."""
        start = len(self._head)
        buffer[:start] = self._head
        count = self.socket.recv_into(buffer[start:])
        if not count:
            raise LoadError("the server closed the connection")
        end = start + count
        if self._left > end:
            self._left -= end
            return 0
        done, position = 1 if self._left else 0, self._left
        while end - position >= _HEAD_BYTES:
            size = int.from_bytes(buffer[position : position + 4], "big")
            sealed = buffer[position + 4] == 0xFD
            if size == self._answer_bytes and (sealed or not any(buffer[position + 12 : position + 16])):
                done += 1
            elif size != self._interim_bytes:
                raise LoadError(f"an answer of {size} bytes: {bytes(buffer[position : position + 20]).hex()}")
            position += 4 + size
        self._left = max(position - end, 0)
        if self._left:
            done -= 1
        self._head = bytes(buffer[position:end])
        return done


def blocks(client: Client, request: bytes, credit_charge: int) -> Iterator[tuple[memoryview, int]]:
    """Blocks of framed requests like *request*, with the message ids that come next, and the size of one."""
    number = client.next_message_id
    if client.protection == "plain":
        yield from _plain_blocks(request, number, credit_charge)
    while True:
        frames = []
        for _ in range(_PROTECTED_BLOCK):
            message = request[:24] + number.to_bytes(8, "little") + request[32:]
            frames.append(frame(client.protect(message)))
            number += credit_charge
        yield memoryview(b"".join(frames)), len(frames[0])


def _plain_blocks(request: bytes, number: int, credit_charge: int) -> Iterator[tuple[memoryview, int]]:
    """Without protection only the message ids change: one strided assignment writes those of a whole block."""
    size = 4 + len(request)
    assert size % 8 == 0
    block = bytearray(frame(request) * _BLOCK + bytes(4))
    ids = memoryview(block)[4:].cast("Q")[3 :: size // 8]
    while True:
        step = _BLOCK * credit_charge
        ids[:] = memoryview(array("Q", range(number, number + step, credit_charge)))
        number += step
        yield memoryview(block)[: _BLOCK * size], size


def echo_stream(client: Client, depth: int) -> Stream:
    """ECHO requests."""
    request = client.header(Command.ECHO).pack() + EchoRequest().pack()
    return _stream(client, request, HEADER_SIZE + 4, depth, 1)


def read_stream(client: Client, depth: int, size: int, name: str) -> Stream:
    """READ requests of *size* bytes at offset 0 of a sparse file of that size, as smb2.bench.read makes it."""
    file_id = client.create(name, access=_ACCESS, disposition=_CREATE, options=_DELETE_ON_CLOSE_FILE)
    client.set_end_of_file(file_id, size)
    body = ReadRequest(file_id, 0, size).pack()
    charge = -(-size // 65536)
    request = client.header(Command.READ, charge).pack() + body
    return _stream(client, request + bytes(-(len(request) + 4) % 8), HEADER_SIZE + 16 + size, depth, charge)


def _stream(client: Client, request: bytes, answer_bytes: int, depth: int, charge: int) -> Stream:
    """Checks one answer wholly, then makes the stream of them."""
    number = client.next_message_id
    client.next_message_id += charge
    message = request[:24] + number.to_bytes(8, "little") + request[32:]
    client.socket.sendall(frame(client.protect(message)))
    answer = client.receive_final()
    header = Header.parse(answer)
    if header.status or len(answer) != answer_bytes or header.message_id != number:
        raise LoadError(f"an answer of {len(answer)} bytes with status {header.status:#x}")
    if client.protection == "signed" and client.keys is not None and not client.keys.verify(answer):
        raise LoadError("an answer with a wrong signature")
    return Stream(client, request, answer_bytes, depth, charge)


def drive(streams: Sequence[Stream], seconds: float) -> tuple[int, float]:
    """Keeps every stream's depth outstanding for *seconds*; how many answers came, in how many seconds."""
    buffer = memoryview(bytearray(_RECEIVE_BYTES))
    by_fd = {stream.socket.fileno(): stream for stream in streams}
    poll = select.epoll()
    for stream in streams:
        stream.socket.settimeout(30)
        poll.register(stream.socket, select.EPOLLIN)
        stream.send(stream.depth)
    answers, started = 0, time.monotonic()
    end = now = started
    end += seconds
    while now < end:
        for fd, _ in poll.poll(end - now):
            stream = by_fd[fd]
            done = stream.receive(buffer)
            if done:
                answers += done
                stream.send(done)
        now = time.monotonic()
    return answers, now - started
