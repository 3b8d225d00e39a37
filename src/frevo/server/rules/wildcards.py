"""Search patterns of QUERY_DIRECTORY: `*` and `?`, and the DOS wildcards `<`, `>`, `"` ([MS-FSA] 2.1.4.4).

`matcher(pattern)` compiles a pattern once; the result is called for every name of a directory. Clients choose the
pattern, so by construction a name costs at most its length times that of the pattern: patterns with DOS wildcards are a
state machine with one bit per state, and the regular expression of the others cannot backtrack from one `*` into
another.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Matcher = Callable[[str], bool]

STAR, QUESTION, DOS_STAR, DOS_QM, DOS_DOT = "*", "?", "<", ">", '"'
_WILD = frozenset((STAR, QUESTION, DOS_STAR, DOS_QM, DOS_DOT))
_DOS = frozenset((DOS_STAR, DOS_QM, DOS_DOT))

#: UTF-16 code units of the longest pattern: as many as those of the longest name.
PATTERN_MAX = 255


def has_wildcards(pattern: str) -> bool:
    """Whether *pattern* can match more than one name."""
    return not _WILD.isdisjoint(pattern)


def is_too_long(pattern: str) -> bool:
    """Whether *pattern* is longer than any name it could match."""
    return len(pattern) > PATTERN_MAX or len(pattern.encode("utf-16-le", "surrogatepass")) > 2 * PATTERN_MAX


def matcher(pattern: str) -> Matcher:
    """A predicate over names, case-insensitive, that is true where *pattern* matches the whole name."""
    if not pattern or not pattern.strip(STAR):
        return _everything
    if not _DOS.isdisjoint(pattern):
        return _States(pattern).matches
    matches = re.compile(_expression(pattern), re.IGNORECASE | re.DOTALL).fullmatch
    return lambda name: matches(name) is not None


def _everything(name: str) -> bool:
    return True


def _expression(pattern: str) -> str:
    """*pattern* as a regular expression whose `*` never backtrack into each other.

    The text between two `*` can match at its first occurrence, as the second `*` matches the rest in any case. Atomic
    groups express that; only the text after the last `*` has to match at the end of the name.
    """
    parts = re.split(r"\*+", pattern)
    texts = ["".join("." if symbol == QUESTION else re.escape(symbol) for symbol in part) for part in parts]
    if len(texts) == 1:
        return texts[0]
    middle = "".join(f"(?>.*?{text})" for text in texts[1:-1])
    return f"{texts[0]}{middle}.*{texts[-1]}"


class _States:
    """A pattern as a machine with several states at once: bit *n* of a number means "the first *n* symbols have
    matched", so a character costs a few operations on such numbers."""

    __slots__ = (
        "_any",
        "_dot",
        "_end",
        "_letters",
        "_no_dot",
        "_optional",
        "_skips",
        "_stars",
        "_stars_not_last",
    )

    def __init__(self, pattern: str) -> None:
        self._end = 1 << len(pattern)
        self._letters: dict[str, int] = {}  # the positions of each letter, by its folded form
        self._any = self._no_dot = self._dot = self._stars = self._stars_not_last = 0
        for index, symbol in enumerate(pattern):
            bit = 1 << index
            if symbol == STAR:
                self._stars |= bit
            elif symbol == DOS_STAR:  # matches everything but the last dot of the name
                self._stars_not_last |= bit
            elif symbol == QUESTION:
                self._any |= bit
            elif symbol == DOS_QM:
                self._no_dot |= bit
            elif symbol == DOS_DOT:
                self._dot |= bit
            else:
                folded = _fold(symbol)
                self._letters[folded] = self._letters.get(folded, 0) | bit
        #: Symbols that may match nothing: always, before a dot, at the end of the name.
        self._skips = self._stars | self._stars_not_last
        self._optional = self._skips | self._no_dot

    def matches(self, name: str) -> bool:
        """Whether the whole of *name* is matched."""
        last_dot = name.rfind(".")
        states = 1
        for position, character in enumerate(name):
            is_dot = character == "."
            skips = self._optional if is_dot else self._skips
            states |= (skips + (states & skips)) ^ skips
            stays = self._stars if position == last_dot else self._skips
            moves = (
                self._any | self._letters.get(_fold(character), 0) | (self._dot if is_dot else self._no_dot)
            )
            states = states & stays | (states & moves) << 1
            if not states:
                return False
        skips = self._optional | self._dot
        states |= (skips + (states & skips)) ^ skips
        return bool(states & self._end)


def _fold(character: str) -> str:
    """The upper case of a character if that is a single character, as in the table of Windows."""
    upper = character.upper()
    return upper if len(upper) == 1 else character
