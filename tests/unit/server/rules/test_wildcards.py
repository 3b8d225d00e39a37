"""Search patterns: the documented examples of each wildcard, and every pattern against the definition."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.server.rules.wildcards import has_wildcards, is_too_long, matcher


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", "a.b", "."], []),
        ("", ["a", "a.b"], []),
        ("*.txt", ["A.TXT", "a.b.txt", ".txt"], ["a.tx", "txt", "a.txt.b"]),
        ("*.*", ["a.b", "a."], ["ab"]),
        ("a?c", ["abc", "A.c"], ["ac", "abbc"]),
        ("?", ["a"], ["", "ab"]),
        ("<", ["abc", ""], ["a.b", "a."]),
        ("<.txt", ["a.txt", "a.b.txt"], ["a.txt.b"]),
        ("<.<", ["a.b", "a.b.c"], ["ab"]),
        ('<"*', ["abc", "a.b", "a.b.c"], []),
        ('*"', ["abc", "abc."], []),
        ("a>>", ["a", "ab", "abc"], ["abcd", "b"]),
        ("a>>.txt", ["a.txt", "ab.txt", "abc.txt"], ["abcd.txt"]),
        ('abc"', ["abc", "abc."], ["abcd", "abc.d"]),
        (">>>>>>>>.>>>", ["foo.txt", "a.b"], ["a.b.c", "123456789.a"]),
        ("*a<b", ["a.ab", "ab", "axxb"], ["a.b"]),
        ("[a]", ["[A]"], ["a"]),
        ("stra\u00dfe", ["STRA\u00dfE"], ["strasse"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    """Each wildcard means what [MS-FSA] 2.1.4.4 says, by names that match and names that do not."""
    matches = matcher(pattern)
    assert [name for name in matching if not matches(name)] == []
    assert [name for name in others if matches(name)] == []


def test_has_wildcards() -> None:
    """Only the five wildcard characters make a pattern, by one pattern each."""
    assert all(has_wildcards(f"a{wild}") for wild in '*?<>"')
    assert not has_wildcards("a.b[c]")


def _by_definition(pattern: str, name: str) -> bool:
    """[MS-FSA] 2.1.4.4, word for word: each wildcard and what it may match, trying every choice."""
    last_dot = name.rfind(".")

    @cache
    def fits(at: int, position: int) -> bool:
        if at == len(pattern):
            return position == len(name)
        symbol, end = pattern[at], position == len(name)
        character = "" if end else name[position]
        if symbol in "*<":
            takes = not end and (symbol == "*" or position != last_dot)
            return fits(at + 1, position) or (takes and fits(at, position + 1))
        if symbol == ">":
            return fits(at + 1, position) if end or character == "." else fits(at + 1, position + 1)
        if symbol == '"':
            return fits(at + 1, position) if end else character == "." and fits(at + 1, position + 1)
        return not end and (symbol == "?" or symbol == character) and fits(at + 1, position + 1)

    return fits(0, 0)


@given(st.text('ab.*?<>"', max_size=8), st.text("ab.", max_size=8))
def test_patterns_mean_what_is_defined(pattern: str, name: str) -> None:
    """Goal: both forms of a pattern agree with the definition. Method: random patterns and names."""
    assert matcher(pattern)(name) == (_by_definition(pattern, name) if pattern else True)


HOSTILE = [
    "*a" * 127 + "b",
    "<a*" * 85,
    "*?" * 127 + "b",
    "<" * 254 + "b",
    ">" * 255,
    "<>" * 127,
    '"' * 255,
    '<">' * 85,
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_are_quick(pattern: str) -> None:
    """Goal: no pattern keeps the server busy for long. Method: patterns on which a naive matcher never ends, on the
    longest names: thousands of them take less time than a single name would there."""
    matches = matcher(pattern)
    started = time.process_time()
    for letter in ("a", "a.", "."):
        for _ in range(100):
            matches((letter * 255)[:255])
    assert time.process_time() - started < 5


def test_patterns_are_no_longer_than_names() -> None:
    """Goal: a pattern has at most 255 UTF-16 units. Method: letters of one unit and of two."""
    assert not is_too_long("<" * 255) and is_too_long("<" * 256)
    assert not is_too_long("\U0001f600" * 127) and is_too_long("\U0001f600" * 128)
