"""8.3 names: short ones stay, long ones become short and distinct."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.server.rules.short_names import short_name


@pytest.mark.parametrize("name", ["x", "file", "FILE.TXT", "a.b", "readme.md", "12345678.123", ".", ".."])
def test_short_stays(name: str) -> None:
    """A name that fits is its own short name."""
    assert short_name(name) == name


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("long file name.html", "LONG~", ".HTM"), ("grüße.txt", "GRSS~", ".TXT"), (".hidden", "HIDD~", "")],
)
def test_long_becomes_short(name: str, start: str, end: str) -> None:
    """The beginning and the extension can still be told."""
    short = short_name(name)
    assert short.startswith(start)
    assert short.endswith(end)


def test_similar_names_stay_apart() -> None:
    """500 names with the same beginning have nearly as many short names."""
    assert len({short_name(f"a long name {number}.txt") for number in range(500)}) > 490


@given(st.text(st.characters(exclude_characters='\\/:*?"<>|\0'), min_size=1, max_size=255))
def test_always_short(name: str) -> None:
    """Any name gives one of at most 8 and 3 characters."""
    base, _, extension = short_name(name).partition(".")
    assert len(base) <= 8 or name in (".", "..")
    assert len(extension) <= 3
