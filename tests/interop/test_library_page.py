"""The examples of docs/library.md, run unchanged and checked by mypy --strict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.once("examples of what is repeated elsewhere")]

PAGE = Path(__file__).parent.parent.parent / "docs" / "library.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(server: Target, number: int) -> None:
    """Each example runs to its end in a separate process, without a warning."""
    names = f"NAS = 'smb://{server.user}@{server.host}:{server.port}/share'\nPASSWORD = {server.password!r}\n"
    strict = [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [*strict, "-c", names + EXAMPLES[number]],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr


def test_types(tmp_path: Path) -> None:
    """Strict type checking of the examples finds nothing."""
    text = "NAS: str = ''\nPASSWORD: str = ''\n" + "\n".join(EXAMPLES[:2])
    (tmp_path / "example.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "--cache-dir=/dev/null",
    ]
    done = subprocess.run([*command, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
