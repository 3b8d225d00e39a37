"""What commands share: names on a terminal, words of the command line."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from frevo.cli.common import one_line, printable
from frevo.cli.get import sources, targets
from frevo.cli.main import main
from frevo.cli.runner import LogFormatter
from frevo.text import json_text


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
def test_no_name_controls_the_terminal(name: str, shown: str) -> None:
    """Goal: letters stay, control sequences are escaped. Method: one of each kind."""
    assert one_line(name) == shown
    assert printable("a\nb") == "a\nb"


@pytest.mark.parametrize(
    "code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066, 0xFEFF, 0xD800, 0xE0001]
)
def test_no_json_controls_the_terminal(code: int) -> None:
    """Goal: JSON has no control character of either range and no sign that changes the direction of text, and reads
    back unchanged. Method: each of them in a value and a key, beside letters that stay."""
    value = {f"näme{chr(code)}": [f"a{chr(code)}b", "全角 \u200d"]}
    text = json_text(value)
    assert all(letter.isprintable() or letter == "\u200d" for letter in text)
    assert "näme" in text and "全角" in text
    assert json.loads(text) == value


@pytest.mark.parametrize("code", [0x1B, 0x7F, 0x9B, 0x85, 0x202E])
def test_no_name_controls_a_terminal_that_shows_the_log(code: int) -> None:
    """Goal: neither a message nor an exception's text reaches the log unescaped. Method: a record with both."""
    try:
        raise ValueError(f"bad{chr(code)}name\nnext")
    except ValueError:
        record = logging.LogRecord("frevo", 40, "", 0, "%s", (f"x{chr(code)}\ny",), sys.exc_info())
    text = LogFormatter("%(message)s").format(record)
    assert chr(code) not in text and text.startswith(f"x{chr(code)!r}".replace("'", "") + "\\ny")


def test_the_words_of_get() -> None:
    """Goal: the last word is the local target unless it is a URL. Method: each arrangement."""
    one, two = "smb://nas/s/a", "smb://nas/s/b"
    assert sources([one]) == ([one], ".")
    assert sources([one, "here"]) == ([one], "here")
    assert sources([one, two]) == ([one, two], ".")
    assert sources([one, two, "d/"]) == ([one, two], "d/")
    assert main(["get", "here", "there"]) == 2
    assert main(["get", one, "-j", "0"]) == 2
    assert targets([], ".", False) == {}
