"""The benchmark harness runs: all servers, every kind of load and limit.c, for a fraction of a second each; QUIC
beside TCP and other stacks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from peers import programs

from benchmarks import network

pytestmark = pytest.mark.once("loads choose their engines")

_ROOT = Path(__file__).parent.parent.parent
#: Part of the names of rows, and the figures that each has.
_ROWS = {
    "ECHO 4x4": {"rate", "cost"},
    "READ 2 MiB 8x2": {"rate", "cost", "limit"},
    "WRITE 2 MiB 4x2 encrypted": {"rate", "cost"},
    "70 % READ": {"rate", "cost"},
    "SESSION_SETUP": {"rate", "cost"},
    "OPEN + CLOSE": {"rate", "cost"},
    "many connections": {"rate", "cost", "fairness", "least", "client"},
    "ECHO 16x2 signed, all threads": {"rate", "cost", "client"},
    "get from frevo": {"rate", "cost"},
    "put to smbd, both sign": {"rate", "cost"},
}
_RIVALS = {
    "many connections": {"16x1"},
    "ECHO 16x2 signed, all threads": {"1 thread"},
    "get from frevo": {"smbclient"},
    "put to smbd, both sign": {"smbclient"},
}


def run(tmp_path: Path, *words: str) -> dict[str, Any]:
    """The report of a short run; its page is written, too."""
    found, page = tmp_path / "made" / "bench.json", tmp_path / "bench.html"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--json",
        str(found),
        "--html",
        str(page),
        *words,
    ]
    result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert page.read_text().startswith("<!doctype html>")
    report: dict[str, Any] = json.loads(found.read_text())
    return report


@pytest.mark.interop
def test_every_kind_of_load_runs_against_all_servers(tmp_path: Path) -> None:
    """Goal: `make bench` keeps working. Method: a short run of each kind of row; numbers, but no targets."""
    for program in ("smbd", "smbclient"):
        programs.need(program)
    report = run(tmp_path, *(word for name in _ROWS for word in ("--only", name)))
    rows = {name: row for name in _ROWS for row in report["rows"] if name in row["name"]}
    assert len(rows) == len(report["rows"]) == len(_ROWS)
    for name, row in rows.items():
        sides = set(list(row["samples"])[1:])
        assert sides == _RIVALS.get(name, {"smbd", "smbd io_uring"}), name
        assert set(row["figures"]) == _ROWS[name], name
        for sample in (one for side in row["samples"].values() for one in side):
            assert sample["operations"] > 0 and sample["seconds"] > 0, name
    assert set(rows["READ 2 MiB 8x2"]["limit"]) == {"copy", "chunk:256", "sendfile", "splice"}
    assert report["conditions"]["network"] == "loopback"


@pytest.mark.interop
def test_over_a_veth_pair(tmp_path: Path) -> None:
    """Servers and clients in two network namespaces: the same rows, also the limit of the machine."""
    programs.need("smbd")
    if reason := network.why_not():
        programs.missing(reason)
    report = run(tmp_path, "--veth", "--only", "READ 8 MiB")
    assert report["conditions"]["network"] == "veth pair"
    (row,) = report["rows"]
    assert set(row["figures"]) == {"rate", "cost", "limit"}


@pytest.mark.interop
def test_ctrl_c_shows_what_was_measured(tmp_path: Path) -> None:
    """Goal: an hour's run is not lost. Method: Ctrl-C in the second row: exit code 130, the table and the JSON of the
    row that had its rounds, and no server left."""
    programs.need("smbd")
    found = tmp_path / "bench.json"
    words = ["--only", "ECHO 4x", "--rounds", "2", "--seconds", "0.5", "--patience", "0"]
    with tempfile.TemporaryDirectory(prefix="fb-", dir="/tmp") as folder:  # short: smbd's sockets are in it
        command = [sys.executable, "-m", "benchmarks", *words, "--folder", folder, "--json", str(found)]
        with subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            told = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        assert list(Path(folder).iterdir()) == []
    assert process.returncode == 130 and error.endswith("interrupted\n"), (told, out, error)
    (row,) = json.loads(found.read_text())["rows"]
    assert told.startswith("ECHO 4x1 signed: ") and row["name"] == "ECHO 4x1 signed"
    assert "| ECHO 4x1 signed |" in out and len(row["samples"]["frevo"]) == 2
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert folder.encode() not in entry.read_bytes()


def test_reads_between_two_ends(tmp_path: Path) -> None:
    """benchmarks.talk: the command that the server prints gives a line for each load, with the server's own time."""
    command = [sys.executable, "-m", "benchmarks.talk", "serve", "127.0.0.1", "--port", "0", "--size", "16"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path)], cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            said = next((line for line in server.stdout if "FREVO_PASSWORD=" in line), "")
            password, _, *words = said.split()
            environment = {**os.environ, "FREVO_PASSWORD": password.partition("=")[2]}
            load = [sys.executable, *words, "--rounds", "1", "--seconds", "0.1"]
            result = subprocess.run(
                load, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
            )  # a run for each way to read and each load
        finally:
            server.terminate()
    assert result.returncode == 0, result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines() if " MiB | " in line]
    assert {(row[0], row[1]) for row in rows} == {
        (f"| {size} MiB", shape) for size in (2, 8) for shape in ("8 x 2", "2 x 4")
    }
    for row in rows:
        rate, server_cost, client_cost = (float(cell.strip(" |")) for cell in row[3:])
        assert rate > 0 and server_cost > 0 and client_cost > 0, row
    assert server.returncode == 0 and not list(tmp_path.iterdir())


