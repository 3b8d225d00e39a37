"""The workloads, and their goals: frevo's rate and processor time as multiples of Samba's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peers.target import Target

from benchmarks import tools
from benchmarks.load import LoadSpec
from benchmarks.loadgen import Sample, measure


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how large."""

    seconds: float
    transfer_bytes: int
    folder: Path
    protection: str = "signed"  # of loads without their own


@dataclass(frozen=True, slots=True)
class Workload:
    """One line of the table. Goals are None if there are none."""

    name: str
    run: Callable[[Target, Settings], Sample]
    unit: str = "op"  # op: rate in op/s, cost in us; GB: GB/s and s/GB
    rate_goal: float | None = None
    cost_goal: float | None = None
    limit: tuple[str, int, int, int] | None = None  # limit.c's arguments for the same shape
    quick: bool = True  # part of --quick


def _load(spec: LoadSpec, responses: int = 1) -> Callable[[Target, Settings], Sample]:
    def run(target: Target, settings: Settings) -> Sample:
        timed = LoadSpec(
            0,
            spec.workload,
            spec.connections,
            spec.depth,
            spec.size,
            spec.protection or settings.protection,
            settings.seconds,
        )
        return measure(target, timed, responses)

    return run


def _read(
    size: int, connections: int, depth: int, protection: str = ""
) -> Callable[[Target, Settings], Sample]:
    return _load(LoadSpec(0, "read", connections, depth, size, protection))


def _echo(connections: int, depth: int) -> Callable[[Target, Settings], Sample]:
    return _load(LoadSpec(0, "echo", connections, depth, protection=""))


def _torture(test: str, processes: int) -> Callable[[Target, Settings], Sample]:
    return lambda target, settings: tools.smbtorture(target, test, settings.seconds, processes)


def _put(target: Target, settings: Settings) -> Sample:
    return tools.smbclient_transfer(target, f"put {settings.folder / 'big'} big", settings.transfer_bytes)


def _get(target: Target, settings: Settings) -> Sample:
    return tools.smbclient_transfer(target, "get big /dev/null", settings.transfer_bytes)


_SMALL = ("batch", 4096, 4, 8)
_BULK = ("chunk:256", 2 << 20, 4, 2)

WORKLOADS: tuple[Workload, ...] = (
    Workload("smbtorture bench.echo, 2 in parallel", _torture("smb2.bench.echo", 2), "op", 1.2, 0.6, quick=False),
    Workload("ECHO 4x1", _echo(4, 1), "op", 1.2, 0.6, ("batch", 0, 4, 1)),
    Workload("ECHO 4x4", _echo(4, 4), "op", 1.2, 0.6, ("batch", 0, 4, 4)),
    Workload("READ 4 KiB 4x1", _read(4096, 4, 1), "op", 1.5, 0.35, ("batch", 4096, 4, 1)),
    Workload("READ 4 KiB 4x8", _read(4096, 4, 8), "op", 1.5, 0.35, _SMALL),
    Workload("READ 4 KiB 4x8 signed", _read(4096, 4, 8, "signed"), "op", 1.5, 0.35, _SMALL),
    Workload("READ 4 KiB 4x8 encrypted", _read(4096, 4, 8, "encrypted"), "op", 1.2, None, _SMALL),
    Workload("READ 64 KiB 4x8", _read(65536, 4, 8), "GB", 1.0, 1.1, ("chunk:64", 65536, 4, 8)),
    Workload("READ 2 MiB 4x2", _read(2 << 20, 4, 2), "GB", 1.0, 1.1, _BULK),
    Workload("READ 2 MiB 4x2 signed", _read(2 << 20, 4, 2, "signed"), "GB", 1.0, 1.1, _BULK),
    Workload("READ 2 MiB 4x2 encrypted", _read(2 << 20, 4, 2, "encrypted"), "GB", 1.2, None, _BULK),
    Workload(
        "smbtorture bench.path-contention-shared", _torture("smb2.bench.path-contention-shared", 1), "op", 0.7,
        quick=False,
    ),
    Workload("OPEN + CLOSE 4x1", _load(LoadSpec(0, "open", 4, protection=""), 2), "op", 0.7),
    Workload("SESSION_SETUP + LOGOFF 4x1", _load(LoadSpec(0, "session", 4, protection=""), 3), "op", 1.0),
    Workload("smbclient put", _put, "GB", 0.9),
    Workload("smbclient get", _get, "GB", 0.9),
)  # fmt: skip
