"""Raw SMB2 packets and a blocking socket client for the transport tests; it only knows headers."""

from __future__ import annotations

import select
import socket
import struct
import time
from types import TracebackType
from typing import Any

from frevo._native import ConnectionSettings, DataPlane, SessionKeys, SessionOpens
from frevo.transport.base import ACCEPTED, Event

HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
SESSION, TREE, FILE_ID = 77, 5, (11, 12)
SERVER_TO_REDIR, SIGNED = 1, 8
READ, WRITE, ECHO = 8, 9, 13


def packet(
    command: int,
    message_id: int,
    body: bytes = b"x" * 16,
    *,
    flags: int = 0,
    credits: int = 1,
    session: int = 0,
    charge: int = 1,
    tree: int = 0,
    status: int = 0,
) -> bytes:
    """One SMB2 packet."""
    fields = (b"\xfeSMB", 64, charge, status, command, credits, flags, 0, message_id, 0, tree, session, b"")
    return HEADER.pack(*fields) + body


def read_request(message_id: int, offset: int, length: int) -> bytes:
    """A READ of the attached file, with the right charge."""
    charge = -(-length // 65536)
    body = struct.pack("<HBBIQQQIIIHHB", 49, 80, 0, length, offset, *FILE_ID, 0, 0, 0, 0, 0, 0)
    return packet(READ, message_id, body, session=SESSION, tree=TREE, charge=charge, credits=charge)


def frame(message: bytes) -> bytes:
    """The message behind its transport header."""
    return struct.pack(">I", len(message)) + message


def session_keys(own: bytes = b"s" * 16, peer: bytes = b"c" * 16, **changes: Any) -> SessionKeys:
    """GMAC and AES-128-GCM keys; own and peer swapped for the other end."""
    values: dict[str, Any] = {
        "signing_algorithm": 2,
        "signing_key": b"k" * 16,
        "cipher": 2,
        "encryption_key": own,
        "decryption_key": peer,
        "signing_required": False,
        "encryption_required": False,
    }
    return SessionKeys(**values | changes)


class Plane:
    """A data plane with one listener on the loopback, polled by hand."""

    def __init__(self, framing: str = "tcp", engine: str = "epoll", threads: int = 2, **limits: Any) -> None:
        self.plane = DataPlane(threads=threads, engine=engine, limits=limits)
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            self.port = listener.getsockname()[1]
            self.listener = self.plane.listen(listener.fileno(), framing)
        self.events: list[Event] = []
        self.clients: list[Client] = []
        self.opens = SessionOpens()  # of the session that `log_on` makes

    def __enter__(self) -> Plane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.sock.close()
        self.plane.shutdown()

    def next(self, kind: int, timeout: float = 20.0) -> Event:
        """The oldest event of this kind; others stay."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event[0] == kind:
                    self.events.remove(event)
                    return event
            ready, _, _ = select.select([self.plane.eventfd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no event of kind {kind} in time, only {self.events}"
            self.events += self.plane.poll()

    def connect(self) -> tuple[Client, int]:
        """A connected client and the connection's number."""
        client = Client(socket.create_connection(("127.0.0.1", self.port), timeout=20))
        self.clients.append(client)
        return client, self.next(ACCEPTED)[1]

    def log_on(self, credits: int = 512, **changes: Any) -> tuple[Client, int]:
        """A client with a session (SESSION) and credits from message id 1 on."""
        client, connection = self.connect()
        client.send(packet(0, 0))
        self.next(1)
        self.plane.set_session(connection, SESSION, session_keys(**changes), self.opens)
        settings = ConnectionSettings(
            authenticated=True, max_read=8 << 20, max_write=8 << 20, multi_credit=True
        )
        self.plane.set_connection(connection, settings)
        self.plane.submit([(connection, 0, 0, packet(0, 0, flags=SERVER_TO_REDIR, credits=credits))])
        assert HEADER.unpack_from(client.receive())[5] == credits
        return client, connection


class Client:
    """A blocking client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, message: bytes) -> None:
        """Sends one message."""
        self.sock.sendall(frame(message))

    def exactly(self, size: int) -> bytes:
        """So many bytes; EOFError when the stream ends first."""
        data = bytearray()
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    def receive(self) -> bytes:
        """One message."""
        return self.exactly(struct.unpack(">I", self.exactly(4))[0])

    def ended(self) -> bool:
        """Waits for the end of the stream; whether it came without more data."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
