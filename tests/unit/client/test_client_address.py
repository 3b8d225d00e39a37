"""URLs to places and paths to the wire: examples, and what is refused."""

from __future__ import annotations

import pytest

from frevo.client.address import Location, join, wire_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smb://nas/share", Location("nas", "share")),
        ("smb://nas/share/a/b/", Location("nas", "share", "a/b")),
        ("smb://NAS:4450/share", Location("nas", "share", port=4450)),
        ("smb://eve@nas/s", Location("nas", "s", user="eve")),
        ("smb://WG;eve:pw%40@nas/s", Location("nas", "s", user="eve", domain="WG", password="pw@")),
        ("smb://[::1]:445/s", Location("::1", "s", port=445)),
        ("smb://nas/my%20share/a%2523#?b", Location("nas", "my share", "a%23#?b")),
        ("//nas/share/x", Location("nas", "share", "x")),
        (r"\\nas\share\x\y", Location("nas", "share", "x/y")),
        ("smb://nas", Location("nas")),
    ],
)
def test_urls(text: str, expected: Location) -> None:
    """Everything that a URL may say."""
    assert Location.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "nas/share", "http://nas/share", "smb:///share", "smb://nas:99999/share"]
)
def test_no_urls(text: str) -> None:
    """What is no place raises ValueError."""
    with pytest.raises(ValueError):
        Location.parse(text)


def test_a_url_again() -> None:
    """The text of a place parses to it; the password is in no text."""
    place = Location("::1", "my share", "a/b#c", 4450)
    assert Location.parse(str(place)) == place
    assert "secret" not in repr(Location("h", password="secret")) + str(Location("h", password="secret"))


def test_wire_paths() -> None:
    """Slashes become backslashes, "." and ".." are resolved, nothing leaves the share."""
    assert wire_path("/a//./b/../c/") == r"a\c"
    assert wire_path("") == "" and wire_path("a/..") == ""
    assert wire_path(r"a\b:stream") == r"a\b:stream"
    for bad in ("..", "a/../../b", r"..\x", "a\0b"):
        with pytest.raises(ValueError):
            wire_path(bad)
    assert join("", "a") == "a" and join("a/b/", "c") == "a/b/c"
