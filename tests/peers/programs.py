"""Finds external programs; a missing one skips the test with its reason, and fails it in CI."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

#: Debian's package for each program.
PACKAGES = {
    "smbclient": "smbclient",
    "smbd": "samba",
    "smbpasswd": "samba-common-bin",
    "smbtorture": "samba-testsuite",
    "tshark": "tshark",
    "dumpcap": "wireshark-common",
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "kmod": "kmod",
    "fio": "fio",
    "tcc": "tcc",
    "make": "make",
    "setsid": "util-linux",
    "rpcclient": "smbclient",
    "rdma": "iproute2",
    "nft": "nftables",
}
#: Below the range of net.ipv4.ip_local_port_range, and above what services have.
_OUR_PORTS = (20000, 30000)
#: /sbin and /usr/sbin may be missing from an ordinary user's PATH.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def in_ci() -> bool:
    """True where nothing may be skipped."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def missing(reason: str) -> NoReturn:
    """Skips the test for *reason*, or fails it in CI."""
    if in_ci():
        pytest.fail(f"{reason} (nothing may be missing in CI)")
    pytest.skip(reason)


def find(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)


def need(name: str) -> str:
    """The path of program *name*."""
    path = find(name)
    if path is None:
        missing(f"{name} is missing: apt-get install {PACKAGES.get(name, name)}")
    return path


@dataclass(frozen=True, slots=True)
class Run:
    """What a program printed and how it ended."""

    command: tuple[str, ...]
    status: int
    output: str

    def ok(self) -> str:
        """The output of a success; fails the test with everything the program said otherwise."""
        assert self.status == 0, f"{' '.join(self.command)}\nended with {self.status}:\n{self.output}"
        return self.output


def run(
    command: Sequence[str],
    timeout_s: float = 60,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text_in: str = "",
) -> Run:
    """Runs *command* to its end, stdout and stderr together; status 124 when *timeout_s* was not enough."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(text_in.encode(), timeout=timeout_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        end_group(process)
        output, _ = process.communicate()
        status = 124
    return Run(tuple(map(str, command)), status, output.decode("utf-8", "replace"))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kills *process* and what it started: it must have been started in a session of its own."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


@contextmanager
def reserved_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A TCP port of *host* that no other program is given until the block ends. Connections to it are refused, until a
    server that was told this port listens there.

    For servers that cannot say which port they got. A socket that is bound but does not listen keeps the kernel from
    handing the port out (bind to port 0, source ports), and SO_REUSEADDR on both lets the server bind it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])


@contextmanager
def reserved_udp_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A UDP port of *host* that no other test is given until the block ends, for servers that cannot say which one they
    got.

    A bound UDP socket would keep the server out, too. So these ports are not among those that the kernel hands out, and
    a bound TCP socket of the same number keeps other tests away.
    """
    for port in random.sample(range(*_OUR_PORTS), 1000):
        with socket.socket() as holder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                holder.bind((host, port))
                probe.bind((host, port))
            except OSError:
                continue
            probe.close()
            yield port
            return
    raise AssertionError("no free UDP port")


def accepts(host: str, port: int) -> bool:
    """Whether a server accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
