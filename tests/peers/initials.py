"""Valid Initial packets of QUIC by the thousand, from nobody who would ever answer (RFC 9000, 9001).

Every packet has a connection id of its own and holds the same ClientHello, encrypted with the keys that follow from the
connection id. A QUIC stack would need a millisecond for each.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from peers.quic_stacks import client_configuration, part

VERSION_1 = 1
DATAGRAM_BYTES = 1200
_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
_TAG_BYTES = 16
#: Long header types of version 1 (RFC 9000, 17.2).
INITIAL, ZERO_RTT, HANDSHAKE, RETRY = range(4)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label of TLS 1.3, for one block of SHA-256."""
    full = b"tls13 " + label
    info = struct.pack(">HB", length, len(full)) + full + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:length]


class InitialKeys:
    """What protects a client's Initial packets to the connection id *destination* (RFC 9001, 5.2)."""

    def __init__(self, destination: bytes) -> None:
        initial = hmac.digest(_SALT, destination, hashlib.sha256)
        client = _expand(initial, b"client in", 32)
        self._aead = AESGCM(_expand(client, b"quic key", 16))
        self._nonce = int.from_bytes(_expand(client, b"quic iv", 12), "big")
        self._mask = Cipher(algorithms.AES(_expand(client, b"quic hp", 16)), modes.ECB())

    def _header_mask(self, sample: bytes) -> bytes:
        encryptor = self._mask.encryptor()
        return encryptor.update(sample)

    def seal(self, header: bytes, number: int, payload: bytes) -> bytes:
        """The packet; *header* ends with the packet number, in four bytes."""
        nonce = (self._nonce ^ number).to_bytes(12, "big")
        sealed = self._aead.encrypt(nonce, payload, header)
        mask = self._header_mask(sealed[:16])
        packet = bytearray(header + sealed)
        packet[0] ^= mask[0] & 0x0F
        for index in range(4):
            packet[len(header) - 4 + index] ^= mask[1 + index]
        return bytes(packet)


class Hello(NamedTuple):
    """A ClientHello, and the client's connection id, which its transport parameters repeat."""

    data: bytes
    source: bytes


def client_hello(server_name: str = "localhost", alpn: str = "smb") -> Hello:
    """aioquic's."""
    quic = part("aioquic", "quic.connection").QuicConnection(
        configuration=client_configuration("aioquic", None, server_name=server_name, alpn=(alpn,))
    )
    quic.connect(("127.0.0.1", 1), now=0.0)
    stream = next(iter(quic._crypto_streams.values()))
    return Hello(bytes(stream.sender._buffer), quic.host_cid)


def initial(
    hello: Hello, *, token: bytes = b"", destination: bytes | None = None, closes: bool = False
) -> bytes:
    """A client's first packet, in a datagram of 1200 bytes. closes: it ends the connection that it begins."""
    destination = os.urandom(8) if destination is None else destination
    frame = b"\x06\x00" + struct.pack(">H", 0x4000 | len(hello.data)) + hello.data
    if closes:
        frame += b"\x1c\0\0\0"  # CONNECTION_CLOSE (RFC 9000, 19.19)
    start = struct.pack(">BI", 0xC3, VERSION_1) + bytes([len(destination)]) + destination
    start += bytes([len(hello.source)]) + hello.source + struct.pack(">H", 0x4000 | len(token)) + token
    room = DATAGRAM_BYTES - len(start) - 2  # for number, payload and tag
    payload = frame.ljust(room - 4 - _TAG_BYTES, b"\0")
    header = start + struct.pack(">H", 0x4000 | room) + struct.pack(">I", 0)
    return InitialKeys(destination).seal(header, 0, payload)


def packet_type(datagram: bytes) -> str:
    """The kind of the first packet in a datagram, by its header alone."""
    if not datagram[0] & 0x80:
        return "short"
    if datagram[1:5] == bytes(4):
        return "version negotiation"
    return ("initial", "0-RTT", "handshake", "retry")[datagram[0] >> 4 & 3]


class Flood:
    """Sends Initials from many addresses of this machine, and counts what comes back."""

    def __init__(self, host: str, port: int, sources: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._sockets: list[socket.socket] = []
        self.sent = self.sent_bytes = self.received_bytes = 0
        self.received: dict[str, int] = {}
        for source in sources:
            made = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.bind((source, 0))
            made.connect((host, port))
            made.setblocking(False)
            self._sockets.append(made)

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, count: int, hello: Hello, *, closes: bool = False) -> Iterator[int]:
        """Sends *count* packets, and gives how many so far after each hundred."""
        for number in range(count):
            datagram = initial(hello, closes=closes)
            self._sockets[number % len(self._sockets)].send(datagram)
            self.sent += 1
            self.sent_bytes += len(datagram)
            if number % 100 == 99:
                self.take()
                yield number + 1

    def take(self) -> None:
        """Counts what has come back so far."""
        for one in self._sockets:
            try:
                while True:
                    data = one.recv(65536)
                    kind = packet_type(data)
                    self.received[kind] = self.received.get(kind, 0) + 1
                    self.received_bytes += len(data)
            except (BlockingIOError, ConnectionRefusedError):
                continue
