"""Search patterns of QUERY_DIRECTORY: `*` and `?`, and the DOS wildcards `<`, `>`, `"` ([MS-FSA] 2.1.4.4).

`matcher(pattern)` compiles a pattern once; the result is asked for every name of a directory. Clients choose
the pattern, so none may take exponential time: a pattern that a regular expression would have to backtrack
over goes through a set-of-states walk instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Matcher = Callable[[str], bool]

STAR, QUESTION, DOS_STAR, DOS_QM, DOS_DOT = "*", "?", "<", ">", '"'
_WILD = frozenset((STAR, QUESTION, DOS_STAR, DOS_QM, DOS_DOT))
_STARS = frozenset((STAR, DOS_STAR))

#: One regular expression per wildcard. DOS_QM and DOS_DOT match nothing at the places where they may be left
#: out; DOS_STAR takes everything but the last dot of the name.
_EXPRESSIONS = {
    STAR: ".*",
    QUESTION: ".",
    DOS_STAR: r"(?:[^.]|\.(?=.*\.))*",
    DOS_QM: r"(?:[^.]|(?=\.|\Z))",
    DOS_DOT: r"(?:\.|\Z)",
}


def has_wildcards(pattern: str) -> bool:
    """Whether *pattern* can name more than one file."""
    return not _WILD.isdisjoint(pattern)


def matcher(pattern: str) -> Matcher:
    """A predicate over names, case-insensitive, that is true where *pattern* matches the whole name."""
    if not pattern or not pattern.strip(STAR):
        return _everything
    stars = sum(character in _STARS for character in pattern)
    if stars > 1 and DOS_STAR in pattern:
        return _walk(pattern)
    matches = re.compile(_expression(pattern), re.IGNORECASE | re.DOTALL).fullmatch
    return lambda name: matches(name) is not None


def _everything(name: str) -> bool:
    return True


def _expression(pattern: str) -> str:
    """*pattern* as a regular expression whose `*` never backtrack into each other.

    What stands between two `*` may be taken at its first occurrence: the second `*` absorbs the rest in any
    case. An atomic group says so; only what follows the last star has to fit the end of the name.
    """
    parts = re.split(r"\*+", pattern)
    texts = ["".join(_EXPRESSIONS.get(symbol) or re.escape(symbol) for symbol in part) for part in parts]
    if len(texts) == 1:
        return texts[0]
    middle = "".join(f"(?>.*?{text})" for text in texts[1:-1])
    return f"{texts[0]}{middle}.*{texts[-1]}"


def _walk(pattern: str) -> Matcher:
    """The matcher for patterns with several stars, DOS ones among them: every state that the name can have
    reached in the pattern is kept, so a name costs at most its length times the pattern's."""
    symbols = [symbol if symbol in _WILD else _fold(symbol) for symbol in pattern]
    end = len(symbols)

    def closure(states: set[int], next_character: str) -> set[int]:
        """*states* and all that can be reached from them without taking a character."""
        found = set(states)
        todo = list(states)
        while todo:
            state = todo.pop()
            if state == end or state + 1 in found:
                continue
            symbol = symbols[state]
            skippable = (
                symbol in _STARS
                or (symbol == DOS_QM and next_character in ("", "."))
                or (symbol == DOS_DOT and not next_character)
            )
            if skippable:
                found.add(state + 1)
                todo.append(state + 1)
        return found

    def matches(name: str) -> bool:
        last_dot = name.rfind(".")
        states = {0}
        for position, character in enumerate(name):
            states = closure(states, character)
            folded = _fold(character)
            dot = position == last_dot
            states = {_advance(symbols, state, folded, dot) for state in states if state < end} - {-1}
            if not states:
                return False
        return end in closure(states, "")

    return matches


def _advance(symbols: list[str], state: int, character: str, is_last_dot: bool) -> int:
    """The state after *character* is taken by the symbol at *state*; -1 when it cannot be."""
    symbol = symbols[state]
    if symbol == STAR or (symbol == DOS_STAR and not is_last_dot):
        return state
    if symbol == QUESTION or (symbol == DOS_QM and character != "."):
        return state + 1
    if symbol == character or (symbol == DOS_DOT and character == "."):
        return state + 1 if symbol not in _WILD or symbol == DOS_DOT else -1
    return -1


def _fold(character: str) -> str:
    """The upper case of one character when that is one character, as Windows' table has it."""
    upper = character.upper()
    return upper if len(upper) == 1 else character
