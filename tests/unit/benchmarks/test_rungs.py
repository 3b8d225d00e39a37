"""benchmarks.rungs: which ways to read and write can be forced comes from the configuration's table."""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.rungs import rungs
from frevo.config import KEYS
from frevo.config.types import Choice


def test_choices_with_auto_are_rungs() -> None:
    """Each value but auto is one, with the option that forces it; other keys do not count."""
    engine = next(key for key in KEYS if key.name == "frevo:engine")
    read = replace(
        engine, name="frevo:read path", kind=Choice({word: word for word in ("auto", "splice", "plain")})
    )
    without_auto = replace(
        read, name="frevo:write cache", kind=Choice({word: word for word in ("on", "off")})
    )
    samba = replace(read, name="write raw")
    assert rungs([engine, read, without_auto, samba]) == {
        "read": {
            "read: splice": {"frevo:read path": "splice", "frevo:splice": "always"},
            "read: plain": {"frevo:read path": "plain"},
        },
        "write": {},
    }
    assert set(rungs()) == {"read", "write"}
