"""A network between two hosts for tests of what is on the wire: packets are copied on their way, as a network card
does it, and some are lost.

A veth pair alone would not do: it hands on the pages that a packet refers to, and the receiver reads them when its
program does. So the server has a veth pair, with NAPI, as a network card has it, to a router; from there packets go
through a TUN device to a program that copies them to the client's TUN device.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.network import other_namespace, run, why_not

SERVER, ROUTER, FAR_ROUTER, CLIENT = "10.98.1.1", "10.98.1.2", "10.98.2.1", "10.98.2.2"

_TUNSETIFF, _TUN_WITHOUT_INFO = 0x400454CA, 0x1001
_SIOCETHTOOL, _SET_GRO, _SET_TSO = 0x8946, 0x2C, 0x1F
_CLONE_NEWNET = 0x40000000


def why_no_path() -> str:
    """Why there can be no such path here; empty if there can."""
    return why_not() or ("" if Path("/dev/net/tun").exists() else "there is no /dev/net/tun")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts, is in the network namespace with this path."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(fd: int) -> None:
        if libc.setns(fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    before, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(namespace, os.O_RDONLY)
    try:
        enter(there)
        yield
    finally:
        enter(before)
        os.close(before)
        os.close(there)


class LossyPath:
    """The namespaces of the ends, for `inside`."""

    def __init__(self, server: str, client: str) -> None:
        self.server = server
        self.client = client


@contextmanager
def lossy_path(loss: float = 0.01, seed: int = 1) -> Iterator[LossyPath]:
    """A path between SERVER and CLIENT that loses this share of packets, each way; *seed* says which."""
    with ExitStack() as stack:
        server, router, client = (f"/proc/{stack.enter_context(other_namespace())}/ns/net" for _ in range(3))
        with inside(router):
            words = ("type", "veth", "peer", "name", "server", "netns", server.split("/")[2])
            run("ip", "link", "add", "router", *words)
            _switch("router", _SET_TSO, on=False)  # else packets do not go through NAPI
            _up("router", f"{ROUTER}/24")
            near = stack.enter_context(_tun("tunrouter", FAR_ROUTER, CLIENT))
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        with inside(server):
            _switch("server", _SET_GRO, on=True)
            _up("server", f"{SERVER}/24")
            run("ip", "route", "add", "default", "via", ROUTER)
        with inside(client):
            far = stack.enter_context(_tun("tunclient", CLIENT, FAR_ROUTER))
            run("ip", "route", "add", "default", "via", FAR_ROUTER)
        program = str(Path(__file__).with_name("packet_forwarder.py"))
        words = (program, str(near), str(far), str(loss), str(seed))
        command = [sys.executable, *words]
        wire = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(near, far)))
        yield LossyPath(server, client)
        assert wire.stdin is not None
        wire.stdin.close()


@contextmanager
def _tun(name: str, address: str, peer: str) -> Iterator[int]:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_INFO))
        _up(name, address, "peer", peer)
        yield fd
    finally:
        os.close(fd)


def _up(device: str, *address: str) -> None:
    run("ip", "addr", "add", *address, "dev", device)
    run("ip", "link", "set", "dev", device, "up")
    run("ip", "link", "set", "dev", "lo", "up")


def _switch(device: str, what: int, *, on: bool) -> None:
    """Switches a feature of a device on or off (ethtool)."""
    value = ctypes.create_string_buffer(struct.pack("II", what, on), 8)
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
