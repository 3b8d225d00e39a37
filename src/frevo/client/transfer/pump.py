"""Pumps: request loops of a connection that run in the data plane, for bulk transfers and benchmarks.

A pump keeps a number of requests in flight; each response triggers the next request, without Python. Responses are
checked like all others: signed if the session signs, encrypted if it has to be; one that is not ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from frevo.client.errors import lost
from frevo.client.to_the_end import to_the_end
from frevo.transport.base import PumpSettings, statistics_of
from frevo.wire.smb2 import CREDIT_BYTES

if TYPE_CHECKING:
    from frevo.client.tree.tree import Tree


class Measured(NamedTuple):
    """Operations of one class so far. Latencies in ns, of successful operations only; failures by NTSTATUS."""

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
    """A pump, made by `new_pump`."""

    def __init__(self, tree: Tree, settings: PumpSettings) -> None:
        self._connection = tree.connection
        self._ended: asyncio.Future[PumpEnd] = asyncio.get_running_loop().create_future()
        protection = tree.session.protection
        self._native = self._connection.plane.transport.pump(
            self._connection.number,
            settings,
            session_id=protection.session_id,
            tree_id=tree.id,
            encrypt=tree.encrypt or protection.encrypt,
            sign=protection.sign and protection.keys is not None,
        )
        self._connection.pumps[self._native.id] = self

    def on_end(self, reason: str, code: int, offset: int) -> None:
        """Called when the data plane has released everything."""
        if not self._ended.done():
            self._ended.set_result(PumpEnd(reason, code, offset, self._native.contiguous))

    @property
    def operations(self) -> int:
        """Successful operations so far."""
        return self._native.operations

    @property
    def contiguous(self) -> int:
        """Bytes from the start of the range that are done without a gap."""
        return self._native.contiguous

    @property
    def progress(self) -> object:
        """Changes with every response."""
        return [(one.operations, one.statuses) for one in self.statistics().values()]

    def statistics(self) -> dict[str, Measured]:
        """What was measured so far, by class: read, write, both, echo, flush, or create and close."""
        return {name: Measured(*values) for name, values in self._native.statistics().items()}

    async def finished(self) -> PumpEnd:
        """Waits for the end. Cancelling the wait does not stop the pump."""
        return await asyncio.shield(self._ended)

    def stop(self) -> None:
        """Sends no more requests; the pump ends when those in flight have been answered."""
        self._connection.plane.transport.stop_pump(self._connection.number, self._native.id)

    async def abandon(self) -> PumpEnd:
        """Ends it now and waits until it has released buffer and descriptor, which does not depend on the server.

        Later responses are discarded. A cancellation takes effect only after that.
        """
        if not self._ended.done():
            transport = self._connection.plane.transport
            transport.stop_pump(self._connection.number, self._native.id, now=True)
        return await to_the_end(self._ended)


    @staticmethod
    def begin(pumps: Sequence[Pump]) -> None:
        """Starts pumps of one event loop, all at once."""
        if pumps:
            pumps[0]._connection.plane.transport.begin_pumps([pump._native for pump in pumps])

    @staticmethod
    def sums(pumps: Sequence[Pump]) -> dict[str, Measured]:
        """What many have measured so far, all together, by class."""
        found = statistics_of([pump._native for pump in pumps])
        return {name: Measured(*values) for name, values in found.items()}


def start_pump(tree: Tree, settings: PumpSettings) -> Pump:
    """`new_pump`, started."""
    pump = new_pump(tree, settings)
    Pump.begin([pump])
    return pump


def new_pump(tree: Tree, settings: PumpSettings) -> Pump:
    """A request loop on the connection of *tree*, to be started: only then, it has an end.

    ValueError if the settings make no sense or io_size is more than the server accepts, ConnectionLost if the
    connection has ended.
    """
    connection = tree.connection
    if connection.lost or connection.negotiated is None:
        raise lost("the connection has ended")
    negotiated = connection.negotiated
    limits = {"read": negotiated.max_read, "write": negotiated.max_write}
    limit = min(limits.values()) if settings.kind == "mixed" else limits.get(settings.kind)
    if limit is not None and settings.io_size > (
        limit if connection.multi_credit else min(limit, CREDIT_BYTES)
    ):
        raise ValueError(f"io_size {settings.io_size}: the server accepts at most {limit}")
    return Pump(tree, settings)
