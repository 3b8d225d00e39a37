"""One run of each kind for quic.py: frevo bench, sessions of frevo's library, and other QUIC stacks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peers.certificates import Authority
from peers.quic_stacks import STACKS
from peers.target import Target

from benchmarks.frevo_bench import frevo_bench
from benchmarks.idle import idle_connections
from benchmarks.network import Network
from benchmarks.sample import ToolError
from benchmarks.servers import memory_bytes
from frevo.bench.processor import usage

_ROOT = Path(__file__).parent.parent
#: The ways over TCP, and what frevo bench calls their protection.
TCP = {"tcp": "off", "tcp signed": "sign", "tcp encrypted": "encrypt"}
_FIRST_READ = "first READ"
_FILE = "first-read.bin"
_IP_AND_UDP_BYTES = 28
_MTU = 1500


@dataclass(frozen=True, slots=True)
class Load:
    """What is moved. `up` and `down` are the bytes of one request and its answer, as the other stacks move them."""

    name: str
    workload: str
    up: int
    down: int
    depth: int
    bulk: bool = False  # the rate is in bytes
    rate_goal: float = 0.0  # operations per second
    goals: dict[str, float] = field(default_factory=dict)  # ratios, by what QUIC is compared with
    only: tuple[str, ...] = ()  # what it is compared with; everything by default

    def options(self) -> list[str]:
        """Those of frevo bench."""
        words = [self.workload, "--connections", "1", "--qdepth", str(self.depth)]
        size = max(self.up, self.down)
        if self.workload != "echo":
            words += ["--io-size", str(size), "--file-size", str(max(size, 16 << 20))]
        return words


def first_read(name: str, goal: float) -> Load:
    """Connections that are made only to read once."""
    return Load(name, _FIRST_READ, 0, 0, 1, goals={"tcp": goal}, only=("tcp",))


@dataclass(frozen=True, slots=True)
class Figures:
    """Operations and bytes per second; seconds of processor time for each operation, of all threads of an end."""

    operations: float
    bytes: float
    client_s: float
    server_s: float

    def rate(self, load: Load) -> float:
        return self.bytes if load.bulk else self.operations

    def costs(self, load: Load) -> tuple[float, float]:
        """Of client and server: s/GB or us/op."""
        factor = 1e9 / (load.up + load.down) if load.bulk else 1e6
        return self.client_s * factor, self.server_s * factor


# -- frevo


def frevo_run(target: Target, load: Load, way: str, seconds: float, network: Network) -> Figures:
    """One run of a load against the frevo server, by QUIC or by TCP with a protection."""
    if load.workload == _FIRST_READ:
        return _first_reads(target, way, seconds, network)
    transport: tuple[str, ...] = ()
    if way == "quic":
        place = f"smb+quic://localhost:{target.quic_port}"
        transport = (place, "--tls-ca", str(target.authority), "--address", target.host)
    protect = TCP.get(way, "off")
    found = frevo_bench(
        target, load.options(), seconds, protect=protect, prefix=network.prefix, transport=transport
    )
    costs = (found["cpu"][f"{end}_us_per_op"] / 1e6 for end in ("client", "server"))
    return Figures(found["operations_per_second"], found["bytes_per_second"], *costs)


def _first_reads(target: Target, way: str, seconds: float, network: Network) -> Figures:
    login = {"user": target.user, "password": target.password, "address": target.host}
    if way == "quic":
        login |= {"url": f"smb+quic://localhost:{target.quic_port}/share", "tls_ca": str(target.authority)}
    else:
        login["url"] = f"smb://localhost:{target.port}/share"
    target.folder().joinpath(_FILE).write_bytes(bytes(4096))
    before = usage([target.pid]).seconds
    command = [*network.prefix, sys.executable, "-m", "benchmarks.first_read", _FILE, str(seconds)]
    return _figures(command, before, target.pid, 0, json.dumps(login))


def idle_bytes(target: Target, way: str, count: int, network: Network) -> int:
    """Resident memory that so many idle sessions take on a server that has done nothing else.

    Not the proportional one, which changes when the client maps the same libraries.
    """
    url, authority = f"smb://localhost:{target.port}/share", ""
    if way == "quic":
        url, authority = f"smb+quic://localhost:{target.quic_port}/share", str(target.authority)
    before, _ = memory_bytes(target)
    with idle_connections(target, url, count, authority=authority, prefix=network.prefix):
        return memory_bytes(target)[0] - before


# -- other stacks


def other_stacks(without: Sequence[str]) -> dict[str, list[str]]:
    """The other QUIC stacks and their programs. quinn is left out without cargo."""
    found = {stack: [sys.executable, "-m", "benchmarks.quic_bulk", stack] for stack in STACKS}
    cargo = shutil.which("cargo") or shutil.which(Path.home() / ".cargo/bin/cargo")
    if "quinn" not in without and cargo:
        manifest, built = _ROOT / "benchmarks/quinn_bulk/Cargo.toml", _ROOT / "target/quinn-bulk"
        command = [cargo, "build", "--release", "--quiet", "--locked", "--manifest-path", str(manifest)]
        subprocess.run([*command, "--target-dir", str(built)], check=True)
        found = {"quinn": [str(built / "release/quinn-bulk")], **found}
    return {name: program for name, program in found.items() if name not in without}


class Stack:
    """The server of another stack while it runs."""

    def __init__(
        self, name: str, program: list[str], authority: Authority, mtu: int, network: Network
    ) -> None:
        identity = authority.server()
        #: Of a UDP datagram. Larger than Ethernet's largest needs no other stack to be.
        self._datagram = str(min(mtu or _MTU, 9000) - _IP_AND_UDP_BYTES)
        self._program, self._network = program, network
        words = (
            "server",
            network.host,
            self._datagram,
            str(identity.certificate_file),
            str(identity.key_file),
        )
        self._process = subprocess.Popen([*program, *words], stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ToolError(f"the server on {name} ended with {self._process.wait()}")
        self._port = line.strip()

    def run(self, load: Load, seconds: float) -> Figures:
        """One run of its client."""
        shape = map(str, (load.up, load.down, load.depth, seconds))
        words = ("client", self._network.host, self._datagram, self._port, *shape)
        before = usage([self._process.pid]).seconds
        return _figures(
            [*self._network.prefix, *self._program, *words], before, self._process.pid, load.up + load.down
        )

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _figures(command: list[str], before: float, server: int, size: int, text: str = "") -> Figures:
    """Those that a client prints, with the time that the process *server* has used since *before*."""
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=_ROOT)
    if run.returncode:
        raise ToolError(f"{' '.join(command)}: {run.stderr}")
    found = json.loads(run.stdout)
    done, took = found["operations"], found["seconds"]
    used = usage([server]).seconds - before
    return Figures(done / took, done * size / took, found["client_s"] / done, used / done)
