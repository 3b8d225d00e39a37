"""frevo.bench.live: the lines that scripts written for smbtorture read, character by character."""

from __future__ import annotations

import re

from frevo.bench import live
from frevo.bench.tally import Tally
from frevo.transport.base import bucket_of


def counted(operations: int, mean_ns: int, size: int = 0) -> Tally:
    least, largest = 14_000, 110_135_000
    buckets = {bucket_of(mean_ns): operations}
    return Tally(operations, operations * size, operations * mean_ns, least, largest, buckets)


def test_before_the_run() -> None:
    """The three lines that smbtorture begins with."""
    assert live.opening(4) == "Opening 4 connections"
    assert live.opened(4, 2) == "Opened 4 connections with qdepth=2 => 8 loops"
    assert (live.running(3.0), live.running(0.5)) == ("Running for 3 seconds", "Running for 0.5 seconds")


def test_echo() -> None:
    """Thousands separators in the rate, latencies in seconds, spaces and a carriage return at the end."""
    line = live.line(3.0, 1.0, [("echo", counted(35_750, 111_000))], moves_data=False)
    body = "3.00 second: echo[num/s=35,750;avslat=0.000111;minlat=0.000014;maxlat=0.110135]"
    assert re.fullmatch(re.escape(body) + r" +\r", line)


def test_read() -> None:
    """bytes/s follows num/s, and both rates are those of one second."""
    parts = [("read", counted(44_298, 180_000, 4096))]
    line = live.line(2.0, 2.0, parts, moves_data=True)
    assert line.startswith(
        "2.00 second: read[num/s=22,149;bytes/s=90,722,304;avslat=0.000180;minlat=0.000014;"
    )


def test_open_and_close() -> None:
    """Two kinds of operation in one line."""
    parts = [("open", counted(12_863, 1000)), ("close", counted(12_862, 1000))]
    line = live.line(2.0, 1.0, parts, moves_data=False)
    assert "second: open[num/s=12,863;" in line and "] close[num/s=12,862;avslat=0.000001;" in line


def test_sessions_have_commas() -> None:
    """setup and logoff are separated by commas, so their rates have none."""
    parts = [("setup", counted(1713, 4_470_000)), ("logoff", counted(1713, 1000))]
    line = live.line(2.0, 1.0, parts, moves_data=False)
    assert line.startswith(
        "2.00 second: setup[num/s=1713,avslat=0.004470,minlat=0.000014,maxlat=0.110135] logoff[num/s=1713,"
    )


def test_the_end() -> None:
    """The last line covers the whole run and stays; then its duration. A run without operations has both, too."""
    text = live.last_lines(2.0, [("echo", counted(2000, 1000))], moves_data=False)
    first, second, rest = text.split("\n")
    assert first == "2.00 second: echo[num/s=1,000;avslat=0.000001;minlat=0.000014;maxlat=0.110135]"
    assert (second, rest) == ("2.00 seconds", "")
    assert "num/s=0;avslat=0.000000" in live.last_lines(0.0, [("echo", Tally())], moves_data=False)
