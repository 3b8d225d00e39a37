"""The client against smbd in unusual configurations, some of them found on NAS devices: limits, demands, names,
snapshots."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers import programs, transports
from peers.frevo_server import FREVO
from peers.samba_server import samba_server
from peers.target import Target
from peers.tour import tour

import frevo
from frevo.client import LogonError, RemoteError, Share
from frevo.client.connect import Connecting

pytestmark = [pytest.mark.interop, pytest.mark.once("smbd with other settings")]

_TINY = {"smb2 max read": "65536", "smb2 max write": "65536", "smb2 max trans": "65536"}
#: Name to the lines in [global] and the stops of the tour that such a server does not have.
SERVERS: dict[str, tuple[dict[str, str], set[str]]] = {
    "one credit": ({"smb2 max credits": "1"}, set()),
    "three credits": ({"smb2 max credits": "3"}, set()),
    "eight credits": ({"smb2 max credits": "8"}, set()),
    "small requests": (_TINY, set()),
    "oldest": ({"server min protocol": "SMB2_02", "server max protocol": "SMB2_02"}, set()),
    "encrypted 3.0": ({"server max protocol": "SMB3_00", "smb encrypt": "required"}, set()),
    "for Macs": ({"vfs objects": "catia fruit streams_xattr", "fruit:metadata": "stream"}, set()),
    "nothing extra": (
        {"vfs objects": "", "ea support": "no", "nt acl support": "no", "store dos attributes": "no"},
        {"streams", "eas", "attributes", "security"},
    ),
    "case sensitive": ({"case sensitive": "yes", "mangled names": "no"}, set()),
}


def url_of(target: Target, share: str = "share", host: str = "127.0.0.1") -> str:
    return f"{target.scheme}://{host}:{target.port}/{share}"


@contextmanager
def odd_server(base: Path, options: dict[str, str]) -> Iterator[Target]:
    """Samba with these options, for frevo's client."""
    if transports.over_quic() and options.get("server max protocol", "SMB3_11") < "SMB3_11":
        pytest.skip("over TCP only: QUIC carries 3.1.1 alone")
    with samba_server(base, options) as target, transports.reaching(target.port) as place:
        yield target.over_quic(int(place.rpartition(":")[2])) if transports.over_quic() else target


def connected(target: Target, **options: object) -> Connecting[Share]:
    return frevo.connect(url_of(target), user=target.user, password=target.password, **options)


@pytest.mark.parametrize("name", SERVERS)
async def test_everything(name: str, tmp_path: Path) -> None:
    """One of everything that the library does, on a server with this configuration."""
    options, without = SERVERS[name]
    with odd_server(tmp_path, options) as target:
        async with connected(target) as share:
            assert await tour(share, without=without) == {}


REFUSALS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "address": ({"hosts deny": "127.0.0.1"}, {}, "refuses this address"),
    "too many": ({"max smbd processes": "1"}, {}, "too many clients"),
    "NTLM": ({"ntlm auth": "disabled"}, {}, "Kerberos"),
    "dialects": ({"server min protocol": "SMB3_11"}, {"maximum": "SMB3_02"}, "no dialect from SMB2_02 to SMB3_02"),
    "no cipher": (
        {"server max protocol": "SMB3_00", "smb encrypt": "required"},
        {"maximum": "SMB2_10"},
        "requires encryption",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_turned_away(name: str, tmp_path: Path) -> None:
    """Servers that want other clients: the error says what may be the reason."""
    settings, options, expected = REFUSALS[name]
    if transports.over_quic() and "maximum" in options:
        pytest.skip("over TCP only: QUIC carries 3.1.1 alone")
    with odd_server(tmp_path, settings) as target, pytest.raises(RemoteError, match=expected):
        await connected(target, **options)


async def test_forbidden_names(tmp_path: Path) -> None:
    """What `veto files` forbids cannot be made, and the error does not say that something is missing."""
    with odd_server(tmp_path, {"veto files": "/*.exe/"}) as target:
        async with connected(target) as share:
            for work in (
                share.write_bytes("a.exe", b"x"),
                share.write_small("a.exe", b"x"),
                share.mkdir("a.exe"),
            ):
                with pytest.raises(RemoteError, match="does not allow files with this name"):
                    await work
            with pytest.raises(FileNotFoundError, match="no such file"):
                await share.read_bytes("a.exe")


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., programs.Run]:
    """Runs a command with the credentials in a file."""

    def run(target: Target, name: str, *arguments: str) -> programs.Run:
        file = tmp_path / "credentials"
        file.write_text(f"username = {target.user}\npassword = {target.password}\n")
        return programs.run([*FREVO, name, *arguments, "--credentials", str(file)], timeout_s=60)

    return run


