"""frevo and smbd side by side on private configurations, with their processor time and memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.frevo_server import frevo_server
from peers.samba_server import samba_server
from peers.target import Target

#: The defaults of smbd: the test harness adds modules and stricter locking for smbtorture.
SAMBA_OPTIONS = {
    "vfs objects": "",
    "ea support": "yes",
    "strict locking": "auto",
    "kernel share modes": "no",  # refused by kernels since 6.0
    "posix locking": "yes",
    "map archive": "no",
    "log level": "0",
}
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def both_servers(
    base: Path, signing: str, frevo_options: dict[str, str] | None = None, against: Path | None = None
) -> Iterator[dict[str, Target]]:
    """The two servers, frevo and its peer, with all their files below *base* and the same `server signing`.

    The peer is smbd, or the frevo of another checkout, *against*, with the same options, as far as it has them.
    """
    same = {"server signing": signing}
    options = {**same, **(frevo_options or {})}
    peer = (
        samba_server(base / "samba", options={**SAMBA_OPTIONS, **same})
        if against is None
        else frevo_server(base / "other", options=options, command=[str(against / ".venv/bin/frevo")])
    )
    with frevo_server(base / "frevo", options=options) as frevo, peer as other:
        yield {"frevo": frevo, "peer": other}


def _processes(leader: int) -> Iterator[tuple[int, list[str]]]:
    """(PID, fields of its stat file from the state on) of every process in the session of *leader*."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            text = Path(entry.path, "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile
        fields = text.rpartition(")")[2].split()
        if int(fields[3]) == leader:
            yield int(entry.name), fields


def cpu_seconds(target: Target) -> float:
    """Processor time of the server so far, with all threads and children, also ended ones."""
    return sum(sum(map(int, fields[11:15])) for _, fields in _processes(target.pid)) * _TICK_S


def processes(target: Target) -> set[int]:
    """The PIDs of all processes of the server."""
    return {pid for pid, _ in _processes(target.pid)}


def wait_for_children(target: Target, before: set[int], timeout_s: float = 3.0) -> None:
    """Waits until the processes created since *before* have ended: only then is their time counted for the parent."""
    deadline = time.monotonic() + timeout_s
    while processes(target) - before and time.monotonic() < deadline:
        time.sleep(0.02)


def memory_bytes(target: Target) -> tuple[int, int]:
    """(resident, proportional) memory of all processes of the server; shared memory counts once in the second."""
    resident = proportional = 0
    for pid, fields in _processes(target.pid):
        resident += int(fields[21]) * _PAGE_BYTES
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        proportional += next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return resident, proportional
