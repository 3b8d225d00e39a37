"""Linux names on the wire and back."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from frevo.mount.name_mapping import from_remote, is_too_long, to_remote

#: What Windows forbids in a name ([MS-FSCC] 2.1.5).
FORBIDDEN = set('"*:<>?\\|') | {chr(code) for code in range(0x20)}


def test_the_mapping_is_that_of_services_for_macintosh() -> None:
    """The forbidden characters are mapped as by mount.cifs and macOS."""
    assert to_remote('"*:<>?\\|') == "\uf020\uf021\uf022\uf023\uf024\uf025\uf026\uf027"
    assert to_remote("\x01\x1f") == "\uf001\uf01f"
    assert to_remote("a b.") == "a b\uf029" and to_remote("a. ") == "a.\uf028"
    assert to_remote(os.fsdecode(b"\x80\xff")) == "\uf080\uf0ff"
    assert to_remote("plain name.txt") == "plain name.txt"


def is_name(raw: bytes) -> bool:
    """Whether Linux accepts it as the name of a file; "." and ".." are not names."""
    return b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")


@given(st.binary(min_size=1, max_size=60).filter(is_name))
def test_every_name_comes_back(raw: bytes) -> None:
    """Any bytes that Linux accepts: what is sent has no forbidden character, and maps back to the same bytes."""
    name = os.fsdecode(raw)
    sent = to_remote(name)
    assert not set(sent) & FORBIDDEN and sent[-1] not in " ." and sent.encode("utf-16-le")
    if not any("\uf000" <= letter <= "\uf0ff" for letter in name):  # the few that are taken
        assert os.fsencode(from_remote(sent)) == raw


def test_lengths() -> None:
    """255 UTF-16 code units at most; a character outside the basic plane counts twice."""
    assert not is_too_long("a" * 255) and is_too_long("a" * 256)
    assert not is_too_long("🦀" * 127) and is_too_long("🦀" * 128)
