"""Conditions: which values make sense."""

from __future__ import annotations

import pytest

from frevo.lab import Conditions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", 1.01),
        ("loss", -0.1),
        ("duplicate", float("nan")),
        ("reorder", 2),
        ("delay_s", -1),
        ("jitter_s", 3601),
        ("hold_s", float("inf")),
        ("queue_s", float("nan")),
        ("mtu", 67),
        ("mtu", 65536),
        ("mtu", -1),
        ("rate", -1.0),
        ("rate", float("inf")),
        ("rate", float("nan")),
    ],
)
def test_out_of_range(name: str, value: float) -> None:
    """A value out of range is refused by its name."""
    with pytest.raises(ValueError, match=f"^{name} is "):
        Conditions(**{name: value})


def test_bounds() -> None:
    """The ends of the ranges are in them."""
    Conditions(loss=1, duplicate=0, reorder=1, delay_s=3600, jitter_s=0, mtu=68, rate=0)
    Conditions(mtu=65535)
