"""What the server holds when no client is left, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from peers.frevo_server import status_of

#: The first rounds fill caches and pools; a leak is what has grown in all of the last ones. Fewer rounds tell nothing.
_WARM_SHARE, _LATE_SHARE, _ROUNDS_MIN = 0.5, 0.2, 10
#: What may grow after the warm-up without being a leak: a number, and a share of what was there.
_SLACK = {
    "pipes": (4, 0.1),
    "others": (4, 0.1),
    "threads": (4, 0.1),
    "resident": (8 << 20, 0.1),
    "locked": (1 << 20, 0.1),
    "pinned": (1 << 20, 0.1),
}


@dataclass(frozen=True, slots=True)
class Holdings:
    """Descriptors by kind, threads, and memory in bytes: resident, locked and pinned."""

    files: int
    sockets: int
    pipes: int
    others: int
    threads: int
    resident: int
    locked: int
    pinned: int

    @property
    def descriptors(self) -> int:
        """All of them."""
        return self.files + self.sockets + self.pipes + self.others

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def holdings(pid: int) -> Holdings:
    """Those of a process at this moment."""
    kinds = {"socket:": "sockets", "pipe:": "pipes", "anon_inode:": "others"}
    found = dict.fromkeys(("files", "sockets", "pipes", "others"), 0)
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # closed meanwhile
        found[next((kind for start, kind in kinds.items() if target.startswith(start)), "files")] += 1
    status = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        status[name] = value.split()[0] if value.split() else ""
    resident, locked, pinned = (int(status[name]) * 1024 for name in ("VmRSS", "VmLck", "VmPin"))
    return Holdings(**found, threads=int(status["Threads"]), resident=resident, locked=locked, pinned=pinned)


def open_files(pid: int) -> list[str]:
    """The paths of files that are open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("/"):
            found.append(target)
    return sorted(found)


def leaks(before: Holdings, rounds: Sequence[Holdings]) -> list[str]:
    """What is there that should not be: *before* the load, and after each round.

    Files and sockets belong to clients: with none, there are as many as before. Everything else may grow
    until it is warm.
    """
    found = []
    for number, after in enumerate(rounds, 1):
        for name in ("files", "sockets"):
            if (now := getattr(after, name)) > (then := getattr(before, name)):
                found.append(f"round {number}: {now} {name} are open without a client, {then} were before")
    if len(rounds) < _ROUNDS_MIN:
        return found
    warm = round(len(rounds) * _WARM_SHARE)
    late = rounds[-round(len(rounds) * _LATE_SHARE) :]
    for one in fields(Holdings):
        if one.name in _SLACK:
            number, share = _SLACK[one.name]
            then = max(getattr(after, one.name) for after in rounds[:warm])
            now = min(getattr(after, one.name) for after in late)
            if now > then + max(number, share * then):
                found.append(f"{one.name} grow: {then:,} after {warm} rounds, {now:,} at the end")
    return found


def status(config: Path) -> dict[str, Any]:
    """What `frevo status` tells of the data plane."""
    found: dict[str, Any] = status_of(config)["frevo"]
    return found
