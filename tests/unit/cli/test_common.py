"""Tests of what commands share: names on a terminal, words of the command line."""

from __future__ import annotations

import pytest

from frevo.cli.common import one_line, printable
from frevo.cli.get import sources, targets
from frevo.cli.main import main


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Grüße €", "Grüße €"),
        ("👨‍👩‍👧 family", "👨‍👩‍👧 family"),
        ("全角\u3000空白", "全角\u3000空白"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("right\u202eleft", r"right\u202eleft"),
        ("half \ud800", r"half \ud800"),
        ("two\nlines", r"two\nlines"),
        ("C1 \x9b31m", r"C1 \x9b31m"),
    ],
)
def test_no_name_steers_the_terminal(name: str, shown: str) -> None:
    """Goal: letters stay, what a terminal could obey is escaped. Method: one of each kind."""
    assert one_line(name) == shown
    assert printable("a\nb") == "a\nb"


def test_the_words_of_get() -> None:
    """Goal: the last word is the local place when it is no URL. Method: each arrangement."""
    one, two = "smb://nas/s/a", "smb://nas/s/b"
    assert sources([one]) == ([one], ".")
    assert sources([one, "here"]) == ([one], "here")
    assert sources([one, two]) == ([one, two], ".")
    assert sources([one, two, "d/"]) == ([one, two], "d/")
    assert main(["get", "here", "there"]) == 2
    assert main(["get", one, "-j", "0"]) == 2
    assert targets([], ".", False) == {}
