"""Large reads and writes in pieces, as many in flight as the credits allow ([MS-SMB2] 3.2.4.6, 3.2.4.7)."""

from __future__ import annotations

from collections import deque

from frevo.client.connection import Element, Pending
from frevo.client.errors import remote_error
from frevo.client.tree import FileId, Tree
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, WriteRequest, WriteResponse, pack_read_request, read_data

#: Largest piece; larger ones gain nothing and make every other request wait behind them.
PIECE_BYTES = 1 << 20
#: Bytes of one transfer in flight.
WINDOW_BYTES = 8 << 20
_READ = int(Command.READ)
_END_OF_FILE = int(NTStatus.END_OF_FILE)

_Flight = deque[tuple[int, int, Pending]]  # start, size, request


def _piece(tree: Tree, limit: int) -> int:
    return tree.connection.largest(min(PIECE_BYTES, limit))


def _limits(tree: Tree) -> tuple[int, int]:
    """Largest READ and WRITE."""
    assert tree.connection.negotiated is not None
    return tree.connection.negotiated.max_read, tree.connection.negotiated.max_write


async def read_bytes(tree: Tree, file_id: FileId, offset: int, size: int, path: str) -> bytes:
    """Up to *size* bytes from *offset* on; fewer only at the end of the file."""
    if size > 65536 and size > _piece(tree, _limits(tree)[0]):
        buffer = bytearray(size)
        count = await read_into(tree, file_id, memoryview(buffer), offset, path)
        return bytes(memoryview(buffer)[:count])
    connection = tree.connection
    charge = 1 if size <= 65536 else connection.charge_of(size)
    element = Element(_READ, pack_read_request(file_id, offset, size), charge)
    reply = await connection.exchange(element, tree.session.protection, tree.id, seal=tree.seal)
    if reply.status == 0:
        return read_data(reply.message)
    if reply.status == _END_OF_FILE:
        return b""
    raise remote_error(reply.status, path)


async def read_into(tree: Tree, file_id: FileId, target: memoryview, offset: int, path: str) -> int:
    """Fills *target* from *offset* on, straight from the received messages; how many bytes there were."""
    flight: _Flight = deque()
    sent, total = 0, len(target)
    try:
        while True:
            piece = _piece(tree, _limits(tree)[0])
            while sent < total and (not flight or sent - flight[0][0] < WINDOW_BYTES):
                size = min(piece, total - sent)
                body = pack_read_request(file_id, offset + sent, size)
                charge = tree.connection.charge_of(size)
                element = Element(Command.READ, body, charge, sink=target[sent : sent + size])
                flight.append((sent, size, await tree.post(element)))
                sent += size
            if not flight:
                return total
            start, size, pending = flight[0]
            reply = await pending.future
            flight.popleft()
            if reply.status == NTStatus.END_OF_FILE:
                return start
            if reply.status != NTStatus.SUCCESS:
                raise remote_error(reply.status, path)
            if reply.size == 0:
                return start
            if reply.size < size:  # the end is near, or the server is short of something: ask from here on
                tree.connection.abandon([one for _, _, one in flight])
                flight.clear()
                sent = start + reply.size
    finally:
        tree.connection.abandon([one for _, _, one in flight])


async def write_from(tree: Tree, file_id: FileId, data: memoryview, offset: int, path: str) -> int:
    """Writes all of *data* from *offset* on; the number of bytes."""
    flight: _Flight = deque()
    tails: deque[memoryview] = deque()
    sent, total = 0, len(data)
    try:
        while True:
            piece = _piece(tree, _limits(tree)[1])
            while sent < total and (not flight or sent - flight[0][0] < WINDOW_BYTES):
                size = min(piece, total - sent)
                head = WriteRequest(file_id, offset + sent).pack_head(size)
                charge = tree.connection.charge_of(size)
                tails.append(data[sent : sent + size])
                element = Element(Command.WRITE, head, charge, tail=tails[-1])
                flight.append((sent, size, await tree.post(element)))
                sent += size
            if not flight:
                return total
            start, size, pending = flight[0]
            reply = await pending.future
            flight.popleft()
            tails.popleft().release()
            if reply.status != NTStatus.SUCCESS:
                raise remote_error(reply.status, path)
            count = WriteResponse.parse(reply.message).count
            if count != size:
                raise remote_error(
                    NTStatus.DISK_FULL, path, f"{count} of {size} bytes written at {offset + start}"
                )
    finally:
        tree.connection.abandon([one for _, _, one in flight])
        if tails:
            tree.connection.plane.transport.flush()
            for tail in tails:
                tail.release()
