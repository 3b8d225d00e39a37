"""frevo and its rivals side by side on private configurations, and their memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from peers.frevo_server import FREVO, frevo_server
from peers.samba_server import samba_module, samba_server
from peers.target import Target

from benchmarks.network import Network

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
#: smbd with its default ways to read and write, and with those of a module; the better one counts.
SAMBA_KINDS = {"smbd": "", "smbd io_uring": "io_uring"}
#: Signing is up to the client: each load says what it wants.
_SIGNING = {"server signing": "auto"}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def all_servers(
    base: Path,
    network: Network,
    options: Mapping[str, str] | None = None,
    against: Path | None = None,
    rungs: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[dict[str, Target]]:
    """frevo, its rivals, and frevo again for each of *rungs* (a name and its options), with their files below *base*.

    The rivals are smbd with and without io_uring, or the frevo of another checkout, *against*, with the same options,
    as far as it has them.
    """
    settings = {**_SIGNING, **(options or {})}
    with ExitStack() as stack:

        def frevo(name: str, more: Mapping[str, str], command: Sequence[str] = FREVO) -> Target:
            place = base / name.replace(" ", "-").replace(",", "")
            server = frevo_server(place, {**settings, **more}, host=network.host, command=command)
            return stack.enter_context(server)

        servers = {"frevo": frevo("frevo", {})}
        if against is not None:
            servers["other"] = frevo("other", {}, command=[str(against / ".venv/bin/frevo")])
        else:
            for name, module in SAMBA_KINDS.items():
                if module and not samba_module(module):
                    print(f"without {name}: install samba-vfs-modules", file=sys.stderr)
                    continue
                same = {**SAMBA_OPTIONS, **_SIGNING, "vfs objects": module}
                peer = samba_server(base / name.replace(" ", "-"), options=same, host=network.host)
                servers[name] = stack.enter_context(peer)
        servers |= {name: frevo(name, more) for name, more in (rungs or {}).items()}
        yield servers


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
