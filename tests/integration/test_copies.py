"""What the server copies for large READs and WRITEs over a veth pair, as perf sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.copies import why_no_perf

pytestmark = pytest.mark.once("forces the ways to read and write")

_ROOT = Path(__file__).parent.parent.parent


def profile(way: str) -> dict[str, Any]:
    """The profile of unsigned READs or WRITEs of 2 MiB in a way."""
    words = ("--only", way, "--seconds", "1.5", "--json")
    command = [sys.executable, "-m", "benchmarks.copies", *words]
    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)[way]
    return found


@pytest.mark.tcp_only("the ways to write to a TCP socket")
def test_spliced_reads_are_not_copied() -> None:
    """Goal: neither from the page cache nor into the socket; what is left are headers. Method: the shares of the
    functions that copy in the server's processor time, beside those of READs that are copied."""
    if reason := why_no_perf():
        pytest.skip(reason)
    plain, splice = (sum(profile(f"read: {way}")["copies"].values()) for way in ("plain", "splice"))
    assert plain > 15, "perf does not see copies"
    assert splice < 4 and splice < plain / 5


@pytest.mark.tcp_only("the ways to read from a TCP socket")
def test_spliced_writes_are_copied_once() -> None:
    """Goal: not out of the socket, only into the page cache. Method: the shares of the functions that copy."""
    if reason := why_no_perf():
        pytest.skip(reason)
    copies = profile("write: splice")["copies"]
    assert copies.get("_copy_to_iter", 0) < 3 and sum(copies.values()) > 10
