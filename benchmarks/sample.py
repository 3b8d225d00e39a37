"""One run of a load against a server: what was done, how long it took, and what it cost either end."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

from peers.target import Target

from benchmarks.machine import busy_seconds
from frevo.bench.processor import usage

#: On a busy machine a short run may get no response at all: it is repeated, lengthened by these.
LONGER = (1, 3, 10)


class ToolError(Exception):
    """A program failed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Percentiles are of the latencies, in microseconds, where the load measures them."""

    operations: float
    seconds: float
    server_cpu_s: float
    client_cpu_s: float = 0.0
    bytes_moved: float = 0.0
    #: The share of the machine's processor time that other processes used meanwhile.
    others: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    #: Operations of the connection that was served worst, as a share of the median one's.
    least: float = 0.0

    @property
    def rate(self) -> float:
        """Bytes per second, or operations per second of a load that moves no data."""
        return (self.bytes_moved or self.operations) / self.seconds

    def cost(self, end: str) -> float:
        """Seconds of the server or the client per byte, or per operation."""
        used = self.server_cpu_s if end == "server" else self.client_cpu_s
        return used / max(self.bytes_moved or self.operations, 1)


class Cost:
    """Processor time of the server, of the programs that this process starts, and of all others."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._processes = usage([target.pid]).processes
        self._before = (self._server(), children_seconds(), busy_seconds(), time.monotonic())

    def _server(self) -> float:
        return usage([self._target.pid]).seconds

    def end(self) -> tuple[float, float, float]:
        """(server seconds, client seconds, share of other processes) since its creation."""
        busy, elapsed = busy_seconds() - self._before[2], time.monotonic() - self._before[3]
        wait_for_children(self._target, self._processes)
        server = self._server() - self._before[0]
        client = children_seconds() - self._before[1]
        others = max(busy - server - client, 0.0) / elapsed / (os.cpu_count() or 1)
        return server, client, others


def wait_for_children(target: Target, processes: int, timeout_s: float = 3.0) -> None:
    """Waits until the server has only so many processes: the time of smbd's children counts for their parent once they
    have ended."""
    deadline = time.monotonic() + timeout_s
    while usage([target.pid]).processes > processes and time.monotonic() < deadline:
        time.sleep(0.02)


def children_seconds() -> float:
    """Processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_until_idle(target: Target, timeout_s: float = 5.0) -> None:
    """Waits until the server has finished what the last client caused (closing, deleting)."""
    deadline = time.monotonic() + timeout_s
    used = usage([target.pid]).seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        now = usage([target.pid]).seconds
        if now - used < 0.02:
            return
        used = now
