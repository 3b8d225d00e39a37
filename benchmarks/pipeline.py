"""ECHO and READ at full speed: prepared requests of one size, with a fixed number in flight per connection.

All responses have the same size, too, so only their length and status are checked (interim responses do not count). The
signature or encryption of a response is checked once, before the measurement, so that the client does not limit the
server.
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
#: Sizes on the wire: TRANSFORM_HEADER, an interim response, and the part of a response that is checked.
_TRANSFORM_BYTES = 52
_INTERIM_BYTES = 73
_HEAD_BYTES = 20
#: FILE_READ_DATA, FILE_WRITE_DATA, DELETE, FILE_READ_ATTRIBUTES.
_ACCESS = 0x00010083
_CREATE, _DELETE_ON_CLOSE_FILE = 2, 0x1040


class Stream:
    """One connection: its prepared requests and its progress."""

    __slots__ = (
        "_blocks", "_head", "_interim_bytes", "_left", "_position", "_requests", "_response_bytes", "_size",
        "depth", "socket",
    )  # fmt: skip

    def __init__(
        self, client: Client, request: bytes, response_bytes: int, depth: int, credit_charge: int
    ) -> None:
        self.socket: socket.socket = client.socket
        self.depth = depth
        transform = _TRANSFORM_BYTES if client.protection == "encrypted" else 0
        self._response_bytes = response_bytes + transform
        self._interim_bytes = _INTERIM_BYTES + transform
        self._head = b""  # the first bytes of a response, if not all of them have arrived
        self._left = 0  # bytes of the current response that have not arrived
        self._blocks = blocks(client, request, credit_charge)
        self._requests, self._size = next(self._blocks)
        self._position = 0

    def send(self, count: int) -> None:
        """Sends the next *count* requests."""
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
        """Processes received data; the number of responses it completed."""
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
            encrypted = buffer[position + 4] == 0xFD
            if size == self._response_bytes and (encrypted or not any(buffer[position + 12 : position + 16])):
                done += 1
            elif size != self._interim_bytes:
                raise LoadError(f"a response of {size} bytes: {bytes(buffer[position : position + 20]).hex()}")
            position += 4 + size
        self._left = max(position - end, 0)
        if self._left:
            done -= 1
        self._head = bytes(buffer[position:end])
        return done


def blocks(client: Client, request: bytes, credit_charge: int) -> Iterator[tuple[memoryview, int]]:
    """Blocks of framed requests like *request* with the next message IDs, and the size of one request."""
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
    """Without protection only the message IDs change: one strided assignment sets those of a whole block."""
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
    """A stream of ECHO requests."""
    request = client.header(Command.ECHO).pack() + EchoRequest().pack()
    return _stream(client, request, HEADER_SIZE + 4, depth, 1)


def read_stream(client: Client, depth: int, size: int, name: str) -> Stream:
    """A stream of READ requests for a sparse file of *size* bytes, as in smb2.bench.read."""
    file_id = client.create(name, access=_ACCESS, disposition=_CREATE, options=_DELETE_ON_CLOSE_FILE)
    client.set_end_of_file(file_id, size)
    body = ReadRequest(file_id, 0, size).pack()
    charge = -(-size // 65536)
    request = client.header(Command.READ, charge).pack() + body
    return _stream(client, request + bytes(-(len(request) + 4) % 8), HEADER_SIZE + 16 + size, depth, charge)


def _stream(client: Client, request: bytes, response_bytes: int, depth: int, charge: int) -> Stream:
    """Sends one request and checks its response completely, then creates the stream."""
    number = client.next_message_id
    client.next_message_id += charge
    message = request[:24] + number.to_bytes(8, "little") + request[32:]
    client.socket.sendall(frame(client.protect(message)))
    response = client.receive_final()
    header = Header.parse(response)
    if header.status or len(response) != response_bytes or header.message_id != number:
        raise LoadError(f"a response of {len(response)} bytes with status {header.status:#x}")
    if client.protection == "signed" and client.keys is not None and not client.keys.verify(response):
        raise LoadError("a response with a wrong signature")
    return Stream(client, request, response_bytes, depth, charge)


def drive(streams: Sequence[Stream], seconds: float) -> tuple[int, float]:
    """Keeps `depth` requests of every stream in flight for *seconds*; (responses, seconds)."""
    buffer = memoryview(bytearray(_RECEIVE_BYTES))
    by_fd = {stream.socket.fileno(): stream for stream in streams}
    poll = select.epoll()
    for stream in streams:
        stream.socket.settimeout(30)
        poll.register(stream.socket, select.EPOLLIN)
        stream.send(stream.depth)
    responses, started = 0, time.monotonic()
    end = now = started
    end += seconds
    while now < end:
        for fd, _ in poll.poll(end - now):
            stream = by_fd[fd]
            done = stream.receive(buffer)
            if done:
                responses += done
                stream.send(done)
        now = time.monotonic()
    return responses, now - started
