"""What is measured, and the goals: one row of the table for each load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from peers.target import Target

from benchmarks import tools, transfers
from benchmarks.frevo_bench import measure
from benchmarks.network import Network
from benchmarks.sample import Sample

_MIB = 1 << 20
#: The file that READs of any size are made of: data in the page cache, as for limit.c.
READ_FILE = "read {}"
#: The goal of fairness: the 99th percentile of the latencies, divided by the median.
_FAIR = 20.0
#: A connection that waits for ever has no latency: its operations show it.
_LEAST = 0.25


@dataclass(frozen=True, slots=True)
class Stage:
    """What every run needs to know."""

    seconds: float
    network: Network
    folder: Path  # for downloads; it has the file to upload
    connections: int = 1000  # of the row with many


Run = Callable[[Target, Stage], Sample]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that a row compares: a load, and the server that gets it (its name)."""

    server: str
    run: Run


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. The first of *sides* is frevo's; with none, every server gets the load *run*.

    *goals*, by figure: `rate` is the rate as a multiple of the rival's, and `cost` the processor time, of the server or
    the client as *cost_of* says; `limit` is the share of what limit.c reaches, `fairness` p99 / p50 of the latencies,
    `least` the operations of the connection that was served worst, as a share of the median one's.
    """

    name: str
    run: Run | None = None
    unit: str = "op"  # op: rate in op/s, cost in us; GB: GB/s and s/GB
    goals: Mapping[str, float] = field(default_factory=dict)
    sides: Mapping[str, Side] = field(default_factory=dict)
    cost_of: str = "server"
    limit: tuple[int, int, int] | None = None  # SIZE, CONNECTIONS and DEPTH of limit.c
    path: str = ""  # read or write, if rungs of the ladder matter to it
    long: bool = False  # not part of --quick
    both_ends: bool = False  # show what it costs the client, too

    def sides_for(self, servers: Mapping[str, Target]) -> dict[str, Side]:
        """By name, frevo's first. Rows that compare something else than servers have the sides that they have."""
        if self.run is None:
            return dict(self.sides)
        return {name: Side(name, self.run) for name in servers}


#: Which figures must be at least their goal; the others must be at most it.
AT_LEAST = ("rate", "limit", "least")
#: Servers that only rows with sides of their own need, and the options in which they differ from frevo's other one.
VARIANTS: dict[str, dict[str, str]] = {"frevo, 1 thread": {"frevo:data plane threads": "1"}}
#: With more threads, an operation may cost a little more: each of them finds fewer requests when it wakes up.
_MORE_THREADS = 1.25
#: Ways to send a file that limit.c knows; the best one counts.
LIMIT_METHODS = ("copy", "chunk:256", "sendfile", "splice")


def _bench(
    target: Target,
    stage: Stage,
    *words: str,
    connections: int,
    depth: int,
    protect: str = "sign",
    path: str = "",
) -> Sample:
    shape = ("--connections", str(connections), "--qdepth", str(depth))
    prefix = stage.network.prefix
    return measure(target, (*words, *shape), stage.seconds, protect=protect, prefix=prefix, path=path)


def _read(
    target: Target, stage: Stage, size: int, connections: int, depth: int, protect: str = "sign"
) -> Sample:
    """READs of a file with data, which all loops share."""
    path = target.folder() / READ_FILE.format(size)
    if not path.exists():
        transfers.make_file(path, max(size, _MIB))
    words = ("read", "--io-size", str(size))
    shape = {"connections": connections, "depth": depth}
    return _bench(target, stage, *words, **shape, protect=protect, path=path.name)


def _write(
    target: Target, stage: Stage, size: int, connections: int, depth: int, protect: str = "sign"
) -> Sample:
    words = ("write", "--io-size", str(size))
    return _bench(target, stage, *words, connections=connections, depth=depth, protect=protect)


def _of(workload: str, connections: int, depth: int = 1) -> Run:
    return partial(_bench_of, workload=workload, connections=connections, depth=depth)


def _bench_of(target: Target, stage: Stage, workload: str, connections: int, depth: int) -> Sample:
    return _bench(target, stage, workload, connections=connections, depth=depth)


def _many(target: Target, stage: Stage) -> Sample:
    return _read(target, stage, 4096, stage.connections, 1)


def _torture(test: str, processes: int) -> Run:
    def run(target: Target, stage: Stage) -> Sample:
        return tools.smbtorture(target, stage.network, test, stage.seconds, processes)

    return run


def _transfer(client: str, verb: str, protect: str) -> Run:
    def run(target: Target, stage: Stage) -> Sample:
        return transfers.transfer(target, stage.network, client, verb, stage.folder, protect)

    return run


