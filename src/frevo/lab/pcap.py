"""Captures of a stream that has no network: a pcap file with the TCP packets that would have carried it."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

Direction = Literal["up", "down"]  # from the client, from the server

_FILE_HEADER = struct.Struct("<IHHiIII")
_PACKET_HEADER = struct.Struct("<IIII")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_MAGIC, _SNAPLEN, _RAW_IP = 0xA1B2C3D4, 1 << 18, 101
_SYN, _ACK, _PSH, _FIN = 0x02, 0x10, 0x08, 0x01
#: Bytes of data in one packet; with its headers it has to fit into an IP packet.
_SEGMENT_BYTES = 65_000
_CLIENT, _SERVER = bytes((127, 0, 0, 1)), bytes((127, 0, 0, 2))


class StreamCapture:
    """Writes what both ends of a stream send, as packets between 127.0.0.1 and port *port* of 127.0.0.2.

    tshark and Wireshark choose the dissector by the port, or by what the data look like. Use it as a context manager,
    or call `close`. Times are the caller's, in seconds from the start.
    """

    def __init__(self, path: str | Path, port: int, client_port: int = 49152) -> None:
        """Begins the file with the handshake. OSError if it cannot be written."""
        self._file: IO[bytes] = Path(path).open("wb")  # noqa: SIM115
        self._ports = {"up": (client_port, port), "down": (port, client_port)}
        self._next = {"up": 1000, "down": 2000}
        self._file.write(_FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, _SNAPLEN, _RAW_IP))
        self._packet("up", _SYN, b"", 0.0)
        self._packet("down", _SYN | _ACK, b"", 0.0)
        self._packet("up", _ACK, b"", 0.0)

    def add(self, direction: Direction, data: bytes, at: float = 0.0) -> None:
        """The next bytes of one direction."""
        for start in range(0, len(data), _SEGMENT_BYTES):
            self._packet(direction, _PSH | _ACK, data[start : start + _SEGMENT_BYTES], at)

    def end(self, direction: Direction, at: float = 0.0) -> None:
        """Nothing more comes in this direction."""
        self._packet(direction, _FIN | _ACK, b"", at)

    def _packet(self, direction: Direction, flags: int, data: bytes, at: float) -> None:
        other: Direction = "down" if direction == "up" else "up"
        addresses = (_CLIENT, _SERVER) if direction == "up" else (_SERVER, _CLIENT)
        sequence = self._next[direction]
        acknowledged = self._next[other] if flags & _ACK else 0
        self._next[direction] = (sequence + len(data) + bool(flags & (_SYN | _FIN))) & 0xFFFF_FFFF
        source, target = self._ports[direction]
        tcp = _TCP.pack(source, target, sequence, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
        size = _IPV4.size + len(tcp) + len(data)
        head = (0x45, 0, size, 0, 0x4000, 64, 6)
        unsummed = _IPV4.pack(*head, 0, *addresses)
        ip = _IPV4.pack(*head, _checksum(unsummed), *addresses)
        pseudo = b"".join((*addresses, bytes((0, 6)), (len(tcp) + len(data)).to_bytes(2)))
        summed = _checksum(pseudo + tcp + data)
        tcp = _TCP.pack(source, target, sequence, acknowledged, 5 << 4, flags, 0xFFFF, summed, 0)
        seconds, rest = divmod(round(at * 1e6), 1_000_000)
        self._file.write(_PACKET_HEADER.pack(seconds, rest, size, size) + ip + tcp + data)

    def close(self) -> None:
        """The file is complete."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _checksum(data: bytes) -> int:
    """The Internet checksum ([RFC 1071])."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
