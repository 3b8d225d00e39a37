"""The network between client and server: this machine's loopback, or a veth pair between two network namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

SERVER, CLIENT, NETWORK = "10.99.0.1", "10.99.0.2", "10.99.0.0/24"
_INSIDE = "FREVO_BENCH_IN_NAMESPACE"  # set in the server's namespace, where the program starts itself again
_PROGRAMS = ("ip", "nsenter", "unshare")


@dataclass(frozen=True, slots=True)
class Network:
    """Where the servers listen, and how to start a client. *namespace* is a process in the clients' namespace."""

    name: str = "loopback"
    host: str = "127.0.0.1"
    namespace: int = 0

    @property
    def prefix(self) -> list[str]:
        """The words that start a program where the clients are."""
        return ["nsenter", "-t", str(self.namespace), "-n"] if self.namespace else []


def why_not(*more: str) -> str:
    """Why there can be no namespaces here, for which the programs *more* are needed, too; empty if there can."""
    missing = [name for name in (*_PROGRAMS, *more) if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is missing"
    if os.geteuid():
        return "network namespaces need root (sudo)"
    run = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True, check=False)
    return run.stderr.strip()


def again_inside(module: str, arguments: Sequence[str]) -> int | None:
    """Runs `python -m MODULE` again in a network namespace of its own; its exit code. None if this is it."""
    if _INSIDE in os.environ:
        return None
    command = ["unshare", "-n" if os.geteuid() == 0 else "-rn", sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, env={**os.environ, _INSIDE: "1"}) as inside:
        # Ctrl-C is for the program inside, which has to end its servers.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            return inside.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def run(*words: str, text: str = "") -> None:
    """Runs a program that must succeed."""
    subprocess.run(words, input=text, text=True, check=True)


@contextmanager
def other_namespace() -> Iterator[int]:
    """A process in another network namespace, for the length of the block."""
    command = ["unshare", "-n", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        try:
            other.stdin.write("there\n")
            other.stdin.flush()
            other.stdout.readline()  # it is in its namespace
            yield other.pid
        finally:
            other.stdin.close()


@contextmanager
def veth() -> Iterator[Network]:
    """A veth pair from this namespace, where the servers are, to the clients' one."""
    with other_namespace() as pid:
        network = Network("veth pair", SERVER, pid)
        run("ip", "link", "add", "server", "type", "veth", "peer", "name", "client", "netns", str(pid))
        for words, device, address in (([], "server", SERVER), (network.prefix, "client", CLIENT)):
            run(*words, "ip", "addr", "add", f"{address}/24", "dev", device)
            for name in (device, "lo"):
                run(*words, "ip", "link", "set", name, "up")
        yield network


def set_mtu(mtu: int) -> None:
    """Gives the loopback interface of this namespace another MTU, in bytes."""
    run("ip", "link", "set", "lo", "mtu", str(mtu), "up")


def shape(network: Network, *, mtu: int = 0, rate: str = "", loss: float = 0.0) -> None:
    """Makes a veth pair what a real network is: packets of *mtu* bytes, a *rate* as tc writes it, and a share of them
    that is lost, each way. TCP is cubic.

    There is no delay: that of `frevo.lab` needs nothing of the kernel.
    """
    for prefix, device in (([], "server"), (network.prefix, "client")):
        if mtu:
            run(*prefix, "ip", "link", "set", device, "mtu", str(mtu))
        run(*prefix, "ip", "route", "change", NETWORK, "dev", device, "proto", "kernel", "congctl", "cubic")
        if loss:
            # Segments are made before the packet filter, so that it drops packets and not 64 KiB at a time.
            run(*prefix, "ip", "link", "set", device, "gso_max_segs", "1")
            run(*prefix, "nft", "-f", "-", text=_lossy(device, loss))
        if rate:
            bucket = ("rate", rate, "burst", "64kb", "latency", "50ms")
            run(*prefix, "tc", "qdisc", "add", "dev", device, "root", "tbf", *bucket)


def _lossy(device: str, loss: float) -> str:
    return f"""
        table ip lossy {{
            chain incoming {{
                type filter hook input priority 0
                iifname {device} numgen random mod 10000 < {round(loss * 10_000)} drop
            }}
        }}
    """
