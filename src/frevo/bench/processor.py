"""Processor time of this process, and of a local server with all its children."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from frevo.transport.listeners import addresses_here, listening_processes
from frevo.transport.traits import IPProtocol

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
#: The clock that a process's id stands for, in the kernel's encoding (clock_getcpuclockid(3)).
_SCHEDULER_CLOCK = 2


def find_server(host: str, port: int, protocol: IPProtocol = IPProtocol.TCP) -> list[int]:
    """IDs of the local processes that serve *host*:*port*; empty if it is remote or not visible."""
    try:
        local = addresses_here(host, port)
    except OSError:
        return []
    found = {pid for address in local for pid in listening_processes(port, protocol, address)}
    return sorted(found)


def use_batch_scheduling() -> None:
    """From now on, this thread and the ones it starts wake up without preempting others (SCHED_BATCH).

    On a free processor, it runs immediately. On a processor that the server uses, it runs when the server waits, and
    finds several responses per wake-up. Does nothing where this is not permitted.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def exists(pid: int) -> bool:
    """Whether the process exists."""
    return Path(f"/proc/{pid}/stat").exists()


def name_of(pid: int) -> str:
    """The process name known to the kernel."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


class Usage(msgspec.Struct, frozen=True):
    """Seconds of processor time since start, of *processes* processes."""

    seconds: float
    processes: int


def usage(pids: Iterable[int]) -> Usage:
    """Processor time of the processes and all their children, including ended children."""
    parents: dict[int, int] = {}
    ticks: dict[int, tuple[float, float]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile: its parent has its time
            continue
        parents[int(entry.name)] = int(fields[1])
        own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        ticks[int(entry.name)] = own * _TICK_S, ended * _TICK_S
    family = [pid for pid in parents if _descends(pid, set(pids), parents)]
    return Usage(sum(_own_seconds(pid, ticks[pid][0]) + ticks[pid][1] for pid in family), len(family))


def _descends(pid: int, roots: set[int], parents: dict[int, int]) -> bool:
    while pid not in roots:
        if pid not in parents or not parents[pid]:
            return False
        pid = parents[pid]
    return True


def _own_seconds(pid: int, in_ticks: float) -> float:
    """All threads of one process, including ended ones; by its ticks if it has ended and its parent has not collected
    it yet."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
    except OSError:
        return in_ticks


class Meter:
    """Processor time of both ends between `start` and `stop`."""

    def __init__(self, server: Iterable[int]) -> None:
        self.server = tuple(server)
        self.client_s = 0.0
        self.server_s: float | None = None
        self.processes = 0

    def start(self) -> None:
        """Start measuring."""
        self._server_before = usage(self.server) if self.server else None
        self._client_before = time.process_time()

    def stop(self) -> None:
        """Stop measuring."""
        self.client_s = time.process_time() - self._client_before
        if self._server_before is not None:
            now = usage(self.server)
            self.processes = now.processes
            self.server_s = max(0.0, now.seconds - self._server_before.seconds)
