"""`username map`: the forms of its lines, which line counts, and what a broken file does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frevo.auth import username_map
from frevo.auth.username_map import UsernameMap, parse

TEXT = """\
# comment
; another
no equals sign
root = admin Administrator
sys = @staff +other
"quoted unix" = "Alice Example", bob
!first = carol
second = carol
mary = EXAMPLE\\\\mia
empty =
"""


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UsernameMap:
    path = tmp_path / "map"
    path.write_text(TEXT.replace("\\\\", "\\"))
    monkeypatch.setattr(username_map, "_is_member", lambda user, group: (user, group) == ("dave", "staff"))
    return UsernameMap(str(path))


@pytest.mark.parametrize(
    ("user", "domain", "unix"),
    [
        ("admin", "", "root"),
        ("ADMINISTRATOR", "WG", "root"),
        ("dave", "", "sys"),
        ("Alice Example", "", "quoted unix"),
        ("bob", "", "quoted unix"),
        ("carol", "", "first"),
        ("mia", "example", "mary"),
        ("mia", "OTHER", "mia"),
        ("nobody in it", "", "nobody in it"),
    ],
)
def test_forms(names: UsernameMap, user: str, domain: str, unix: str) -> None:
    """Goal: every form of the manual. Method: one name of each."""
    assert names.unix_name(user, domain) == unix


def test_netgroups_match_nobody() -> None:
    """Goal: a member of a Unix group is not a member of the netgroup of that name, as in Samba. Method: each pair of
    signs."""
    [line] = parse("sys = &net &+one +&two @three")
    assert line.groups == ("one", "two", "three")
    assert not line.names


def test_the_last_matching_line_counts() -> None:
    """Goal: without `!` later lines win, `*` matches everybody. Method: lines in this order."""
    lines = parse("one = x\nguest = *\n!two = y\nthree = *")
    assert [line.last for line in lines] == [False, False, True, False]
    assert "*" in lines[1].names


def test_a_map_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: changes count at the next log-on; a file that cannot be read maps nothing and is logged. Method: write,
    change, remove."""
    path = tmp_path / "map"
    path.write_text("one = x")
    names = UsernameMap(str(path))
    assert names.unix_name("x") == "one"
    path.write_text("two = x\n")
    os.utime(path, ns=(1, 1))
    assert names.unix_name("x") == "two"
    path.unlink()
    assert names.unix_name("x") == "x"
    assert "username map" in caplog.text
    assert UsernameMap("").unix_name("x") == "x"
