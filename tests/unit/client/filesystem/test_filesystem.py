"""The fsspec file system: names and URLs, what entries look like, and what each call does to the share."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Any

import pytest
from unit.client.local_share import LocalShare

from frevo.client.address import SCHEMES
from frevo.client.filesystem import FrevoFileSystem
from frevo.client.filesystem.filesystem import _info
from frevo.client.tree.stat import Stat
from frevo.wire.smb2 import FileAttributes


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        ("frevo://nas/docs/a", "docs/a"),
        ("smb://nas:4450/docs/a/", "docs/a"),
        ("/docs/a", "docs/a"),
        ("docs\\a", "docs/a"),
        ("smb://nas", ""),
        ("smb+quic://eve@nas:4433/docs/a", "docs/a"),
        (Path("docs/a"), "docs/a"),
    ],
)
def test_paths(path: Any, inner: str) -> None:
    """Protocol and host go, backslashes become slashes; lists are mapped."""
    assert FrevoFileSystem._strip_protocol(path) == inner
    assert FrevoFileSystem._strip_protocol([path]) == [inner]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "smb://WG;eve:pw@nas:4450/docs",
            {"host": "nas", "port": 4450, "username": "eve", "password": "pw", "domain": "WG"},
        ),
        ("frevo://nas/docs", {"host": "nas"}),
        ("smb+quic://nas:4433/docs", {"host": "nas", "port": 4433, "transports": "quic"}),
        ("docs/a", {}),
    ],
)
def test_what_a_url_says(url: str, options: dict[str, Any]) -> None:
    """The parts that are there become arguments."""
    assert FrevoFileSystem._get_kwargs_from_urls(url) == options


def test_urls_keep_the_transport() -> None:
    """A path's URL demands the transport that the file system has; with several to choose from it is a plain one."""
    fs = FrevoFileSystem("nas", 4433, transports="quic", tls_ca="/ca.pem", skip_instance_cache=True)
    assert fs.unstrip_protocol("docs/a") == "smb+quic://nas:4433/docs/a"
    fs = FrevoFileSystem("nas", transports="quic tcp", skip_instance_cache=True)
    assert fs.unstrip_protocol("docs/a") == "frevo://nas/docs/a"


def test_fsspec_knows_the_schemes() -> None:
    """The package announces every scheme to fsspec, but not smb, which fsspec has an implementation of its own for."""
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    announced = project["project"]["entry-points"]["fsspec.specs"]
    assert announced.keys() == {"frevo", *SCHEMES} - {"smb"}
    assert set(announced.values()) == {f"frevo.client.filesystem:{FrevoFileSystem.__name__}"}


@pytest.mark.parametrize(
    ("attributes", "kind", "size"),
    [(0, "file", 7), (FileAttributes.DIRECTORY, "directory", 0), (FileAttributes.REPARSE_POINT, "link", 7)],
)
def test_entries(attributes: int, kind: str, size: int) -> None:
    """In fsspec's words; a time that Python does not have is the nearest one that it has."""
    second = 116444736000000000
    found = _info("docs/a", Stat(7, int(attributes), second, 0, 2**63 - 1, 0, file_id=5))
    assert (found["name"], found["type"], found["size"], found["ino"]) == ("docs/a", kind, size, 5)
    assert found["created"] == datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert found["mtime"].year == 9999


class Shares:
    """One share, "docs"."""

    def __init__(self, share: LocalShare) -> None:
        self.docs = share

    async def share(self, name: str) -> LocalShare:
        if name != "docs":
            raise FileNotFoundError(name)
        return self.docs

    def close_soon(self) -> None:
        """Nothing is connected."""


@pytest.fixture
def share(tmp_path: Path) -> LocalShare:
    return LocalShare(tmp_path / "docs")


@pytest.fixture
def files(share: LocalShare) -> FrevoFileSystem:
    made = FrevoFileSystem("nas", asynchronous=True, skip_instance_cache=True)
    made._shares = Shares(share)
    return made


async def test_whole_files(files: FrevoFileSystem, share: LocalShare) -> None:
    """Small files take one round trip, both ways; a range is cut as Python's slices are."""
    await files._pipe_file("docs/a", b"0123456789")
    assert share.at("a").read_bytes() == b"0123456789" and share.calls == ["write_small a"]
    assert await files._cat_file("docs/a") == b"0123456789"
    assert await files._cat_file("docs/a", 0, 4) == b"0123"
    assert share.calls == ["write_small a", "read_small a", "read_small a"]


async def test_directories_above_a_new_file(files: FrevoFileSystem, share: LocalShare) -> None:
    """They are made when they are missing, unless that was turned off."""
    await files._pipe_file("docs/sub/deep/a", b"x")
    assert share.at("sub/deep/a").read_bytes() == b"x"
    files.auto_mkdir = False
    with pytest.raises(FileNotFoundError):
        await files._pipe_file("docs/other/a", b"x")


async def test_a_path_without_a_share(files: FrevoFileSystem) -> None:
    """The root has shares, not files."""
    with pytest.raises(PermissionError, match="names no share"):
        await files._cat_file("")
    assert await files._info("") == {"name": "", "size": 0, "type": "directory"}
    with pytest.raises(FileExistsError):
        await files._mkdir("docs")
    await files._makedirs("docs", exist_ok=True)


def test_equal_and_different_servers() -> None:
    """`fsid` tells servers apart; a path becomes a URL with its host."""
    one = FrevoFileSystem("nas", 4450, asynchronous=True, skip_instance_cache=True)
    other = FrevoFileSystem("nas2", asynchronous=True, skip_instance_cache=True)
    assert one.fsid == "frevo://nas:4450" != other.fsid
    assert one.unstrip_protocol("docs/a") == "frevo://nas:4450/docs/a"
