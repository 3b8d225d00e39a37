"""The soak: a short run on each engine finds nothing, and one that is disturbed finds what was done to it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers.target import PASSWORD, USER

import frevo
from benchmarks.soak.legs import legs
from frevo.aio.features import choose_data_plane

_ROOT = Path(__file__).parent.parent.parent
#: Of each leg; the whole run is longer, as servers start and end.
_LEG_S = 2.5
_TIMEOUT_S = 240


@contextmanager
def soak(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose files are in *folder*."""
    command = [sys.executable, "-m", "benchmarks.soak", "--folder", str(folder), *words]
    with subprocess.Popen(
        command,
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def working(folder: Path) -> Path:
    """Waits until clients use the server; its folder."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for place in folder.glob("*/0/ledger/transfers *"):  # everyone has started
            return place.parents[1] / "server"
        time.sleep(0.05)
    raise AssertionError("nobody worked")


@pytest.mark.tcp_only("its clients choose their transport")
@pytest.mark.parametrize("engine", ["uring", "epoll"])
def test_a_short_run(engine: str, tmp_path: Path) -> None:
    """Goal: no wrong byte and nothing left, whatever clients do. Method: every way to read and write on this engine."""
    if engine == "uring" and choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    (tmp_path / "files").mkdir()
    report = tmp_path / "made" / "soak.json"
    ways = legs((engine,))
    words = ("--engine", engine, "--seconds", str(_LEG_S * len(ways)), "--json", str(report))
    with soak(tmp_path / "files", *words) as process:
        said, _ = process.communicate(timeout=_TIMEOUT_S)
    assert process.returncode == 0, said
    found: dict[str, Any] = json.loads(report.read_text())
    assert [leg["options"] for leg in found["legs"]] == [dict(leg.options) for leg in ways]
    for leg in found["legs"]:
        assert leg["faults"] == [] and leg["rounds"] and f"{leg['name']}, round 1: " in said
        for counted in ("reads", "connects"):
            assert leg["counts"][counted] > 0, (leg["name"], counted)
    totals = {name: sum(leg["counts"][name] for leg in found["legs"]) for name in found["legs"][0]["counts"]}
    for counted in ("writes", "local_reads", "kills", "resets", "cancels", "raced"):
        assert totals[counted] > 0, counted
    assert list((tmp_path / "files").iterdir()) == []


@pytest.mark.tcp_only("its clients choose their transport")
async def test_a_wrong_byte_and_what_stays_open_are_found(tmp_path: Path) -> None:
    """Goal: the soak can fail. Method: change a byte of a file behind the server's back, and keep a file open."""
    with soak(tmp_path, "--engine", "epoll", "--only", "plain", "--seconds", "8", "--seed", "77") as process:
        server = working(tmp_path)
        port = re.search(r"tcp:(\d+)", (server / "smb.conf").read_text())
        assert port is not None
        url = f"smb://127.0.0.1:{port[1]}/share"
        async with frevo.connect(url, user=USER, password=PASSWORD, reconnect=0) as share:
            file = await share.open("file 1")
            with (server / "shares" / "share" / "file 0").open("r+b", buffering=0) as out:
                while process.poll() is None:  # a client may write over it
                    out.seek(5)
                    out.write(os.urandom(1))
                    await asyncio.sleep(0.01)
            with pytest.raises(ConnectionError):  # the server is gone
                await file.pread(1, 0)
        said, _ = process.communicate(timeout=_TIMEOUT_S)
    assert process.returncode == 1, said
    assert "at byte 0 of file 0, where versions" in said and "damaged" in said
    # The socket counts as well if it was opened after the first count.
    assert re.search(r"round \d+: \d+ (sockets|files) are open without a client", said)
    assert re.search(r"round \d+: \d+ files are open without a client", said)
    assert "open without a client: " in said and "file 1" in said
    assert "(seed 77)" in said


@pytest.mark.tcp_only("its clients choose their transport")
def test_ctrl_c(tmp_path: Path) -> None:
    """The run ends at once with exit code 130, and leaves no process and no file."""
    with soak(tmp_path, "--engine", "epoll", "--seconds", "600") as process:
        working(tmp_path)
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "interrupted" in said and list(tmp_path.iterdir()) == []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            assert str(tmp_path).encode() not in command
