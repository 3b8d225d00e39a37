"""`frevo get` and `put` beside smbclient's: one large file, timed from start to end as a user sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from peers import programs
from peers.target import Target

from benchmarks.network import Network
from benchmarks.sample import Cost, Sample, ToolError

#: The names of the file in the share, and of its copy in either place.
SOURCE, COPY = "large", "large copy"
_TIMEOUT_S = 300


def make_file(path: Path, size: int) -> None:
    """Creates a file of *size* bytes of data."""
    block = bytes(range(256)) * 4096
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)


#: What makes both clients protect a transfer alike, for frevo and for smbclient; "" is what each does by default.
_PROTECTIONS = {
    "": ((), ()),
    "off": (("--no-sign",), ("--client-protection=off",)),
    "sign": ((), ("--client-protection=sign",)),
}


def transfer(
    target: Target, network: Network, client: str, verb: str, folder: Path, protect: str = ""
) -> Sample:
    """One get or put of `SOURCE`, which is in the share and in *folder*, by frevo or smbclient.

    *protect*: off or sign, "" as each of them does by default. ToolError if it fails or if not everything arrived.
    """
    here, there = folder / COPY, target.folder() / COPY
    copy = here if verb == "get" else there
    copy.unlink(missing_ok=True)
    ours, theirs = _PROTECTIONS[protect]
    if client == "frevo":
        command = _frevo(target, verb, folder, ours)
    else:
        command = _smbclient(target, verb, folder, theirs)
    cost, started = Cost(target), time.monotonic()
    output = _run([*network.prefix, *command], target)
    seconds = time.monotonic() - started
    server, used, others = cost.end()
    size = (target.folder() / SOURCE).stat().st_size
    if not copy.exists() or copy.stat().st_size != size:
        raise ToolError(f"{client} {verb}: not everything arrived: {output[-300:]}")
    copy.unlink()
    return Sample(1, seconds, server, used, size, others)


def _run(command: Sequence[str], target: Target) -> str:
    environment = {**os.environ, "FREVO_PASSWORD": target.password}
    # An installed frevo is compiled. Else each run would compile it: 0.1 s, an eighth of the whole.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if run.returncode:
        raise ToolError(f"{' '.join(command)}: exit code {run.returncode}: {run.stdout[-300:]}")
    return run.stdout


def _frevo(target: Target, verb: str, folder: Path, options: Sequence[str]) -> list[str]:
    share = f"smb://{target.user}@{target.host}:{target.port}/share"
    words = {
        "get": [f"{share}/{SOURCE}", str(folder / COPY)],
        "put": [str(folder / SOURCE), f"{share}/{COPY}"],
    }
    return [sys.executable, "-m", "frevo", verb, "--quiet", *options, *words[verb]]


def _smbclient(target: Target, verb: str, folder: Path, protection: Sequence[str]) -> list[str]:
    words = {
        "get": f'get "{SOURCE}" "{folder / COPY}"',
        "put": f'put "{folder / SOURCE}" "{COPY}"',
    }
    options = ["-s", "/dev/null", "-p", str(target.port), "-U", target.credentials]
    return [programs.need("smbclient"), target.unc(), *options, *protection, "-c", words[verb]]