def test_what_threads_cost_each_other(tmp_path: Path) -> None:
    """benchmarks.contention: futex calls of every load, with one thread and with all; operations cause hardly any."""
    if programs.find("perf") is None:
        pytest.skip("perf is missing")  # nothing else needs it
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.contention", "--rounds", "1", "--seconds", "0.5"]
    result = subprocess.run(
        [*command, "--json", str(found)], cwd=_ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    if "perf cannot count" in result.stderr:
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stderr
    loads = json.loads(found.read_text())
    assert [set(runs) for runs in loads.values()] == [{"1", "all"}] * 4
    for name, runs in loads.items():
        for (run,) in runs.values():
            assert run["rate"] > 0 and run["us"] > 0, name
            # What connects and opens costs some; a lock for each operation would cost 1,000.
            assert "2 MiB" in name or run["futex"] < 100, (name, run)


def test_smb_direct_beside_tcp(tmp_path: Path) -> None:
    """benchmarks.direct: every way has moved data, and both ends' costs are known."""
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.direct", "--rounds", "1", "--seconds", "0.2", "--patience", "0"]
    words = ("--only", "2 MiB, 4", "--json", str(found))
    done = subprocess.run(
        [*command, *words], cwd=_ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loads = json.loads(found.read_text())
    assert list(loads) == ["READ 2 MiB, 4 in flight", "WRITE 2 MiB, 4 in flight"]
    for load in loads.values():
        assert list(load) == ["tcp", "emulated", "iwarp"]
        for (run,) in load.values():
            assert run["bytes"] > 0 and run["client_s"] > 0 and run["server_s"] > 0, run


def _quic(found: Path, *words: str) -> dict[str, Any]:
    """What `python -m benchmarks.quic` finds over a veth pair in one short round."""
    if reason := network.why_not("nft", "tc"):
        programs.missing(reason)
    command = [sys.executable, "-m", "benchmarks.quic", "--path", "veth", "--json", str(found)]
    command += ["--rounds", "1", "--patience", "0", "--without", "quinn", *words]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    loads: dict[str, Any] = json.loads(found.read_text())["loads"]
    return loads


@pytest.mark.interop
def test_quic_and_tcp_are_measured_on_a_path_with_a_rate_and_loss(tmp_path: Path) -> None:
    """Goal: pairs over a real path. Method: 80 Mbit/s and 1 % loss: both transports move data, no faster than that."""
    words = ("--rate", "80mbit", "--loss", "0.01", "--seconds", "1")
    loads = _quic(tmp_path / "found.json", *words)
    assert list(loads) == ["READ 256 KiB, 8 in flight", "WRITE 256 KiB, 8 in flight"]
    for found in loads.values():
        for run in (found["quic"][0], found["tcp"][0]):
            assert 5e5 < run["bytes"] < 12.5e6, run
            assert run["client_s"] > 0 and run["server_s"] > 0, run


@pytest.mark.interop
@pytest.mark.parametrize(
    ("words", "ways"),
    [
        (("--only", "ECHO, 1 in"), {"quic", "tcp", "tcp signed", "tcp encrypted", "aioquic", "qh3"}),
        (("--only", "Connect"), {"quic", "tcp"}),
        (("--only", "idle", "--idle", "40"), {"quic", "tcp"}),
    ],
)
def test_quic_is_measured_beside_the_others(tmp_path: Path, words: tuple[str, ...], ways: set[str]) -> None:
    """Goal: every kind of row of the table. Method: a short run of each; numbers, but no targets."""
    (found,) = _quic(tmp_path / "found.json", "--seconds", "0.3", *words).values()
    if "bytes" in found:
        assert set(found["bytes"]) == ways and all(used > 0 for used in found["bytes"].values())
        return
    assert set(found) == ways
    for runs in found.values():
        assert runs[0]["operations"] > 0 and runs[0]["client_s"] > 0 and runs[0]["server_s"] > 0, runs