def test_snapshots(command: Callable[..., programs.Run], tmp_path: Path) -> None:
    """Earlier versions (vfs_shadow_copy2) are listed, read, downloaded and copied back."""
    options = {
        "vfs objects": "shadow_copy2",
        "shadow:snapdir": ".snapshots",
        "shadow:snapdirseverywhere": "yes",
        "shadow:sort": "desc",
    }
    tokens = ["@GMT-2026.03.02-08.00.00", "@GMT-2026.03.01-10.30.00"]
    with odd_server(tmp_path / "samba", options) as target:
        for token in tokens:
            old = target.folder() / ".snapshots" / token / "docs"
            old.mkdir(parents=True)
            (old / "a.txt").write_text(token)
        (target.folder() / "docs").mkdir()
        (target.folder() / "docs" / "a.txt").write_text("now")
        url = url_of(target)
        assert command(target, "ls", "--snapshots", url).ok().split() == tokens
        assert command(target, "ls", "-R", f"{url}/{tokens[0]}").ok().split() == ["docs/", "docs/a.txt"]
        assert command(target, "cat", f"{url}/{tokens[1]}/docs/*.txt").ok() == tokens[1]
        command(target, "get", "-r", f"{url}/{tokens[0]}/docs", str(tmp_path)).ok()
        assert (tmp_path / "docs" / "a.txt").read_text() == tokens[0]
        command(target, "cp", f"{url}/{tokens[1]}/docs/a.txt", f"{url}/docs/back.txt").ok()
        assert (target.folder() / "docs" / "back.txt").read_text() == tokens[1]


async def test_users(tmp_path: Path) -> None:
    """Names with spaces and umlauts, with domains on either side, in other letters, and an unknown one."""
    me = programs.run(["id", "-un"]).ok().strip()
    (tmp_path / "map").write_text(f'{me} = user1 "two words" "jörg müller"\n')
    with odd_server(tmp_path / "samba", {"username map": str(tmp_path / "map")}) as target:
        for user in ("two words", "jörg müller", r"WORKGROUP\two words", "jörg müller@WORKGROUP", "USER1"):
            async with frevo.connect(url_of(target), user=user, password=target.password) as share:
                assert await share.exists("")
        url = url_of(target, host="WORKGROUP;j%C3%B6rg%20m%C3%BCller@127.0.0.1")
        async with frevo.connect(url, password=target.password) as share:
            assert await share.exists("")
        with pytest.raises(LogonError, match="logging on as somebody"):
            await frevo.connect(url_of(target), user="somebody", password=target.password)


@pytest.mark.tcp_only("the foreign QUIC server is at 127.0.0.1")
async def test_ipv6(tmp_path: Path) -> None:
    """An address in brackets."""
    with odd_server(tmp_path / "samba", {"interfaces": "127.0.0.1/8 ::1/128"}) as target:
        if not socket.has_ipv6 or not programs.accepts("::1", target.port):
            programs.missing("there is no IPv6 here")
        url = url_of(target, host="[::1]")
        async with frevo.connect(url, user=target.user, password=target.password) as share:
            await share.write_bytes("a", b"a")
            assert await share.read_bytes("a") == b"a"
