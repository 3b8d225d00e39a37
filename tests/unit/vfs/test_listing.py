"""vfs/listing.py: laziness, metadata, exotic names."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.vfs.local import LocalBackend

from .conftest import create, open_


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A directory on tmpfs if there is one: 10^5 files are quicker there."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    with tempfile.TemporaryDirectory(dir=base) as directory:
        yield Path(directory)


def test_metadata(backend: LocalBackend, share: Path) -> None:
    """Each entry has the metadata that opening it would give; "." and ".." are the directories themselves."""
    create(backend, "d", directory=True).close()
    create(backend, "d\\f", attributes=0x23).close()
    (share / "d" / "sub").mkdir()
    handle = open_(backend, "d")
    items = {item.name: item.stat for item in handle.list_directory()}
    assert items["f"] == backend.resolve("d\\f").stat
    assert items["sub"] == backend.resolve("d\\sub").stat
    assert items["."].identity == handle.identity
    assert items[".."].identity == open_(backend, "").identity
    root = {item.name: item.stat for item in open_(backend, "").list_directory()}
    assert root["."].identity == root[".."].identity == open_(backend, "").identity


def test_exotic_names(backend: LocalBackend, share: Path) -> None:
    """Names that Windows cannot express are listed under names that open them."""
    raw = [
        b"a:b",
        b"dot.",
        b"space ",
        b"\xff\xfe",
        b"tab\t",
        b"back\\slash",
        "\uf022".encode(),
        b"\xed\xa0\x80",
    ]
    for name in raw:
        Path(os.fsdecode(os.fsencode(share) + b"/" + name)).touch()
    listed = [item for item in open_(backend, "").list_directory() if item.name not in (".", "..")]
    assert len({item.name for item in listed}) == len(raw)
    for item in listed:
        found = backend.resolve(item.name)
        assert found.stat is not None and found.stat.identity == item.stat.identity
        assert open_(backend, item.name).wire_path == item.name


def test_names_that_vanish(backend: LocalBackend, share: Path) -> None:
    """Entries removed during the listing are left out, the rest is listed."""
    for index in range(100):
        (share / f"f{index}").touch()
    listing = open_(backend, "").list_directory()
    seen = [next(listing).name for _ in range(3)]
    for index in range(100):
        if f"f{index}" not in seen:
            (share / f"f{index}").unlink()
    assert list(listing) == []


def test_independent_passes(backend: LocalBackend, share: Path) -> None:
    """Two listings of one handle do not disturb each other, also when the handle is closed meanwhile."""
    for index in range(50):
        (share / f"f{index}").touch()
    handle = open_(backend, "")
    first, second = handle.list_directory(), handle.list_directory()
    names = [next(first).name for _ in range(10)]
    others = [item.name for item in second]
    handle.close()
    names += [item.name for item in first]
    assert sorted(names) == sorted(others) and len(names) == 52


def test_large_directory_streams(in_memory: Path) -> None:
    """10^5 entries: the first ones come before all are read, and a whole pass needs little memory."""
    fd = os.open(in_memory, os.O_RDONLY)
    for index in range(100_000):
        os.mknod(f"file-{index}", 0o100644, dir_fd=fd)
    os.close(fd)
    backend = LocalBackend(str(in_memory))
    listing = open_(backend, "").list_directory()
    tracemalloc.start()
    for _ in range(1000):
        next(listing)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert sum(1 for _ in listing) == 100_002 - 1000
    backend.close()
