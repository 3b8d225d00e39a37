"""URLs to locations and paths to the wire: examples, and what is refused."""

from __future__ import annotations

import pytest

from frevo.client.address import Location, in_snapshot, is_url, join, wire_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smb://nas/share", Location("nas", "share")),
        ("smb://nas/share/a/b/", Location("nas", "share", "a/b")),
        ("smb://NAS:4450/share", Location("nas", "share", port=4450)),
        ("smb://eve@nas/s", Location("nas", "s", user="eve")),
        ("smb://WG;eve:pw%40@nas/s", Location("nas", "s", user="eve", domain="WG", password="pw@")),
        ("smb://[::1]:445/s", Location("::1", "s", port=445)),
        ("smb://[fe80::1%25eth0]/s", Location("fe80::1%eth0", "s")),
        ("//[fe80::1%eth0]/s", Location("fe80::1%eth0", "s")),
        ("smb://nas/my%20share/a%2523#?b", Location("nas", "my share", "a%23#?b")),
        ("//nas/share/x", Location("nas", "share", "x")),
        (r"\\nas\share\x\y", Location("nas", "share", "x/y")),
        ("smb://nas", Location("nas")),
        ("smb+quic://eve@nas/s/a", Location("nas", "s", "a", user="eve", transport="quic")),
        ("smb+quic://[::1]:4433/s", Location("::1", "s", port=4433, transport="quic")),
        ("SMB+TCP://nas/s", Location("nas", "s", transport="tcp")),
        ("smb+nbt://nas/s", Location("nas", "s", transport="nbt")),
        ("smb+rdma://eve@nas:15445/s/a", Location("nas", "s", "a", 15445, "eve", transport="smbdirect")),
    ],
)
def test_urls(text: str, expected: Location) -> None:
    """Everything that a URL may contain."""
    assert Location.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "nas/share", "http://nas/share", "smb+unix://nas/share", "smb+://nas/share", "quic://nas/share",
     "smb+smbdirect://nas/share",
     "smb:///share", "smb://nas:99999/share", "smb://::1/share"],
)
def test_texts_that_are_not_urls(text: str) -> None:
    """Anything else raises ValueError."""
    with pytest.raises(ValueError):
        Location.parse(text)


def test_a_url_again() -> None:
    """The text of a location parses to the same location; the password is in no text."""
    for host in ("::1", "fe80::1%eth0"):
        place = Location(host, "my share", "a/b#c", 4450)
        assert Location.parse(str(place)) == place
    for transport, scheme in (("quic", "smb+quic"), ("smbdirect", "smb+rdma")):
        place = Location("nas", "s", transport=transport)
        assert str(place) == f"{scheme}://nas/s" and Location.parse(str(place)) == place
    assert "secret" not in repr(Location("h", password="secret")) + str(Location("h", password="secret"))


def test_ports() -> None:
    """The port as far as the URL says: its own, or that of the transport that it demands."""
    ports = ("smb://nas", "smb://nas:4450", "smb+quic://nas", "smb+nbt://nas", "smb+quic://nas:4433")
    assert [Location.parse(text).known_port for text in ports] == [0, 4450, 443, 139, 4433]
    assert Location.parse("smb+rdma://nas").known_port == 5445


def test_what_is_a_url() -> None:
    """Every scheme, and both kinds of slashes; not a file's name."""
    assert all(map(is_url, ("smb://a/b", "smb+quic://a/b", "smb+tcp://a", "//a/b", r"\\a\b")))
    assert not any(map(is_url, ("a/b", "/a/b", "smb:a", "smb+udp://a/b", "http://a/b")))


def test_wire_paths() -> None:
    """Slashes become backslashes, "." and ".." are resolved, nothing leaves the share."""
    assert wire_path("/a//./b/../c/") == r"a\c"
    assert wire_path("") == "" and wire_path("a/..") == ""
    assert wire_path(r"a\b:stream") == r"a\b:stream"
    for bad in ("..", "a/../../b", r"..\x", "a\0b"):
        with pytest.raises(ValueError):
            wire_path(bad)
    assert join("", "a") == "a" and join("a/b/", "c") == "a/b/c"


def test_snapshots() -> None:
    """A path that begins with a time is in that snapshot; names that only look similar are names."""
    assert in_snapshot(r"@GMT-1970.01.01-00.00.10\a\b") == (r"a\b", 116444736100000000)
    assert in_snapshot("@GMT-2026.11.23-08.00.00") == ("", 134398944000000000)
    for name in (r"a\@GMT-2026.11.23-08.00.00", "@GMT-2026.13.23-08.00.00", "@GMT-", "a", ""):
        assert in_snapshot(name) == (name, 0)
    assert in_snapshot("@GMT-0001.01.01-00.00.00") == ("@GMT-0001.01.01-00.00.00", 0)
