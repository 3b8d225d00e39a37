"""vfs/vetoed.py: which folders `delete veto files` removes along with their vetoed names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.vfs import vetoed
from frevo.vfs.names import VetoFiles
from frevo.vfs.vetoed import all_vetoed, remove_vetoed

VETO = VetoFiles((".ds_store", "*.tmp"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be removed."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def fd(folder: Path) -> Iterator[int]:
    """Its O_PATH descriptor."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def test_only_vetoed_names(folder: Path, fd: int) -> None:
    """They go, vetoed folders with everything in them; the folder itself is the caller's."""
    (folder / ".DS_Store").touch()
    (folder / "a.tmp" / "inside").mkdir(parents=True)
    (folder / "a.tmp" / "inside" / "not vetoed").touch()
    assert all_vetoed(fd, VETO)
    remove_vetoed(fd, VETO)
    assert folder.is_dir() and list(folder.iterdir()) == []


@pytest.mark.parametrize("names", [[], ["kept"], ["a.tmp", "kept"]])
def test_anything_else(folder: Path, fd: int, names: list[str]) -> None:
    """An empty folder needs no help; one other name, and nothing is removed."""
    for name in names:
        (folder / name).touch()
    assert not all_vetoed(fd, VETO)
    remove_vetoed(fd, VETO)
    assert sorted(one.name for one in folder.iterdir()) == sorted(names)


def test_links_are_not_followed(folder: Path, fd: int, tmp_path: Path) -> None:
    """A vetoed link goes, what it leads to stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (folder / "link.tmp").symlink_to(outside)
    (folder / "inner.tmp").mkdir()
    (folder / "inner.tmp" / "link").symlink_to(outside)
    remove_vetoed(fd, VETO)
    assert list(folder.iterdir()) == [] and (outside / "precious").exists()


def test_too_many(folder: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose removal would take long stays as it is, however the entries are nested."""
    monkeypatch.setattr(vetoed, "ENTRIES_MAX", 5)
    (folder / "a.tmp").mkdir()
    for number in range(5):
        (folder / "a.tmp" / f"{number}").touch()
    assert not all_vetoed(fd, VETO)
    remove_vetoed(fd, VETO)
    assert len(list((folder / "a.tmp").iterdir())) == 5
    (folder / "a.tmp" / "0").unlink()
    assert all_vetoed(fd, VETO)
