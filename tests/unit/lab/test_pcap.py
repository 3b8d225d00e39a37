"""Captures of streams without a network: what tshark reads in them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from peers import programs

from frevo.lab.pcap import StreamCapture


def fields(path: Path, *names: str) -> list[list[str]]:
    """The values of these fields in each packet."""
    command = [programs.need("tshark"), "-n", "-r", str(path), "-T", "fields", "-o", "ip.check_checksum:TRUE"]
    command += ["-o", "tcp.check_checksum:TRUE", *(word for name in names for word in ("-e", name))]
    lines = programs.run(command, env={"LC_ALL": "C.UTF-8"}).ok().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("Running as user")]


def test_tshark_reads_both_directions(tmp_path: Path) -> None:
    """Handshake, data of any size in packets, the ends; checksums are right, and nothing is lost or out of order."""
    path = tmp_path / "stream.pcap"
    up, down = bytes(range(256)) * 300, b"answer"
    with StreamCapture(path, 5445) as capture:
        capture.add("up", up, 0.25)
        capture.add("down", down, 1.5)
        capture.end("up", 2.0)
        capture.end("down", 2.0)
    found = fields(
        path, "frame.time_epoch", "tcp.dstport", "tcp.len", "tcp.analysis.flags", "ip.checksum.status",
        "tcp.checksum.status",
    )  # fmt: skip
    assert [int(one[2]) for one in found] == [0, 0, 0, 65000, len(up) - 65000, len(down), 0, 0]
    assert [one[1] for one in found] == ["5445", "49152", "5445", "5445", "5445", "49152", "5445", "49152"]
    assert [float(one[0]) for one in found] == [0, 0, 0, 0.25, 0.25, 1.5, 2, 2]
    assert {tuple(one[3:]) for one in found} == {("", "1", "1")}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The error is the system's; what was written before an abrupt end is a capture as well."""
    with pytest.raises(FileNotFoundError):
        StreamCapture(tmp_path / "missing" / "x.pcap", 5445)
    path = tmp_path / "x.pcap"
    with pytest.raises(ZeroDivisionError), StreamCapture(path, 1) as capture:
        capture.add("up", b"x")
        raise ZeroDivisionError
    data = path.read_bytes()
    size = struct.unpack_from("<IIII", data, 24)[2]
    assert (data[:4], size, len(data)) == (b"\xd4\xc3\xb2\xa1", 40, 24 + 4 * (16 + 40) + 1)
