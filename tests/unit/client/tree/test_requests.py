"""The CREATE requests for modes and paths."""

from __future__ import annotations

import pytest

from frevo.client.tree.requests import NOT_DIRECTORY, SHARE_ALL, opening, opening_for_mode
from frevo.wire.smb2 import CreateDisposition, FileAccess, TimewarpToken


@pytest.mark.parametrize(
    ("mode", "reads", "writes", "disposition"),
    [
        ("r", True, False, CreateDisposition.OPEN),
        ("rb", True, False, CreateDisposition.OPEN),
        ("r+b", True, True, CreateDisposition.OPEN),
        ("wb", False, True, CreateDisposition.OVERWRITE_IF),
        ("w+", True, True, CreateDisposition.OVERWRITE_IF),
        ("xb", False, True, CreateDisposition.CREATE),
        ("x+b", True, True, CreateDisposition.CREATE),
        ("ab", False, True, CreateDisposition.OPEN_IF),
        ("a+b", True, True, CreateDisposition.OPEN_IF),
    ],
)
def test_modes(mode: str, reads: bool, writes: bool, disposition: CreateDisposition) -> None:
    """Like those of the built-in open(): the access, and what happens to the name."""
    request = opening_for_mode("a/b", mode, SHARE_ALL)
    access = request.desired_access
    assert bool(access & FileAccess.READ_DATA) is reads and bool(access & FileAccess.WRITE_DATA) is writes
    assert access & FileAccess.READ_ATTRIBUTES
    assert (request.create_disposition, request.create_options) == (disposition, NOT_DIRECTORY)
    assert request.name == "a\\b"


@pytest.mark.parametrize("mode", ["", "b", "+", "rw", "rt", "rr", "r++", "U", "wxb"])
def test_wrong_modes(mode: str) -> None:
    """Text, several letters or none are refused."""
    with pytest.raises(ValueError, match="r, w, x or a"):
        opening_for_mode("a", mode, SHARE_ALL)


def test_a_path_in_a_snapshot() -> None:
    """A path that begins with a snapshot's name is opened as it was at that time ([MS-SMB2] 2.2.13.2.7)."""
    request = opening("@GMT-2026.11.23-08.00.00/docs/a.txt", 1)
    assert request.name == "docs\\a.txt"
    (context,) = request.contexts
    assert context.name == TimewarpToken(1).context().name
    assert opening("@GMT-nothing/a", 1).contexts == []
    assert opening("@GMT-nothing/a", 1).name == "@GMT-nothing\\a"
