"""Locked ranges of a file against a model that knows each byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from frevo.mount.ranges import Owner, Range, Ranges

SIZE = 12
OWNERS: list[Owner] = [(False, 1), (False, 2), (True, 1)]
BOUNDS = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).filter(lambda pair: pair[0] < pair[1])
STEPS = st.lists(st.tuples(st.sampled_from(OWNERS), BOUNDS, st.sampled_from("rwu")), max_size=12)


@given(STEPS)
def test_ranges_match_a_model(steps: list[tuple[Owner, tuple[int, int], str]]) -> None:
    """Random locks and unlocks: refused where a byte is taken; together they match the bytes."""
    ranges = Ranges()
    model: dict[Owner, dict[int, bool]] = {owner: {} for owner in OWNERS}
    for owner, (start, end), kind in steps:
        there = range(start, end)
        if kind == "u":
            ranges.remove(owner, start, end)
            for byte in there:
                model[owner].pop(byte, None)
            continue
        exclusive = kind == "w"
        others = [held for other, held in model.items() if other != owner and other[0] == owner[0]]
        taken = any(byte in held and (exclusive or held[byte]) for held in others for byte in there)
        assert (ranges.in_the_way(owner, Range(start, end, exclusive)) is not None) == taken
        if not taken:
            ranges.put(owner, Range(start, end, exclusive))
            model[owner].update(dict.fromkeys(there, exclusive))
    together = {
        byte: any(held.get(byte, False) for held in model.values())
        for byte in range(SIZE)
        if any(byte in held for held in model.values())
    }
    found = [(byte, one.exclusive) for one in ranges.together() for byte in range(one.start, one.end)]
    assert dict(found) == together and len(found) == len(together)
    assert bool(ranges) == bool(together)


def test_what_was_held_can_be_restored() -> None:
    """If the server refuses a lock, its owner keeps what he had before."""
    ranges, owner = Ranges(), OWNERS[0]
    ranges.put(owner, Range(0, 10, False))
    before = ranges.of(owner)
    ranges.put(owner, Range(2, 4, True))
    assert ranges.together() == {Range(0, 2, False), Range(2, 4, True), Range(4, 10, False)}
    ranges.restore(owner, before)
    assert ranges.together() == {Range(0, 10, False)}
