"""`frevo lab path`: its options, and a run from start to signal."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from frevo.cli import lab
from frevo.cli.main import main


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (lab._time, "20ms", 0.02),
        (lab._time, "1.5s", 1.5),
        (lab._time, "300us", 0.0003),
        (lab._time, "2", 2.0),
        (lab._rate, "100Mbit", 1e8),
        (lab._rate, "1gbit", 1e9),
        (lab._rate, "64kbit", 64e3),
        (lab._rate, "9600bit", 9600.0),
        (lab._share, "5%", 0.05),
        (lab._share, "0.05", 0.05),
    ],
)
def test_values(parse: object, text: str, value: float) -> None:
    """Numbers with and without a unit."""
    assert parse(text) == pytest.approx(value)  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "ms", "-1ms", "20 m", "inf", "nan", "1e999s"])
def test_values_that_are_none(text: str) -> None:
    """What is no time is refused with an example."""
    with pytest.raises(argparse.ArgumentTypeError, match="such as 20ms"):
        lab._time(text)


def test_addresses() -> None:
    """Hosts and ports, IPv6 in brackets; --listen may leave the host out."""
    assert lab._address("nas:443") == ("nas", 443)
    assert lab._address("[::1]:443") == ("::1", 443)
    assert lab._listen("4443") == ("127.0.0.1", 4443)
    assert lab._listen("0") == ("127.0.0.1", 0)
    assert lab._listen("[::]:4443") == ("::", 4443)
    for text in ("nas", "nas:", ":443", "nas:0", "nas:65536", "nas:x"):
        with pytest.raises(argparse.ArgumentTypeError):
            lab._address(text)


def test_conditions_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that no path can have is a message and exit code 2."""
    assert main(["lab", "path", "--to", "127.0.0.1:443", "--mtu", "20"]) == 2
    assert "mtu is 20" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run(number: signal.Signals) -> None:
    """The first line says where the path is; a signal ends it with exit code 0 and the counts."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        options = ["--loss", "100%", "--direction", "down", "--seed", "7"]
        command = [
            sys.executable,
            "-m",
            "frevo",
            "lab",
            "path",
            "--to",
            f"127.0.0.1:{server.getsockname()[1]}",
        ]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            where, _, rest = line.partition(" ")
            assert rest == f"to 127.0.0.1:{server.getsockname()[1]}, seed 7\n"
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
                client.sendto(b"hello", ("127.0.0.1", int(where.rpartition(":")[2])))
                data, seen = server.recvfrom(100)
                assert data == b"hello"
                server.sendto(b"answer", seen)
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(100)
            process.send_signal(number)
            assert process.stdout.read() == (
                "up:   1 received, 1 passed (5 bytes)\ndown: 1 received, 0 passed (0 bytes), 1 lost\n"
            )
        assert process.returncode == 0
