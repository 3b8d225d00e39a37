"""What the server copies for large READs and WRITEs: the share of its processor time in each function that copies, by
perf, over a veth pair. As root: python -m benchmarks.copies

Clients are in another network namespace and processes of their own, so their copies do not count. What is left of a
READ that is spliced are the headers; of a WRITE, the copy into the page cache.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from peers.frevo_server import frevo_server
from peers.target import Target

from benchmarks.frevo_bench import frevo_bench
from benchmarks.network import Network, again_inside, veth, why_not
from benchmarks.options import number
from benchmarks.rungs import rungs
from benchmarks.transfers import make_file

_MIB = 1 << 20
_FILE = "data"
_SIZE = 64 * _MIB
#: Large READs and WRITEs, neither signed nor encrypted.
_SHAPE = ("--io-size", str(2 * _MIB), "--connections", "4", "--qdepth", "2")
#: Parts of the names of functions that copy data between user memory, pages and sockets; the last two are the C
#: library's, too.
COPYING = ("copy_to_iter", "copy_from_iter", "copy_page_to_iter", "copy_page_from_iter", "copy_folio_from_iter",
           "copy_user", "rep_movs_alternative", "memcpy", "memmove")  # fmt: skip
#: Samples per second of each thread.
_FREQUENCY = 499
#: Where perf begins: frevo bench has connected by then.
_LEAD_S = 1.0


class Profile(msgspec.Struct):
    """Where a server's processor time went during a load."""

    rate: float  # bytes per second
    samples: int
    copies: dict[str, float]  # by function, in percent of the samples

    @property
    def share(self) -> float:
        """Of all copying functions, in percent."""
        return sum(self.copies.values())


@functools.cache
def why_no_perf() -> str:
    """Why perf cannot tell here; empty if it can."""
    if reason := why_not():
        return reason
    if shutil.which("perf") is None:
        return "perf is missing: apt-get install linux-perf"
    with tempfile.TemporaryDirectory(prefix="frevo-perf-") as folder:
        data = Path(folder, "data")
        run = subprocess.run(
            ["perf", "record", "-q", "-e", "cpu-clock", "-o", data, "sha256sum", "/proc/self/exe"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode or not symbols(data, None):
            return f"perf does not work here: {run.stderr.strip()[:200] or 'no samples'}"
    return ""


def symbols(data: Path, pid: int | None) -> dict[str, int]:
    """How many samples of a process hit each function."""
    words = ["perf", "script", "-i", str(data), "-F", "ip,sym", "--no-demangle"]
    run = subprocess.run(
        words + (["--pid", str(pid)] if pid else []), capture_output=True, text=True, check=True
    )
    found: dict[str, int] = {}
    for line in run.stdout.splitlines():
        _, _, name = line.strip().partition(" ")
        if name:
            found[name] = found.get(name, 0) + 1
    return found


def profiled(target: Target, network: Network, load: Sequence[str], seconds: float) -> Profile:
    """Runs a load while perf looks at the server."""
    found: dict[str, float] = {}

    def run() -> None:
        report = frevo_bench(
            target,
            load,
            seconds + 2 * _LEAD_S,
            protect="off",
            prefix=network.prefix,
            path=_FILE if load[0] == "read" else "",
        )
        found["rate"] = report["bytes"] / report["seconds"]

    with tempfile.TemporaryDirectory(prefix="frevo-perf-") as folder:
        data = Path(folder, "data")
        loading = threading.Thread(target=run)
        loading.start()
        loading.join(_LEAD_S)
        words = ("-q", "-e", "cpu-clock", "-F", str(_FREQUENCY), "-p", str(target.pid), "-o", str(data))
        subprocess.run(
            ["perf", "record", *words, "--", "sleep", str(seconds)], check=True, capture_output=True
        )
        loading.join()
        counts = symbols(data, target.pid)
    if "rate" not in found:
        raise SystemExit("copies: the load failed")
    total = sum(counts.values())
    copies = {
        name: 100 * count / total
        for name, count in counts.items()
        if any(part in name for part in COPYING)
    }
    return Profile(found["rate"], total, dict(sorted(copies.items(), key=lambda one: -one[1])))


def measure(ways: Mapping[str, Mapping[str, str]], seconds: float) -> dict[str, Profile]:
    """A profile for each of *ways*, a name and the options of a server, in this network namespace."""
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    found = {}
    with veth() as network, tempfile.TemporaryDirectory(prefix="frevo-copies-", dir=base) as folder:
        for number, (name, more) in enumerate(ways.items()):
            options = {"server signing": "auto", **more}
            with frevo_server(Path(folder, str(number)), options, host=network.host) as server:
                make_file(server.folder() / _FILE, _SIZE)
                found[name] = profiled(server, network, (name.partition(":")[0], *_SHAPE), seconds)
                (server.folder() / _FILE).unlink()
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.copies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=number(0.1, float), default=5.0, help="length of each profile (default 5)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="ways with this text in their name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    known = {name: more for named in rungs().values() for name, more in named.items()}
    ways = {name: more for name, more in known.items() if options.only in name}
    if not ways:
        parser.error(f"no way has {options.only!r} in its name: {', '.join(known)}")
    if reason := why_no_perf():
        print(f"copies: {reason}", file=sys.stderr)
        return 2
    code = again_inside("benchmarks.copies", arguments)
    if code is not None:
        return code
    found = measure(ways, options.seconds)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    for name, profile in found.items():
        parts = ", ".join(f"{function} {share:.1f}" for function, share in profile.copies.items())
        print(
            f"{name}: {profile.rate / 1e9:.2f} GB/s, {profile.samples} samples, "
            f"{profile.share:.1f} % of them copy: {parts or '-'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
