"""The fsspec file system against smbd and frevo: fsspec's own abstract suites, and what they leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fsspec.tests.abstract as suites
import pytest
from peers.target import Target

from frevo.client.filesystem import FrevoFileSystem

pytestmark = [pytest.mark.interop, pytest.mark.once("what transfers data below fsspec is repeated")]


@pytest.fixture
def file_system(target: Target) -> Iterator[FrevoFileSystem]:
    made = FrevoFileSystem(
        target.host,
        target.port,
        target.user,
        target.password,
        transports=target.transport,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    yield made
    made.close()


class Fixtures(suites.AbstractFixtures):
    """What the suites need: a file system and a folder in it."""

    @pytest.fixture
    def fs(self, file_system: FrevoFileSystem) -> FrevoFileSystem:
        return file_system

    @pytest.fixture
    def fs_path(self, fs: FrevoFileSystem, request: pytest.FixtureRequest) -> Iterator[str]:
        path = f"share/fsspec-{abs(hash(request.node.name)):x}"
        fs.makedirs(path, exist_ok=True)
        yield path
        fs.rm(path, recursive=True)

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)


class TestCopy(suites.AbstractCopyTests, Fixtures):
    """Copies within the file system."""


class TestGet(suites.AbstractGetTests, Fixtures):
    """Downloads."""


class TestPut(suites.AbstractPutTests, Fixtures):
    """Uploads."""


class TestOpen(suites.AbstractOpenTests, Fixtures):
    """Opens."""


class TestPipe(suites.AbstractPipeTests, Fixtures):
    """Whole contents."""


@pytest.mark.over_quic
class TestMove(Fixtures):
    """Renames and what the suites leave out."""

    def test_rename_and_listing(self, fs: FrevoFileSystem, fs_path: str) -> None:
        """A file written, renamed and listed: the listing has name, size and type."""
        fs.pipe_file(f"{fs_path}/one", b"12345")
        fs.mv(f"{fs_path}/one", f"{fs_path}/two")
        (entry,) = fs.ls(fs_path)
        assert (entry["name"], entry["size"], entry["type"]) == (f"{fs_path}/two", 5, "file")
        assert fs.created(f"{fs_path}/two") <= fs.modified(f"{fs_path}/two")

    def test_transaction(self, fs: FrevoFileSystem, fs_path: str) -> None:
        """A file of a transaction appears when the transaction ends, and not when it fails."""
        with fs.transaction, fs.open(f"{fs_path}/kept", "wb") as file:
            file.write(b"data")
        assert fs.cat_file(f"{fs_path}/kept") == b"data"
        with pytest.raises(ZeroDivisionError), fs.transaction:
            with fs.open(f"{fs_path}/dropped", "wb") as file:
                file.write(b"data")
            raise ZeroDivisionError
        assert fs.ls(fs_path, detail=False) == [f"{fs_path}/kept"]

    def test_blocks(self, fs: FrevoFileSystem, fs_path: str) -> None:
        """Larger than a block, written and read in pieces, appended to, read at several positions."""
        data = bytes(range(256)) * 40_000
        with fs.open(f"{fs_path}/large", "wb", block_size=1 << 20) as file:
            for start in range(0, len(data), 300_000):
                file.write(data[start : start + 300_000])
        with fs.open(f"{fs_path}/large", "ab") as file:
            file.write(b"end")
        with fs.open(f"{fs_path}/large", "rb", block_size=1 << 20) as file:
            file.seek(5_000_000)
            assert file.read(1000) == data[5_000_000:5_001_000]
            file.seek(0)
            assert file.read() == data + b"end"
        assert fs.cat_file(f"{fs_path}/large", start=-3) == b"end"

    def test_shares_are_the_root(self, fs: FrevoFileSystem) -> None:
        """The root lists the shares; they are directories."""
        names: list[Any] = fs.ls("", detail=False)
        assert {"share", "ro"} <= set(names)
        assert fs.isdir("share") and not fs.exists("share/nothing-here")

    def test_urls(self) -> None:
        """frevo:// URLs give host, port, user and path."""
        url = "frevo://WG;eve@nas:4450/share/a b/c"
        assert FrevoFileSystem._strip_protocol(url) == "share/a b/c"
        expected = {"host": "nas", "port": 4450, "username": "eve", "domain": "WG"}
        assert FrevoFileSystem._get_kwargs_from_urls(url) == expected
