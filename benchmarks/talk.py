"""Large reads between two machines with fast network cards, as in the talk that frevo's data plane began with: reads of
2 and 8 MiB, 8 connections x 2 and 2 x 4 in flight, in GB/s and in processor seconds per GB of either end.

On the server:       python -m benchmarks.talk serve ADDRESS
On the other one:    what that prints

The file is in the page cache and nothing is signed or encrypted, so that every way to send it may be used. If the
configuration knows several ways, there is a server for each, beside one that chooses by itself. The server also tells
the client how much processor time it has used; anyone who reaches that port may ask.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from peers.frevo_server import FrevoServer, frevo_server
from peers.target import Target

from benchmarks.frevo_bench import frevo_bench
from benchmarks.machine import machine_line
from benchmarks.options import add_settings, number
from benchmarks.options import folder as existing
from benchmarks.rungs import rungs
from benchmarks.sample import LONGER, ToolError
from benchmarks.transfers import make_file
from frevo.bench.processor import usage

_MIB = 1 << 20
_FILE = "data"
_PORT = 4460
_AUTO = "auto"
_ANSWER_BYTES = 65536
_TIMEOUT_S = 10.0
_INTERRUPTED = 130
#: (bytes of a READ, connections, in flight on each)
LOADS = ((2 * _MIB, 8, 2), (2 * _MIB, 2, 4), (8 * _MIB, 8, 2), (8 * _MIB, 2, 4))


# -- the server


@contextmanager
def servers(
    folder: Path, address: str, options: dict[str, str], size: int, password: str
) -> Iterator[dict[str, FrevoServer]]:
    """One server for each way to read, and one that chooses; each shares a file of *size* bytes."""
    settings = {"server signing": "auto", **options}
    ways = {_AUTO: {}, **rungs()["read"]}
    make_file(folder / _FILE, size)
    with ExitStack() as stack:
        found = {}
        for number, (name, more) in enumerate(ways.items()):
            server = frevo_server(
                folder / str(number),
                {**settings, **more},
                {"share": {"read only": "yes"}},
                address,
                password=password,
            )
            found[name] = stack.enter_context(server)
            (found[name].folder() / _FILE).hardlink_to(folder / _FILE)
        yield found


def answer(listener: socket.socket, found: dict[str, FrevoServer]) -> None:
    """Tells one client the servers' ports and processor time."""
    with listener.accept()[0] as client:
        client.settimeout(_TIMEOUT_S)
        known = {name: {"port": one.port, "cpu": usage([one.pid]).seconds} for name, one in found.items()}
        client.sendall(json.dumps(known).encode())


def serve(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    more = dict(line.split("=", 1) for line in options.set)
    password = secrets.token_urlsafe(12)
    base = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="frevo-talk-", dir=base) as folder,
        socket.create_server((options.address, options.port)) as listener,
        servers(Path(folder), options.address, more, options.size * _MIB, password) as found,
    ):
        port = listener.getsockname()[1]
        print(f"Serving on {options.address}. On the other machine, in its checkout of frevo, run:\n")
        print(
            f"    FREVO_PASSWORD={password} .venv/bin/python -m benchmarks.talk load {options.address}:{port}\n"
        )
        print("Ctrl-C ends it.", flush=True)
        try:
            while True:
                try:
                    answer(listener, found)
                except OSError as error:  # a client that went away
                    print(f"talk: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            return 0


# -- the client


def ask(address: str, port: int) -> dict[str, dict[str, Any]]:
    """The servers by name: `port`, and `cpu`, the processor seconds so far."""
    data = b""
    try:
        connection = socket.create_connection((address, port), timeout=_TIMEOUT_S)
    except OSError as error:
        reason = error.strerror or error
        raise ToolError(
            f"{address}:{port}: {reason}: does `python -m benchmarks.talk serve` run there?"
        ) from None
    with connection:
        while (more := connection.recv(_ANSWER_BYTES)) and len(data) < _ANSWER_BYTES:
            data += more
    found: dict[str, dict[str, Any]] = json.loads(data)
    return found


def measure(
    address: str, port: int, way: str, load: tuple[int, int, int], seconds: float
) -> tuple[float, ...]:
    """One run: bytes per second, and processor seconds per byte of server and client."""
    size, connections, depth = load
    words = ("read", "--io-size", str(size), "--connections", str(connections), "--qdepth", str(depth))
    for factor in LONGER:
        before = ask(address, port)[way]
        target = Target("frevo", Path(), address, before["port"], password=os.environ["FREVO_PASSWORD"])
        found = frevo_bench(target, words, seconds * factor, protect="off", path=_FILE)
        used = ask(address, port)[way]["cpu"] - before["cpu"]
        if moved := found["bytes"]:
            return moved / found["seconds"], used / moved, found["cpu"]["client_s"] / moved
    raise ToolError(f"no response from {address} in time")


def load(options: argparse.Namespace) -> int:
    """Prints the table: medians of the rounds, in which every way has its turn."""
    address, port = options.server
    print(f"client: {machine_line()}\n\nMedians of {options.rounds} runs of {options.seconds:g} s.\n")
    print(
        "| READ | connections x in flight | by | GB/s | server CPU-s/GB | client CPU-s/GB |\n"
        + "|---" * 6
        + "|"
    )
    for size, connections, depth in LOADS:
        ways = list(ask(address, port))
        runs: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                shape = (size, connections, depth)
                runs[way].append(measure(address, port, way, shape, options.seconds))
        for way, found in runs.items():
            rate, server, client = (median(column) for column in zip(*found, strict=True))
            cells = (f"{size // _MIB} MiB", f"{connections} x {depth}", way, f"{rate / 1e9:.2f}")
            print(f"| {' | '.join((*cells, f'{server * 1e9:.3f}', f'{client * 1e9:.3f}'))} |", flush=True)
    return 0


def main(arguments: Sequence[str]) -> int:
    """One of the two ends."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.talk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ends = parser.add_subparsers(dest="end", required=True)
    here = ends.add_parser("serve", help="serve a file on this machine")
    here.add_argument("address", metavar="ADDRESS", help="of the network card")
    here.add_argument("--port", type=int, default=_PORT, help=f"where the client asks (default {_PORT})")
    here.add_argument(
        "--size", type=number(16), default=1024, metavar="MIB", help="of the file (default 1024)"
    )
    here.add_argument("--folder", type=existing, help="where to store it (default: /dev/shm)")
    add_settings(here)
    there = ends.add_parser("load", help="read it from another machine")
    there.add_argument("server", type=place, metavar="ADDRESS:PORT", help="as `serve` prints it")
    there.add_argument("--rounds", type=number(1), default=5, help="runs of each load (default 5)")
    there.add_argument(
        "--seconds", type=number(0.1, float), default=10.0, help="length of a run (default 10)"
    )
    options = parser.parse_args(arguments)
    if options.end == "load" and "FREVO_PASSWORD" not in os.environ:
        parser.error("FREVO_PASSWORD is not set: run the command that `serve` has printed")
    try:
        return serve(options) if options.end == "serve" else load(options)
    except (OSError, ToolError) as error:
        print(f"talk: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def place(text: str) -> tuple[str, int]:
    """ADDRESS:PORT, for argparse."""
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT")
    return address.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
