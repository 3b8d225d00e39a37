"""The netrc file: which entry is used for which host and user, hostile files, and who may read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.client.address import Location
from frevo.client.connect import Options
from frevo.client.credentials import Credentials, choose, split_user
from frevo.client.netrc import Entry, look_up, parse

TEXT = """\
# a comment
machine nas login eve password "a \\"b\\" c"
machine nas login WG\\bob password bobs
machine NAS:4450
    login eve
    password on-4450
machine [fe80::1]:445 login six password p6
machine ftp login eve account x macdef init
password not-a-password

machine empty password nobodys
default login guest password last
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "netrc"
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("host", "port", "user", "password"),
    [
        ("nas", 0, "", 'a "b" c'),
        ("Nas", 445, "EVE", 'a "b" c'),
        ("nas", 0, "bob", "bobs"),
        ("nas", 4450, "eve", "on-4450"),
        ("nas", 4450, "bob", "bobs"),
        ("nas", 0, "carol", None),
        ("other", 0, "", "last"),
        ("other", 0, "eve", None),
        ("empty", 0, "", "last"),
        ("fe80::1", 0, "six", "p6"),
    ],
)
def test_which_entry_is_used(store: Path, host: str, port: int, user: str, password: str | None) -> None:
    """host:port before host before default; a named user gets his own password or none."""
    found = look_up(store, host, port, user)
    assert (found.password if found else None) == password


def test_what_is_refused(store: Path, tmp_path: Path) -> None:
    """Files that others can read, broken ones, huge ones, missing ones: an error with the file's name, never a
    password."""
    store.chmod(0o640)
    with pytest.raises(ValueError, match=r"chmod 600"):
        look_up(store, "nas", 0, "eve")
    assert look_up(store, "nas", 0, "carol") is None  # nothing of it would be used
    store.chmod(0o600)
    for text in ("machine", "login eve", "machine a login", 'machine a password "x', "machine a pass secret"):
        store.write_text(text)
        with pytest.raises(ValueError, match="line 1") as caught:
            look_up(store, "a", 0, "")
        assert "secret" not in str(caught.value) and str(store) in str(caught.value)
    store.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError):
        look_up(store, "a", 0, "")
    store.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ValueError, match="not a netrc"):
        look_up(store, "a", 0, "")
    assert look_up(tmp_path / "missing", "a", 0, "") is None
    with pytest.raises(ValueError, match="NETRC"):
        look_up(tmp_path / "missing", "a", 0, "", must_exist=True)
    with pytest.raises(ValueError, match="directory"):
        look_up(tmp_path, "a", 0, "")


@given(st.text(alphabet='machine default login password "\\#\n\t x', max_size=60))
def test_any_text(text: str) -> None:
    """Whatever is in the file: entries, or a ValueError."""
    try:
        assert all(isinstance(entry, Entry) for entry in parse(text))
    except ValueError:
        pass


def test_the_order(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Arguments, URL, file, environment, netrc: each fills in what is still missing, for the same user."""
    environ = {"NETRC": str(store)}
    assert choose(Credentials(), environ=environ, host="nas") == Credentials("eve", 'a "b" c')
    assert choose(Credentials("bob"), environ=environ, host="nas") == Credentials("bob", "bobs", "WG")
    assert choose(Credentials("bob", domain="X"), environ=environ, host="nas").password is None
    environ["FREVO_PASSWORD"] = "from the environment"
    assert choose(Credentials("eve"), environ=environ, host="nas").password == "from the environment"
    assert choose(Credentials(kerberos="required"), environ={"NETRC": "/none"}, host="nas").user == ""
    file = tmp_path / "credentials"
    file.write_text("username=bob\n")
    known = choose(Credentials(), str(file), {"NETRC": str(store)}, host="nas")
    assert known == Credentials("bob", "bobs", "WG")
    file.write_bytes(b"username=\xff\n")
    with pytest.raises(ValueError, match="UTF-8"):
        choose(Credentials(), str(file), {})
    for name in ("FREVO_USER", "FREVO_PASSWORD", "FREVO_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(store))
    assert Options().credentials(Location("nas", port=4450)).password == "on-4450"
    assert Options(workgroup="HOME").credentials(Location("nas")).domain == "HOME"
    assert Options(workgroup="HOME").credentials(Location("nas", user="bob")).domain == "WG"
    assert os.environ["NETRC"] not in repr(Options())


def test_domains() -> None:
    """DOMAIN\\user, DOMAIN/user and user@DOMAIN are two parts; a name with a DNS domain is one."""
    for text in ("WG\\eve", "WG/eve", "eve@WG"):
        assert split_user(Credentials(text)) == Credentials("eve", domain="WG")
    assert split_user(Credentials("eve@example.org")) == Credentials("eve@example.org")
    assert split_user(Credentials("eve@WG", domain="X")) == Credentials("eve@WG", domain="X")
