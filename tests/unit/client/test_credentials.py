"""Credentials: files in smbclient's format, the environment, and which of them wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from frevo.client.address import Location
from frevo.client.connect import Options
from frevo.client.credentials import Credentials, choose, from_environment, read_credentials_file


def test_a_file(tmp_path: Path) -> None:
    """Spaces around keys, comments, a password with an equals sign; without a user an error."""
    path = tmp_path / "credentials"
    path.write_text("# mine\nusername = eve\npassword = a=b c\ndomain = WG\n")
    assert read_credentials_file(str(path)) == Credentials("eve", "a=b c", "WG")
    path.write_text(r"username=WG\eve")
    assert read_credentials_file(str(path)) == Credentials("eve", None, "WG")
    path.write_text("password=x\n")
    with pytest.raises(ValueError, match="username"):
        read_credentials_file(str(path))


def test_the_environment() -> None:
    """It completes what was given, and is ignored when another user was named."""
    environ = {"FREVO_USER": "WG/eve", "FREVO_PASSWORD": "pw"}
    assert from_environment(environ) == Credentials("eve", "pw", "WG")
    assert choose(Credentials(), environ=environ) == Credentials("eve", "pw", "WG")
    assert choose(Credentials("eve"), environ=environ).password == "pw"
    assert choose(Credentials("bob"), environ=environ) == Credentials("bob")
    assert choose(Credentials("eve", "own"), environ=environ).password == "own"
    assert choose(Credentials(guest=True), environ=environ) == Credentials(guest=True)


def test_options_before_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win over the URL; the port of the URL is for the first transport, 139 is NetBIOS."""
    monkeypatch.delenv("FREVO_USER", raising=False)
    place = Location.parse("smb://WG;eve:pw@nas:4450/s")
    assert Options().credentials(place) == Credentials("eve", "pw", "WG")
    assert Options(user="bob", password="x").credentials(place) == Credentials("bob", "x", "WG")
    assert [str(one) for one in Options().settings(place).transports] == ["tcp:4450"]
    assert [str(one) for one in Options().settings(Location("nas", port=139)).transports] == ["nbt"]
    assert [str(one) for one in Options(transports="nbt, tcp:4450").settings(Location("nas")).transports] == [
        "nbt",
        "tcp:4450",
    ]
    for wrong in ({"kerberos": "maybe"}, {"minimum": "SMB1"}, {"transports": "carrier-pigeon"}):
        with pytest.raises(ValueError):
            Options(**wrong).settings(Location("nas"))  # type: ignore[arg-type]


def test_no_secrets_in_texts() -> None:
    """Passwords are in no representation."""
    assert "secret" not in repr(Credentials("eve", "secret")) + repr(Options(password="secret"))