def _read_row(
    name: str, size: int, connections: int, depth: int, protect: str = "sign", **goals: float
) -> Row:
    shape = (size, connections, depth) if "limit" in goals else None
    run = partial(_read, size=size, connections=connections, depth=depth, protect=protect)
    unit = "GB" if size >= 65536 else "op"
    return Row(f"READ {name}", run, unit, goals, limit=shape, path="read" if unit == "GB" else "")


def _write_row(
    name: str, size: int, connections: int, depth: int, protect: str = "sign", **goals: float
) -> Row:
    run = partial(_write, size=size, connections=connections, depth=depth, protect=protect)
    unit = "GB" if size >= 65536 else "op"
    return Row(f"WRITE {name}", run, unit, goals, path="write" if unit == "GB" else "")


def _threads_row(name: str, run: Run, unit: str = "op") -> Row:
    """As many threads as there are processors beside one."""
    sides = {"all threads": Side("frevo", run), "1 thread": Side("frevo, 1 thread", run)}
    return Row(f"{name}, all threads beside 1", unit=unit, goals={"cost": _MORE_THREADS}, sides=sides, both_ends=True)


def _client_row(verb: str, server: str, protect: str = "", **goals: float) -> Row:
    said = "from" if verb == "get" else "to"
    how = {"": "", "off": ", neither signs", "sign": ", both sign"}[protect]
    sides = {client: Side(server, _transfer(client, verb, protect)) for client in ("frevo", "smbclient")}
    return Row(f"{verb} {said} {server}{how}", unit="GB", goals=goals, sides=sides, cost_of="client")


ROWS: tuple[Row, ...] = (
    Row("ECHO 4x1 signed", _of("echo", 4)),
    Row("ECHO 4x4 signed", _of("echo", 4, 4), goals={"rate": 3.5, "cost": 0.22}),
    _read_row("4 KiB 4x1 signed", 4096, 4, 1),
    _read_row("4 KiB 4x8 signed", 4096, 4, 8, rate=4.5, cost=0.13),
    _write_row("4 KiB 4x8 signed", 4096, 4, 8, rate=3, cost=0.25),
    _read_row("64 KiB 4x8 signed", 65536, 4, 8, rate=2.5, cost=0.35),
    _read_row("2 MiB 8x2", 2 * _MIB, 8, 2, "off", limit=0.9, rate=1.2, cost=0.8),
    _read_row("2 MiB 4x2", 2 * _MIB, 4, 2, "off", limit=0.9, rate=1.2, cost=0.8),
    _read_row("8 MiB 2x4", 8 * _MIB, 2, 4, "off", limit=0.9, rate=1.2, cost=0.8),
    _read_row("2 MiB 4x2 signed", 2 * _MIB, 4, 2, rate=1.25, cost=0.65),
    _read_row("2 MiB 4x2 encrypted", 2 * _MIB, 4, 2, "encrypt", rate=1.7, cost=0.4),
    _write_row("2 MiB 4x2", 2 * _MIB, 4, 2, "off", rate=1.3, cost=0.7),
    _write_row("2 MiB 4x2 signed", 2 * _MIB, 4, 2, rate=1.3, cost=0.7),
    _write_row("2 MiB 4x2 encrypted", 2 * _MIB, 4, 2, "encrypt", rate=1.5, cost=0.5),
    Row("70 % READ, 30 % WRITE, 4 KiB 16x4 signed", _of("mixed", 16, 4), goals={"rate": 2.5, "cost": 0.3}),
    Row("SESSION_SETUP + LOGOFF 4x1", _of("session", 4), goals={"rate": 3, "cost": 0.25}),
    Row("OPEN + CLOSE 4x1 signed", _of("open", 4), goals={"rate": 0.7, "cost": 1.05}),
    Row(
        "READ 4 KiB, many connections",
        goals={"rate": 0.8, "fairness": _FAIR, "least": _LEAST},
        sides={
            "many x1": Side("frevo", _many),
            "16x1": Side("frevo", partial(_read, size=4096, connections=16, depth=1)),
        },
        both_ends=True,
    ),
    _threads_row("ECHO 16x2 signed", _of("echo", 16, 2)),
    _threads_row("READ 4 KiB 16x2 signed", partial(_read, size=4096, connections=16, depth=2)),
    _threads_row("READ 2 MiB 16x1", partial(_read, size=2 * _MIB, connections=16, depth=1, protect="off"), "GB"),
    Row("smbtorture bench.echo, 2 in parallel", _torture("smb2.bench.echo", 2), long=True),
    Row(
        "smbtorture bench.path-contention-shared", _torture("smb2.bench.path-contention-shared", 1), long=True
    ),
    _client_row("get", "smbd", rate=1, cost=0.7),
    _client_row("put", "smbd", rate=1, cost=0.7),
    *(_client_row(verb, "smbd", protect) for verb in ("get", "put") for protect in ("off", "sign")),
    _client_row("get", "frevo", rate=1.5, cost=0.7),
    _client_row("put", "frevo", rate=1.5, cost=0.7),
)
