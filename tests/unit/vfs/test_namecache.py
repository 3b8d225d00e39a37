"""vfs/namecache.py: look-ups without case, kept up to date, bounded, and read in pieces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.vfs import namecache
from frevo.vfs.base import Unread
from frevo.vfs.namecache import NameCache


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """An O_PATH descriptor of the test's directory."""
    opened = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield opened
    os.close(opened)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every directory that is read."""
    seen: list[int] = []
    real = namecache._Scan.__init__

    def init(self: namecache._Scan, *arguments: object) -> None:
        seen.append(1)
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(namecache._Scan, "__init__", init)
    return seen


def test_found_in_any_case(fd: int, tmp_path: Path) -> None:
    """The real spelling; of several the exact one, else the first."""
    for name in ("Readme", "ÄRGER", "one", "ONE"):
        (tmp_path / name).touch()
    cache = NameCache()
    assert (cache.find(fd, "README"), cache.find(fd, "ärger"), cache.find(fd, "nothing")) == (
        "Readme",
        "ÄRGER",
        None,
    )
    assert (cache.find(fd, "one"), cache.find(fd, "ONE")) == ("one", "ONE")
    assert cache.find(fd, "oNe") in ("one", "ONE")


def test_one_scan(fd: int, tmp_path: Path, scans: list[int]) -> None:
    """Names that others make, rename and remove are known without another scan."""
    (tmp_path / "old").touch()
    cache = NameCache()
    assert cache.find(fd, "OLD") == "old"
    (tmp_path / "New").touch()
    assert cache.find(fd, "new") == "New"
    (tmp_path / "old").rename(tmp_path / "Moved")
    assert (cache.find(fd, "OLD"), cache.find(fd, "moved")) == (None, "Moved")
    (tmp_path / "New").unlink()
    assert cache.find(fd, "NEW") is None and len(scans) == 1


def test_without_inotify(fd: int, tmp_path: Path, scans: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look-up scans, and is right."""

    def none() -> None:
        raise OSError("the limit of instances")

    monkeypatch.setattr(namecache, "Inotify", none)
    cache = NameCache()
    for name in ("one", "two"):
        (tmp_path / name).touch()
        assert cache.find(fd, name.upper()) == name
    assert len(scans) == 2


def test_changes_that_inotify_does_not_see(fd: int, tmp_path: Path, scans: list[int]) -> None:
    """Another modification time without a record, as on a network file system: the directory is read again."""
    (tmp_path / "a").touch()
    cache = NameCache()
    cache.find(fd, "A")
    os.utime(tmp_path, (1, 1))
    assert cache.find(fd, "A") == "a" and len(scans) == 2


def test_bounds(tmp_path: Path, scans: list[int]) -> None:
    """Directories and names are bounded; what was used last stays."""
    descriptors = []
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a").touch()
        descriptors.append(os.open(tmp_path / f"{number}", os.O_PATH | os.O_DIRECTORY))
    cache = NameCache(directories_max=2)
    for fd in (*descriptors, descriptors[2], descriptors[1]):
        assert cache.find(fd, "A") == "a"
    assert len(scans) == 3
    cache.find(descriptors[0], "A")
    assert len(scans) == 4
    few = NameCache(names_max=1)
    for fd in descriptors[:2]:
        few.find(fd, "A")
    assert len(few._known) == 1
    for fd in descriptors:
        os.close(fd)


def test_a_large_directory_in_pieces(fd: int, tmp_path: Path, scans: list[int]) -> None:
    """Beyond the limit a look-up raises Unread; after its steps the result is there, for all callers."""
    for number in range(1200):
        (tmp_path / f"n{number}").touch()
    cache = NameCache(inline_max=100)
    with pytest.raises(Unread) as first:
        cache.find(fd, "N7")
    with pytest.raises(Unread) as second:
        cache.find(fd, "n1199")
    steps = first.value.steps(), second.value.steps()
    next(steps[0])
    (tmp_path / "Late").touch()  # while it is read
    (tmp_path / "n3").unlink()
    assert sum(1 for step in steps for _ in step) >= 1
    assert (cache.find(fd, "N7"), cache.find(fd, "late"), cache.find(fd, "N3")) == ("n7", "Late", None)
    assert len(scans) == 1


def test_a_reading_that_is_given_up(fd: int, tmp_path: Path) -> None:
    """If no caller waits for it any more, no descriptor is kept."""
    for number in range(1200):
        (tmp_path / f"n{number}").touch()
    cache = NameCache(inline_max=100)
    before = descriptors()
    with pytest.raises(Unread) as caught:
        cache.find(fd, "N7")
    steps = caught.value.steps()
    next(steps)
    steps.close()
    assert not descriptors() - before


def test_a_directory_that_is_replaced(tmp_path: Path) -> None:
    """One that takes the inode number of a removed one has its own names."""
    cache = NameCache()
    for name in ("a", "b", "c"):
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / name).touch()
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        assert [cache.find(fd, one.upper()) for one in ("a", "b", "c")].count(None) == 2
        assert cache.find(fd, name.upper()) == name
        os.close(fd)
        (folder / name).unlink()
        folder.rmdir()
