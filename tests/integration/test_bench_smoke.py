"""The benchmark harness runs: both servers, our load generator and limit.c, for a fraction of a second each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from peers import programs

_ROOT = Path(__file__).parent.parent.parent
_WORKLOADS = (
    "ECHO 4x1",
    "READ 4 KiB 4x8",
    "READ 2 MiB 4x2 encrypted",
    "OPEN + CLOSE",
    "SESSION_SETUP",
    "smbclient",
)


@pytest.mark.interop
def test_every_kind_of_load_runs_against_both_servers(tmp_path: Path) -> None:
    """Goal: `make bench` keeps working. Method: a short run of each kind of workload; numbers, but no targets."""
    for program in ("smbd", "smbclient"):
        programs.need(program)
    found = tmp_path / "bench.json"
    words = [word for name in _WORKLOADS for word in ("--only", name)]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(found), *words]
    result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    workloads = json.loads(found.read_text())["workloads"]
    assert {"ECHO 4x1", "READ 4 KiB 4x8"} <= {entry["name"] for entry in workloads}
    for entry in workloads:
        for server in ("frevo", "peer"):
            assert all(sample["operations"] > 0 and sample["seconds"] > 0 for sample in entry[server]), entry
