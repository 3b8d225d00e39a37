"""`frevo status` says what the fast path answers, and why it leaves a file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pair.file_calls import EXCLUSIVE, NOW, UNLOCK, lock, put
from peers.frevo_server import FrevoServer, frevo_server, run_frevo, status_of

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileInfoClass
from integration.live import Live

pytestmark = pytest.mark.once("about what `frevo status` shows")

LOCKS, TIME = "byte-range locks", "a last write time that is kept"


def status(server: FrevoServer) -> tuple[dict[str, Any], str]:
    """As JSON, and as people see it on a wide terminal."""
    config = server.log.parent / "smb.conf"
    text = run_frevo("status", "-c", str(config)).ok()
    return status_of(config), " ".join(text.split())


def of_files(snapshot: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By file name, what is said of each of its opens."""
    return {
        file["filename"]: [opened["fast_path"] for opened in file["opens"].values()]
        for file in snapshot["open_files"].values()
    }


def test_why_a_file_is_left_alone(tmp_path: Path) -> None:
    """Goal: an administrator sees which files the data plane serves, and what keeps it from others. Method: a file with
    a lock, one with a time that was set, one with both, one without, one that was never read; then without locks."""
    with frevo_server(tmp_path) as server, Live(server.host, server.port) as live:
        client = live.logged_on()
        opened = {name: client.open(name) for name in ("locked", "timed", "both", "free", "unused")}
        for name, file in opened.items():
            if name != "unused":
                assert client.write(file, 0, b"data").status == NTStatus.SUCCESS
        for name in ("locked", "both"):
            assert lock(client, opened[name], (0, 1, EXCLUSIVE | NOW), (5, 1, EXCLUSIVE | NOW)) == 0
        for name in ("timed", "both"):
            body = FileBasicInformation(last_write_time=132_000_000_000_000_000).pack()
            assert put(client, opened[name], FileInfoClass.BASIC, body) == NTStatus.SUCCESS
        client.write(opened["free"], 0, b"fast")
        snapshot, text = status(server)
        locks = {"reason": LOCKS, "reads": True, "writes": True}
        time = {"reason": TIME, "reads": False, "writes": True}
        assert of_files(snapshot) == {
            "locked": [{"attached": True, "held": [locks]}],
            "timed": [{"attached": True, "held": [time]}],
            "both": [{"attached": True, "held": [locks, time]}],
            "free": [{"attached": True, "held": []}],
            "unused": [{"attached": False, "held": []}],
        }
        assert snapshot["frevo"]["fast_path"] == {
            "enabled": True,
            "opens": 4,
            "held": [
                {"reason": TIME, "reads": 0, "writes": 2},
                {"reason": LOCKS, "reads": 2, "writes": 2},
            ],
        }
        assert (
            "fast path: 4 open files, 0 reads, 1 writes, 0 flushes, "
            f"no writes of 2 files: {TIME}, no reads of 2 and writes of 2 files: {LOCKS}" in text
        )
        for name in ("locked", "both"):
            assert lock(client, opened[name], (0, 1, UNLOCK), (5, 1, UNLOCK)) == NTStatus.SUCCESS
        snapshot, text = status(server)
        assert of_files(snapshot)["locked"] == [{"attached": True, "held": []}]
        assert of_files(snapshot)["both"] == [{"attached": True, "held": [time]}]
        assert LOCKS not in text


def test_without_the_fast_path(tmp_path: Path) -> None:
    """Goal: status says that it is off. Method: `frevo:fast path = no`, a file that was written."""
    with frevo_server(tmp_path, {"frevo:fast path": "no"}) as server, Live(server.host, server.port) as live:
        client = live.logged_on()
        client.write(client.open("file"), 0, b"data")
        snapshot, text = status(server)
    assert of_files(snapshot) == {"file": [{"attached": False, "held": []}]}
    assert snapshot["frevo"]["fast_path"] == {"enabled": False, "opens": 0, "held": []}
    assert "fast path: off" in text
