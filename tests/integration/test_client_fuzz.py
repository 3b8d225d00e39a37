"""A short run of fuzz/python/fuzz_client.py; a longer one: `python fuzz/python/fuzz_client.py --seconds 600`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[2] / "fuzz" / "python" / "fuzz_client.py"


def test_short_run() -> None:
    """Goal: a malicious server does no harm. Method: seven seconds from a fixed seed; the invariant is in the file."""
    command = [sys.executable, RUN, "--seconds", "7", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    assert "no finding" in done.stdout
