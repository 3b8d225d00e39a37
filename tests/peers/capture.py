"""Captures the loopback packets of a block and runs tshark's dissectors on them."""

from __future__ import annotations

import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers import programs
from peers.fpdus import separated

START_TIMEOUT_S = 20.0


@dataclass(slots=True)
class Capture:
    """The packets of *port* in a file; complete after the block of capture(). With a *key_log* they are QUIC's, and
    with *iwarp* SMB Direct's over plain TCP."""

    file: Path
    port: int
    key_log: Path | None = None
    iwarp: bool = False

    def frames(self, display_filter: str, *fields: str) -> list[str]:
        """One line per frame that matches: a summary, or the values of *fields* between tabs."""
        command = [programs.need("tshark"), "-n", "-r", str(self.file), "-2", "-Y", display_filter]
        if self.iwarp:
            # NFS over RDMA is not here, and its dissector cannot stand what it takes for that.
            command += ["-R", "tcp", "-o", "tcp.try_heuristic_first:TRUE", "--disable-protocol", "rpcordma"]
        elif self.key_log is None:
            command += ["-R", "tcp", "-d", f"tcp.port=={self.port},nbss"]
        else:
            command += ["-R", "udp", "-d", f"udp.port=={self.port},quic"]
            command += ["-o", f"tls.keylog_file:{self.key_log}"]
        if fields:
            command += ["-T", "fields", *(word for field in fields for word in ("-e", field))]
        output = programs.run(command, env={"LC_ALL": "C.UTF-8"}).ok()
        return [
            line for line in output.splitlines() if line.strip() and not line.startswith("Running as user")
        ]


@contextmanager
def capture(file: Path, port: int, key_log: Path | None = None, *, iwarp: bool = False) -> Iterator[Capture]:
    """Captures while the block runs. Skips the test where capturing is not allowed. *key_log*: of a QUIC connection."""
    command = [
        programs.need("dumpcap"),
        "-q",
        "-i",
        "lo",
        "-s",
        "0",
        "-B",
        "64",
        "-f",
        f"{'tcp' if key_log is None else 'udp'} port {port}",
        *(["-P"] if iwarp else []),  # pcap, which `separated` reads
        "-w",
        str(file),
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _wait_until_capturing(process)
        made = Capture(file, port, key_log, iwarp)
        yield made
        _wait_until_quiet(file)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            programs.end_group(process)
            process.wait()
        if process.stderr is not None:
            process.stderr.close()
    if iwarp:
        made.file = file.with_suffix(".separated")
        separated(file, made.file)


def _wait_until_capturing(process: subprocess.Popen[bytes]) -> None:
    """dumpcap names its file on stderr when it captures."""
    assert process.stderr is not None
    text = b""
    deadline = time.monotonic() + START_TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while b"File:" not in text:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            chunk = process.stderr.read1(4096)  # type: ignore[union-attr]
            if not chunk:
                break
            text += chunk
    if b"File:" not in text:
        programs.missing(f"cannot capture on lo: {text.decode(errors='replace').strip()}")


def _wait_until_quiet(file: Path) -> None:
    """dumpcap writes in batches: the capture is whole when its file has stopped growing."""
    size, deadline = -1, time.monotonic() + 5
    while size != file.stat().st_size and time.monotonic() < deadline:
        size = file.stat().st_size
        time.sleep(0.3)
