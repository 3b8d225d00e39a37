"""Puts each FPDU of iWARP connections in a capture into a TCP segment of its own, as RDMA cards send them.

tshark 4.0 puts together SMB Direct messages only from the first fragment of each TCP segment, and calls what is left of
the message malformed. Over a plain socket several fragments leave together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

_FILE_HEADER = struct.Struct("<IHHiIII")
_PACKET_HEADER = struct.Struct("<IIII")
_MAGIC = {0xA1B2C3D4, 0xA1B23C4D}
_ETHERNET_BYTES = 14
_IP_BYTES_MAX = 0xFFFF
_PSH_ACK = 0x18


@dataclass(slots=True)
class _Way:
    """One direction of a connection: bytes that have come and begin no whole frame yet."""

    next_sequence: int
    waiting: bytearray = field(default_factory=bytearray)
    started: bool = False

    def add(self, sequence: int, data: bytes) -> list[bytes]:
        """The frames that are whole with *data*."""
        fresh = data[(self.next_sequence - sequence) % (1 << 32) :]
        self.waiting += fresh
        self.next_sequence = (self.next_sequence + len(fresh)) % (1 << 32)
        frames = []
        while (length := self._frame_bytes()) and len(self.waiting) >= length:
            frames.append(bytes(self.waiting[:length]))
            del self.waiting[:length]
        return frames

    def _frame_bytes(self) -> int:
        """How long the next frame is: MPA's request or reply first (RFC 5044, 7.1), then FPDUs (4.1)."""
        if not self.started:
            if len(self.waiting) < 20:
                return 0
            self.started = True
            return 20 + int.from_bytes(self.waiting[18:20], "big")
        if len(self.waiting) < 2:
            return 0
        ulpdu = 2 + int.from_bytes(self.waiting[:2], "big")
        return ulpdu + -ulpdu % 4 + 4


def separated(capture: Path, target: Path) -> None:
    """Writes to *target* the packets of *capture*, which are Ethernet with IPv4 and TCP, in pcap format."""
    data = capture.read_bytes()
    header = _FILE_HEADER.unpack_from(data)
    assert header[0] in _MAGIC and header[6] == 1, f"not pcap of Ethernet: {header}"
    ways: dict[bytes, _Way] = {}
    with target.open("wb") as output:
        output.write(data[: _FILE_HEADER.size])
        at = _FILE_HEADER.size
        while at < len(data):
            seconds, fraction, captured, _ = _PACKET_HEADER.unpack_from(data, at)
            at += _PACKET_HEADER.size
            for packet in _packets(data[at : at + captured], ways):
                output.write(_PACKET_HEADER.pack(seconds, fraction, len(packet), len(packet)) + packet)
            at += captured


def _packets(packet: bytes, ways: dict[bytes, _Way]) -> list[bytes]:
    """What one packet becomes."""
    tcp = _ETHERNET_BYTES + (packet[_ETHERNET_BYTES] & 0xF) * 4
    payload = tcp + (packet[tcp + 12] >> 4) * 4
    end = _ETHERNET_BYTES + int.from_bytes(packet[_ETHERNET_BYTES + 2 : _ETHERNET_BYTES + 4], "big")
    sequence = int.from_bytes(packet[tcp + 4 : tcp + 8], "big")
    key = packet[_ETHERNET_BYTES + 12 : tcp + 4]  # addresses and ports
    if packet[tcp + 13] & 0x02:  # SYN
        ways[key] = _Way((sequence + 1) % (1 << 32))
    if payload >= end or key not in ways:
        return [packet]
    way = ways[key]
    frames = way.add(sequence, packet[payload:end])
    first = way.next_sequence - len(way.waiting) - sum(map(len, frames))
    made = []
    for frame in frames:
        made.append(_segment(packet[:payload], tcp, first % (1 << 32), frame))
        first += len(frame)
    return made


def _segment(headers: bytes, tcp: int, sequence: int, data: bytes) -> bytes:
    """*headers* with this sequence number and these data. Checksums stay as they were; nobody looks at them. What is
    longer than IP allows has length 0, as what a card will cut (TSO) has in captures."""
    made = bytearray(headers)
    total = len(headers) - _ETHERNET_BYTES + len(data)
    made[_ETHERNET_BYTES + 2 : _ETHERNET_BYTES + 4] = (total if total <= _IP_BYTES_MAX else 0).to_bytes(2, "big")
    made[tcp + 4 : tcp + 8] = sequence.to_bytes(4, "big")
    made[tcp + 13] = _PSH_ACK
    return bytes(made) + data
