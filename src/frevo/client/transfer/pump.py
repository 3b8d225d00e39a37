"""Pumps: request loops of a connection that run in the data plane, for bulk transfers and benchmarks.

A pump keeps *window* requests in flight; each answer makes the next request, without Python. Its answers are checked
as all others are: signed when the session signs, encrypted when it must be; one that is not ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from frevo.client.errors import lost
from frevo.client.to_the_end import to_the_end
from frevo.wire.smb2 import CREDIT_BYTES

if TYPE_CHECKING:
    from frevo.client.connection.messages import FileId
    from frevo.client.tree.tree import Tree

class Measured(NamedTuple):
    """One class of operations so far. Latencies in ns, of successful operations only; failed ones by NTSTATUS."""

    operations: int
    bytes: int
    sum_ns: int
    min_ns: int
    max_ns: int
    histogram: list[tuple[int, int]]  # (bucket, count), see `frevo.transport.base.bucket_of`
    statuses: list[tuple[int, int]]  # (NTSTATUS or pseudo-status, count)


class PumpEnd(NamedTuple):
    """How a pump ended.

    reason: done (everything, or it was stopped), eof (the remote file or the local source ended at *offset*),
    status (*code* is an NTSTATUS, at *offset*), local (*code* is an errno), data (not the pattern at *offset*),
    abandoned, lost (the connection has ended). contiguous: bytes from the start of the range without a gap.
    """

    reason: str
    code: int
    offset: int
    contiguous: int


class Pump:
    """A running pump, made by `start_pump`."""

    def __init__(self, tree: Tree, settings: dict[str, Any]) -> None:
        self._connection = tree.connection
        self._ended: asyncio.Future[PumpEnd] = asyncio.get_running_loop().create_future()
        self._native = self._connection.plane.transport.pump(self._connection.number, settings)
        self._connection.pumps[self._native.id] = self

    def on_end(self, reason: str, code: int, offset: int) -> None:
        """Called when the data plane has released everything."""
        if not self._ended.done():
            self._ended.set_result(PumpEnd(reason, code, offset, self._native.contiguous))

    @property
    def contiguous(self) -> int:
        """Bytes from the start of the range that are done without a gap."""
        return self._native.contiguous

    @property
    def progress(self) -> object:
        """Changes with every answer."""
        return [(one.operations, one.statuses) for one in self.statistics().values()]

    def statistics(self) -> dict[str, Measured]:
        """What was measured so far, by class: read, write, echo, flush, or create and close."""
        return {name: Measured(*values) for name, values in self._native.statistics().items()}

    async def finished(self) -> PumpEnd:
        """Waits for the end. A cancelled wait does not stop the pump."""
        return await asyncio.shield(self._ended)

    def stop(self) -> None:
        """Sends no more requests; the pump ends when those in flight are answered."""
        self._connection.plane.transport.stop_pump(self._connection.number, self._native.id)

    async def abandon(self) -> PumpEnd:
        """Ends it now and waits until it has released buffer and descriptor, which needs no answer of the server.

        Answers in flight are thrown away. Cancelling this wait is put off until it is over.
        """
        if not self._ended.done():
            transport = self._connection.plane.transport
            transport.stop_pump(self._connection.number, self._native.id, now=True)
        return await to_the_end(self._ended)


def start_pump(
    tree: Tree,
    kind: str,
    *,
    files: Sequence[FileId] = (),
    bodies: Sequence[bytes] = (),
    io_size: int = 0,
    window: int = 1,
    offset: int = 0,
    length: int = 0,
    random: bool = False,
    seed: int = 0,
    loop: bool = False,
    operations: int = 0,
    keep_going: bool = False,
    verify: bool = False,
    fd: int | None = None,
    local_offset: int = 0,
    buffer: Any = None,
) -> Pump:
    """Starts a request loop on the connection of *tree*.

    kind: read, write, flush, echo, or open (CREATE of one of *bodies*, packed, then CLOSE). *files* and *bodies* are
    taken in turn. io_size: bytes per READ or WRITE, at most what was negotiated; window: requests in flight (pairs
    for open), fewer when there are not enough credits. offset, length: the range of the file; it is walked through
    once, again and again with *loop*, or in random order (multiples of io_size). operations: ends after so many,
    0 for no limit. keep_going: failures and short reads are counted only.

    Data: with *fd* it is written to or read from that file (duplicated; byte *offset* there is *local_offset*); with
    *buffer* it is the caller's contiguous memory, kept exported until the end, byte *offset* is its first; else it is
    thrown away (compared with the pattern with *verify*) or made from the pattern. The pattern's 8-byte word number i
    of a file is x ^ x >> 29 with x = (i + seed) * 0x9E3779B97F4A7C15 modulo 2**64.

    ValueError when this makes no sense, ConnectionLost when the connection has ended.
    """
    connection, protection = tree.connection, tree.session.protection
    if connection.lost or connection.negotiated is None:
        raise lost("the connection has ended")
    limit = {"read": connection.negotiated.max_read, "write": connection.negotiated.max_write}.get(kind)
    if limit is not None and io_size > (limit if connection.multi_credit else min(limit, CREDIT_BYTES)):
        raise ValueError(f"io_size {io_size}: the server takes {limit} at most")
    settings = {
        "kind": kind,
        "session_id": protection.session_id,
        "tree_id": tree.id,
        "encrypt": tree.encrypt or protection.encrypt,
        "sign": protection.sign and protection.keys is not None,
        "files": list(files),
        "bodies": list(bodies),
        "io_size": io_size,
        "window": window,
        "offset": offset,
        "length": length,
        "random": random,
        "seed": seed,
        "loop": loop,
        "operations": operations,
        "keep_going": keep_going,
        "verify": verify,
        "fd": fd,
        "local_offset": local_offset,
        "buffer": buffer,
    }
    return Pump(tree, settings)
