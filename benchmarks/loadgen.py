"""Runs the processes of the load generator against a server and measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from peers.target import DOMAIN, Target

from benchmarks.load import LoadSpec
from benchmarks.machine import busy_seconds
from benchmarks.servers import cpu_seconds, memory_bytes

_ROOT = Path(__file__).parent.parent
_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: what was done, how long it took, and what it cost the server and the client."""

    operations: float
    seconds: float
    server_cpu_s: float
    client_cpu_s: float = 0.0
    bytes_moved: float = 0.0
    #: The share of the machine's processor time that other processes used meanwhile.
    others: float = 0.0

    @property
    def rate(self) -> float:
        """Operations per second, or bytes per second if the workload moves data."""
        return (self.bytes_moved or self.operations) / self.seconds

    @property
    def cost(self) -> float:
        """Server seconds per operation, or per byte."""
        return self.server_cpu_s / max(self.bytes_moved or self.operations, 1)


class LoadProcess:
    """A process of `python -m benchmarks.load`."""

    def __init__(self, spec: LoadSpec) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load", spec.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )

    def read(self) -> str:
        """The next line; RuntimeError if the process ended without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self._process.wait()}")
        return line

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Kills the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def addressed(spec: LoadSpec, target: Target) -> LoadSpec:
    """*spec* with the address and user of *target*."""
    return replace(
        spec, port=target.port, host=target.host, user=target.user, password=target.password, domain=DOMAIN
    )


def measure(target: Target, spec: LoadSpec, responses_per_operation: int = 1) -> Sample:
    """Runs *spec* in two processes with half of the connections each."""
    halves = [spec.connections - spec.connections // _PROCESSES, spec.connections // _PROCESSES]
    workers: list[LoadProcess] = []
    try:
        workers += [LoadProcess(addressed(replace(spec, connections=n), target)) for n in halves if n]
        for worker in workers:
            worker.read()
        machine, before, started = busy_seconds(), cpu_seconds(target), time.monotonic()
        for worker in workers:
            worker.go()
        results = [json.loads(worker.read()) for worker in workers]
        used, elapsed = cpu_seconds(target) - before, time.monotonic() - started
        machine = busy_seconds() - machine
    finally:
        for worker in workers:
            worker.end()
    operations = sum(result["responses"] for result in results) / responses_per_operation
    seconds = sum(result["seconds"] for result in results) / len(results)
    client = sum(result["cpu"] for result in results)
    moved = operations * spec.size if spec.size >= 65536 else 0.0
    return Sample(operations, seconds, used, client, moved, others_share(machine - used - client, elapsed))


def others_share(seconds: float, elapsed: float) -> float:
    """*seconds* of processor time of other processes as a share of what the machine has."""
    return max(seconds, 0.0) / elapsed / (os.cpu_count() or 1)


def idle_memory(target: Target, sessions: int) -> tuple[int, int, int]:
    """(resident after, proportional after, proportional before) in bytes for idle connections with one session each."""
    _, before = memory_bytes(target)
    worker = LoadProcess(addressed(LoadSpec(0, "idle", sessions), target))
    try:
        worker.read()
        resident, proportional = memory_bytes(target)
    finally:
        worker.end()
    return resident, proportional, before
