"""Text for terminals, logs and JSON: names come from others, and none of them may steer who looks at them.

What counts as steering is everything that has no shape of its own: control characters of both ranges (C0 and C1), DEL,
the signs that turn the direction of writing, line and paragraph separators, lone surrogates."""

from __future__ import annotations

import unicodedata
from typing import Any

#: Joiners are parts of emoji and of some scripts.
_INVISIBLE_BUT_MEANT = "\n\u200c\u200d"


def printable(text: str) -> str:
    r"""*text* for a terminal: all but letters, signs and blanks is shown as `\x1b`, so no text can control it."""
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str) -> str:
    """As `printable`, and line ends are shown too: for names."""
    return printable(text).replace("\n", "\\n")


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""*value* as JSON that a terminal may see: letters of all scripts as they are, the rest as `\u0080`.

    What reads it gets the very same text back."""
    import json  # commands that write none start without it


    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _meant(letter: str) -> bool:
    return letter.isprintable() or letter in _INVISIBLE_BUT_MEANT or unicodedata.category(letter) == "Zs"


def _visible(letter: str) -> str:
    return letter if _meant(letter) else repr(letter)[1:-1]


def _escaped(letter: str) -> str:
    """Outside its strings JSON holds nothing that needs this; inside, line ends are escaped already."""
    if _meant(letter):
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
