"""Search patterns: the documented examples of each wildcard, and two implementations against each other."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.server import wildcards
from frevo.server.wildcards import has_wildcards, matcher


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
    """Only the five wildcard characters make a pattern one, by one pattern each."""
    assert all(has_wildcards(f"a{wild}") for wild in '*?<>"')
    assert not has_wildcards("a.b[c]")


@given(st.text('ab.*?<>"', max_size=8), st.text("ab.", max_size=8))
def test_expression_and_walk_agree(pattern: str, name: str) -> None:
    """The fast form of a pattern and the state walk give the same answer, by random patterns and names."""
    assert matcher(pattern)(name) == (wildcards._walk(pattern)(name) if pattern else True)


@pytest.mark.parametrize("pattern", ["*a" * 60 + "b", "<a*" * 60 + "b", "*?" * 100, "<" * 200 + "b"])
def test_hostile_patterns_are_quick(pattern: str) -> None:
    """No pattern makes the server think for long, by patterns on which a naive matcher never ends."""
    matches = matcher(pattern)
    started = time.process_time()
    for _ in range(10):
        matches("a" * 255)
    assert time.process_time() - started < 5
