"""vfs/dirnames.py: renames, links and removals by directory descriptor and name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.errors import SMBError
from frevo.vfs import dirnames
from frevo.vfs.dirnames import is_empty, link_at, linked_beside, remove_at, rename_at
from frevo.wire.erref import NTStatus


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """An O_PATH descriptor of the test's directory."""
    opened = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def test_renaming(fd: int, tmp_path: Path) -> None:
    """An existing target stays unless it may be replaced."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_at(fd, "a", fd, "b", replace=False)
    assert (tmp_path / "b").read_text() == "b"
    rename_at(fd, "a", fd, "b", replace=True)
    assert (tmp_path / "b").read_text() == "a" and not (tmp_path / "a").exists()
    rename_at(fd, "b", fd, "c", replace=False)
    assert (tmp_path / "c").exists()


def test_a_file_system_without_the_flag(fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RENAME_NOREPLACE is unknown, the target is checked first; a directory into itself stays an error."""
    real = dirnames.renameat2

    def renameat2(old: int, name: bytes, new: int, target: bytes, flags: int = 0) -> None:
        if flags:
            raise OSError(errno.EINVAL, "no such flag")
        real(old, name, new, target)

    monkeypatch.setattr(dirnames, "renameat2", renameat2)
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    with pytest.raises(SMBError) as caught:
        rename_at(fd, "a", fd, "b", replace=False)
    assert caught.value.status == NTStatus.OBJECT_NAME_COLLISION
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(SMBError):  # a link counts as a name, wherever it leads
        rename_at(fd, "a", fd, "dangling", replace=False)
    rename_at(fd, "a", fd, "c", replace=False)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as into:
        rename_at(fd, "folder", fd, "folder/inside", replace=False)
    assert into.value.errno == errno.EINVAL and (tmp_path / "folder").is_dir()


def test_linking(fd: int, tmp_path: Path) -> None:
    """A second name for the file; a taken one is a collision."""
    (tmp_path / "a").write_text("a")
    link_at(str(tmp_path / "a"), "b", fd)
    assert (tmp_path / "b").samefile(tmp_path / "a")
    with pytest.raises(SMBError) as caught:
        link_at(str(tmp_path / "a"), "b", fd)
    assert caught.value.status == NTStatus.OBJECT_NAME_COLLISION


def test_a_temporary_link(fd: int, tmp_path: Path) -> None:
    """It is the caller's after success, and gone after a failure."""
    (tmp_path / "a").write_text("a")
    with linked_beside(str(tmp_path / "a"), fd) as name:
        rename_at(fd, name, fd, "b", replace=True)
    assert (tmp_path / "b").read_text() == "a"
    with pytest.raises(RuntimeError), linked_beside(str(tmp_path / "a"), fd):
        raise RuntimeError
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


def test_removing(fd: int, tmp_path: Path) -> None:
    """Files as files and directories as directories; a full one stays."""
    (tmp_path / "a").touch()
    (tmp_path / "d").mkdir()
    for name, directory in (("a", True), ("d", False)):
        with pytest.raises(OSError):
            remove_at(fd, name, directory=directory)
    remove_at(fd, "a", directory=False)
    remove_at(fd, "d", directory=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OSError) as caught:
        remove_at(fd, "full", directory=True)
    assert caught.value.errno == errno.ENOTEMPTY


def test_empty(fd: int, tmp_path: Path) -> None:
    """Hidden names count; an O_PATH descriptor is enough, and none leaks."""
    before = descriptors()
    assert is_empty(fd)
    (tmp_path / ".hidden").touch()
    assert not is_empty(fd)
    assert not descriptors() - before
