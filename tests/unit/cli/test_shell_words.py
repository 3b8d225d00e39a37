"""The shell's words, commands, paths and history file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.cli.common import UsageError
from frevo.cli.main import build_parser
from frevo.cli.shell.commands import COMMANDS, find, names
from frevo.cli.shell.session import Shell
from frevo.cli.shell.terminal import history_file, open_history
from frevo.cli.shell.words import quoted, scan, split, split_script

NAMES = st.text(alphabet="ab \"';\\/\t€😀", min_size=1, max_size=12)


@given(st.lists(NAMES, max_size=4))
def test_quoted_words_come_back(wanted: list[str]) -> None:
    """Goal: any name can be typed. Method: quote, join, split."""
    line = " ".join(map(quoted, wanted))
    assert split(line) == wanted
    assert list(split_script(line)) == [line]


def test_lines() -> None:
    """Quotes keep spaces and semicolons, also within a word; a backslash is an ordinary character; an open quote is
    reported."""
    assert split(' get  "my file" a\\b x"y z"w \'\' ') == ["get", "my file", "a\\b", "xy zw", ""]
    assert list(split_script("ls; cd 'a;b'\npwd")) == ["ls", " cd 'a;b'", "pwd"]
    assert (scan('cat "my d')[-1].text, scan('cat "my d')[-1].start, scan("cat ")[-1].start) == ("my d", 4, 4)
    with pytest.raises(UsageError, match="not closed"):
        split("cat 'x")


def test_commands() -> None:
    """Each name finds its command, an unambiguous prefix too; for others similar names are suggested."""
    assert all(name in find(name).names for name in names())
    assert find("RENA").names[0] == "rename" and find("q").names[0] == "exit"
    for text in ("re", "frobnicate", ""):
        with pytest.raises(UsageError, match="unknown command"):
            find(text)
    assert all(command.text and command.least <= command.most for command in COMMANDS)


def test_paths() -> None:
    """Both slashes, from the root or the directory; ".." stops at the root; impossible names are refused."""
    shell = Shell(build_parser().parse_args(["shell", "smb://nas/photos"]))
    shell.directory = "a/b"
    cases = {
        "c": "a/b/c",
        "..": "a",
        "../../..": "",
        "/x": "x",
        "\\x\\y": "x/y",
        ".": "a/b",
        "": "a/b",
        "c/": "a/b/c",
    }
    assert {word: shell.path(word) for word in cases} == cases
    assert (
        shell.seen("a/b/c d") == "c d"
        and shell.title == "photos:/a/b"
        and shell.url == "smb://nas/photos/a/b"
    )
    for word in ("a\0", "\udc80"):
        with pytest.raises(UsageError):
            shell.path(word)


def test_the_history_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readable by its owner only, cut when it gets large, in memory when it cannot be written."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = history_file()
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"\n# 2026-11-23\n+line {number}\n" for number in range(60_000)))
    path.chmod(0o644)
    history = open_history(path)
    lines = list(history.load_history_strings())
    assert lines[0] == "line 59999" and all(line.startswith("line ") for line in lines)
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size < 600_000
    (tmp_path / "broken").symlink_to("/dev/null/nothing")
    assert list(open_history(tmp_path / "broken").load_history_strings()) == []
