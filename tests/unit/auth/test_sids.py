"""The machine SID: generated once, kept, private."""

from __future__ import annotations

from pathlib import Path

import pytest

from frevo.auth.private_files import PrivateFileError
from frevo.auth.sids import account_sid, load_machine_sid


def test_machine_sid(tmp_path: Path) -> None:
    """Goal: each directory has its own random SID, which stays. Method: two directories, the first one read twice."""
    first = load_machine_sid(tmp_path / "one")
    assert str(first).startswith("S-1-5-21-")
    assert load_machine_sid(tmp_path / "one") == first
    assert load_machine_sid(tmp_path / "two") != first
    assert (tmp_path / "one" / "machine-sid").stat().st_mode & 0o7777 == 0o600
    assert str(account_sid(first, 1000)) == f"{first}-1000"


@pytest.mark.parametrize(
    "text", ["", "S-1-5-21-1-2", "S-1-5-21-1-2-3-4", "S-1-5-32-1-2-3", "nonsense", "S-1-5-21-1-2-x"]
)
def test_damaged(tmp_path: Path, text: str) -> None:
    """Goal: a damaged file is a clear error. Method: other contents."""
    private = tmp_path / "private"
    load_machine_sid(private)
    (private / "machine-sid").write_text(text)
    with pytest.raises(PrivateFileError, match="machine SID"):
        load_machine_sid(private)
