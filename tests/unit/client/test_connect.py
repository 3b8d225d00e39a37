"""`connect` and `connect_server`: what URLs and options become, and what is closed when a step fails."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from frevo.client.connect import Options, connect, connect_server
from frevo.client.credentials import Credentials
from frevo.client.errors import RemoteError
from frevo.client.server import Settings
from frevo.proto.dialect import SMB_2_1


class Server:
    """Notes what it was reached with."""

    def __init__(self, host: str, credentials: Credentials, settings: Settings) -> None:
        self.host, self.credentials, self.settings = host, credentials, settings
        self.closed = 0
        self.shared: dict[str, Any] = {}
        self.refuses = False

    async def share(self, name: str, **options: Any) -> Server:
        if self.refuses:
            raise RemoteError(2, "no such share")
        self.shared = {"name": name, **options}
        return self

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    for name in ("FREVO_USER", "FREVO_PASSWORD", "FREVO_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    servers: list[Server] = []

    async def open_server(*how: Any) -> Server:
        servers.append(Server(*how))
        return servers[-1]

    monkeypatch.setattr(sys.modules[connect.__module__], "open_server", open_server)
    return servers


async def test_a_share(reached: list[Server]) -> None:
    """User and path come from the URL; closing the share closes the server."""
    async with connect("smb://WG;eve:pw@nas:4450/docs/a/b", signing=False, maximum="SMB2_10"):
        (server,) = reached
        assert (server.host, server.credentials) == ("nas", Credentials("eve", "pw", "WG"))
        assert server.shared == {"name": "docs", "base": "a/b", "owned": True}
        assert (server.settings.signing, server.settings.maximum) == (False, SMB_2_1)
        assert [str(one) for one in server.settings.transports] == ["tcp:4450"]
    assert server.closed == 1


async def test_options_as_a_record(reached: list[Server]) -> None:
    """Keyword arguments win over the record, the record over the URL."""
    server = await connect_server("smb://eve@nas", Options(user="bob", timeout=1.0), timeout=2.0)
    assert reached[0].credentials.user == "bob" and reached[0].settings.timeout == 2.0
    await server.close()


async def test_a_share_that_is_not_there(monkeypatch: pytest.MonkeyPatch, reached: list[Server]) -> None:
    """The server that was reached for it is closed."""
    real = Server.__init__

    def init(self: Server, *how: Any) -> None:
        real(self, *how)
        self.refuses = True

    monkeypatch.setattr(Server, "__init__", init)
    with pytest.raises(RemoteError):
        await connect("smb://nas/nothing")
    assert reached[0].closed == 1


@pytest.mark.parametrize("url", ["smb://nas", "smb://nas/", "http://nas/share", ""])
def test_urls_without_a_share(url: str) -> None:
    """They are errors at once, before anything is awaited."""
    with pytest.raises(ValueError):
        connect(url)


@pytest.mark.parametrize(
    "options", [{"kerberos": "maybe"}, {"minimum": "SMB1"}, {"transports": "pigeon"}, {"colour": "red"}]
)
def test_wrong_options(options: dict[str, Any]) -> None:
    """Likewise."""
    with pytest.raises((ValueError, TypeError)):
        connect("smb://nas/share", **options)


def test_a_workgroup() -> None:
    """It is the domain of a user who has none, and of nobody else."""
    from frevo.client.address import Location

    place = Location.parse("smb://nas/share")
    one = Options(user="eve", password="pw", workgroup="WG")
    assert one.credentials(place).domain == "WG"
    assert Options(user="eve@example.org", password="pw", workgroup="WG").credentials(place).domain == ""
    assert Options(user="OTHER\\eve", password="pw", workgroup="WG").credentials(place).domain == "OTHER"
