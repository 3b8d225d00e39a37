"""Reads and writes of files: small ones are one request, large ones a pump ([MS-SMB2] 3.2.4.6, 3.2.4.7)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from frevo.client.connection.messages import Element, FileId, Reply
from frevo.client.errors import remote_error
from frevo.client.transfer.pump import Pump, PumpEnd, start_pump
from frevo.client.tree.tree import Tree
from frevo.transport.base import PumpSettings
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CREDIT_BYTES, Command, WriteRequest, WriteResponse, pack_read_request, read_data

#: Up to this size a transfer is one request from Python; a pump costs about as much as two of those.
SINGLE_BYTES = 256 << 10
#: Largest request of a pump; larger ones do not fit into the processor's cache and delay all other requests.
PIECE_BYTES = 1 << 20
#: Bytes of one transfer in flight.
WINDOW_BYTES = 8 << 20
#: Memory for data that is read is allocated in pieces of this size.
BUFFER_BYTES = 64 << 20
#: An interrupted transfer can have gaps in its last GAPS_BYTES, as requests are answered in any order.
GAPS_BYTES = WINDOW_BYTES
#: Seconds between two progress reports.
_LOOK_S = 0.2
_READ = int(Command.READ)
_END_OF_FILE = int(NTStatus.END_OF_FILE)

Progress = Callable[[int], None]


def _limit(tree: Tree, kind: str) -> int:
    """Largest READ or WRITE."""
    assert tree.connection.negotiated is not None
    return tree.connection.negotiated.max_read if kind == "read" else tree.connection.negotiated.max_write


def _single(tree: Tree, kind: str) -> int:
    return tree.connection.largest(min(SINGLE_BYTES, _limit(tree, kind)))


async def read_bytes(tree: Tree, file_id: FileId, offset: int, size: int, path: str) -> bytes:
    """Up to *size* bytes from *offset* on; fewer only at the end of the file. Memory for *size* is taken at once."""
    if size > CREDIT_BYTES and size > _single(tree, "read"):
        buffer = bytearray(size)
        count = await read_into(tree, file_id, memoryview(buffer), offset, path)
        return bytes(memoryview(buffer)[:count])
    connection = tree.connection
    charge = 1 if size <= CREDIT_BYTES else connection.charge_of(size)
    element = Element(_READ, pack_read_request(file_id, offset, size), charge)
    reply = await connection.exchange(element, tree.session.protection, tree.id, encrypt=tree.encrypt)
    if reply.status == 0:
        return read_data(reply.message)
    if reply.status == _END_OF_FILE:
        return b""
    raise remote_error(reply.status, path)


def begin_read(tree: Tree, file_id: FileId, offset: int, size: int) -> asyncio.Future[Reply] | None:
    """Begins one READ if it can be sent at once; see `Connection.begin`."""
    connection = tree.connection
    if connection.lost or connection.largest(min(size, _limit(tree, "read"))) < size:
        return None
    element = Element(_READ, pack_read_request(file_id, offset, size), connection.charge_of(size))
    return connection.begin(element, tree.session.protection, tree.id, encrypt=tree.encrypt)


def begin_write(tree: Tree, file_id: FileId, offset: int, data: memoryview) -> asyncio.Future[Reply] | None:
    """Begins one WRITE if it can be sent at once; see `Connection.begin`. *data* is free when this returns."""
    connection, size = tree.connection, len(data)
    if connection.lost or connection.largest(min(size, _limit(tree, "write"))) < size:
        return None
    head = WriteRequest(file_id, offset).pack_head(size)
    element = Element(Command.WRITE, head, connection.charge_of(size), tail=data)
    answer = connection.begin(element, tree.session.protection, tree.id, encrypt=tree.encrypt)
    connection.plane.transport.flush()
    return answer


async def read_into(tree: Tree, file_id: FileId, target: memoryview, offset: int, path: str) -> int:
    """Fills *target* from *offset* on, straight from the received messages; how many bytes there were.

    After a cancellation *target* is free again; it may be partly filled.
    """
    total = len(target)
    if total > _single(tree, "read"):
        return await stream(tree, "read", file_id, offset, total, path, buffer=target)
    done = 0
    while done < total:
        size = total - done
        body = pack_read_request(file_id, offset + done, size)
        element = Element(_READ, body, tree.connection.charge_of(size), sink=target[done:])
        reply = await tree.one(element, path, allow=(NTStatus.END_OF_FILE,))
        if reply.status == NTStatus.END_OF_FILE or reply.size == 0:
            break
        done += reply.size  # a short response: the end of the file, or the server lacks memory
    return done


async def write_from(tree: Tree, file_id: FileId, data: memoryview, offset: int, path: str) -> int:
    """Writes all of *data* at *offset*; returns the number of bytes. After a cancellation *data* is free again."""
    size = len(data)
    if size > _single(tree, "write"):
        return await stream(tree, "write", file_id, offset, size, path, buffer=data)
    if not size:
        return 0
    head = WriteRequest(file_id, offset).pack_head(size)
    tail = data[:]
    try:
        element = Element(Command.WRITE, head, tree.connection.charge_of(size), tail=tail)
        reply = await tree.one(element, path)
    finally:
        tree.connection.plane.transport.flush()
        tail.release()
    count = WriteResponse.parse(reply.message).count
    if count != size:
        raise remote_error(NTStatus.DISK_FULL, path, f"{count} of {size} bytes written at {offset}")
    return size


async def stream(
    tree: Tree,
    kind: str,
    file_id: FileId,
    offset: int,
    length: int,
    path: str,
    progress: Progress | None = None,
    local: str | None = None,
    **local_data: Any,
) -> int:
    """Moves *length* bytes from *offset* on with a pump; returns how many, fewer only if the source ends.

    kind: read or write. local_data: `fd` with `local_offset`, or `buffer`, as in `PumpSettings`. progress gets the
    number of bytes now and then. local: a name for errors of *fd*. After a cancellation or failure, both are released,
    and the data has gaps only in its last GAPS_BYTES. Errors of the server, the connection and *fd* are raised.
    """
    piece = min(PIECE_BYTES, _limit(tree, kind)) if tree.connection.multi_credit else CREDIT_BYTES
    window = max(2, WINDOW_BYTES // piece)
    # The settings are kept in no variable: they own a duplicate of *fd*, and an error's traceback would keep it open.
    pump = start_pump(
        tree,
        PumpSettings(
            kind, files=[file_id], io_size=piece, window=window, offset=offset, length=length, **local_data
        ),
    )
    try:
        end = await _watched(pump, progress)
    except BaseException:
        await pump.abandon()
        raise
    if end.reason in ("done", "eof"):
        return end.contiguous
    raise await _error(tree, end, path, local)


async def _watched(pump: Pump, progress: Progress | None) -> PumpEnd:
    if progress is None:
        return await pump.finished()
    finished = asyncio.ensure_future(pump.finished())
    try:
        while not (await asyncio.wait([finished], timeout=_LOOK_S))[0]:
            progress(pump.contiguous)
        return finished.result()
    finally:
        finished.cancel()
        progress(pump.contiguous)


async def _error(tree: Tree, end: PumpEnd, path: str, local: str | None) -> OSError:
    if end.reason == "status":
        return remote_error(end.code, path, f"at {end.offset}")
    if end.reason == "local":
        return OSError(end.code, os.strerror(end.code), local)
    return await tree.connection.why_lost()
