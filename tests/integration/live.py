"""The pair tests' client over a real socket, to a real server process, and what the operating system reports about
it."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pair.client import Client
from peers import transports
from peers.frevo_server import relay
from peers.nonces import Nonces

from integration.test_serve import serving

T = TypeVar("T")


class SocketLink:
    """A connection with the interface of a MemoryLink."""

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port), timeout=10)
        self._arrivals = select.poll()  # select() ends at descriptor 1023
        self._arrivals.register(self.sock, select.POLLIN)
        self.closed = False
        self.number = self.sock.fileno()

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.closed = True

    def receive(self) -> bytes:
        """What arrives within some milliseconds."""
        out = b""
        while not self.closed and self._arrivals.poll(0 if out else 5):
            try:
                chunk = self.sock.recv(1 << 20)
            except ConnectionResetError:
                chunk = b""
            self.closed = not chunk
            out += chunk
        return out

    def reset(self) -> None:
        """Ends the connection as a killed machine's kernel does: RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.closed = True


class Live:
    """Takes the place of the Pair of a client: a server at a port."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.tcp_port = port  # the server's own, where `port` is that of a relay
        self.links: list[SocketLink] = []
        self.nonces = Nonces()  # of all that the server sends

    def connect(self) -> Client:
        link = SocketLink(self.host, self.port)
        self.links.append(link)
        return Client(self, link)  # type: ignore[arg-type]  # the two have what the client uses

    def logged_on(self, dialects: tuple[int, ...] = (0x0311,)) -> Client:
        """Like Pair.logged_on."""
        client = self.connect()
        client.negotiate(dialects)
        client.log_on()
        client.connect_tree("share")
        return client

    def inside(self, call: Callable[..., T], *arguments: object) -> T:
        return call(*arguments)

    def turn(self, seconds: float = 0.0) -> None:
        """Nothing to do: the server runs on its own."""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.nonces.check()
        for link in self.links:
            link.sock.close()


@contextlib.contextmanager
def live_server(config: Path, **more: int) -> Iterator[tuple[subprocess.Popen[str], Live]]:
    """`frevo serve -c config` at a free port; *more* as for `serving`. Over others than TCP, *config* has
    `server_options`."""
    name, option = "tcp", []
    if transports.over_quic():
        name, option = "quic", ["--quic=0"]
    elif transports.over_direct():
        name, option = "smbdirect", ["--rdma=0"]
    with contextlib.ExitStack() as stack:
        process, ready = stack.enter_context(serving("-c", str(config), "-p", "0", "-q", *option, **more))
        port = int(ready[name])
        if name != "tcp":
            port = stack.enter_context(relay("127.0.0.1", port)).port
        live = stack.enter_context(Live("127.0.0.1", port))
        live.tcp_port = int(ready["tcp"])
        yield process, live


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits until *condition* holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        select.select([], [], [], 0.01)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return -1
