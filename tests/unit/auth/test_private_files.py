"""Private folders: who may write to where they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.auth.private_files import PrivateFileError, ensure_private_directory
from frevo.folders import make_folder


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    """As in a running server, which sets the mode bits of clients' files itself."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_writes_above(tmp_path: Path) -> None:
    """Goal: nobody can replace the private folder by another one. Method: a folder whose parents are missing, made
    without a umask; a second time changes nothing."""
    private = tmp_path / "lib" / "frevo" / "private"
    for _ in range(2):
        ensure_private_directory(private)
        assert [mode(path) for path in (private, private.parent, private.parent.parent)] == [
            0o700,
            0o755,
            0o755,
        ]
    make_folder(tmp_path / "log" / "frevo", 0o755)
    assert mode(tmp_path / "log") == mode(tmp_path / "log" / "frevo") == 0o755


def test_a_file_in_its_place(tmp_path: Path) -> None:
    """Goal: a private folder that is a file is a clear error. Method: such a file."""
    (tmp_path / "private").touch()
    with pytest.raises(PrivateFileError, match="is not a directory"):
        ensure_private_directory(tmp_path / "private")
