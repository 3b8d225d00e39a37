"""A short run of the fuzz targets in fuzz/python; longer runs: `python fuzz/python/run.py --seconds N`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[3] / "fuzz" / "python" / "run.py"


def test_short_fuzz_run() -> None:
    """Every target, four seconds together, a fixed seed: the runner ends with 0 and says so."""
    done = subprocess.run(
        [sys.executable, RUN, "--seconds", "4", "--seed", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no finding" in done.stdout


def test_unknown_target() -> None:
    """A misspelt target is reported: run one."""
    done = subprocess.run([sys.executable, RUN, "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--list" in done.stderr
