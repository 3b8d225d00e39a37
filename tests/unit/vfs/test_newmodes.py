"""vfs/newmodes.py: the modes of new files under `inherit permissions` and `inherit acls`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.vfs.local import LocalBackend, LocalOptions
from frevo.vfs.newmodes import mode_from_parent
from frevo.vfs.shared_folder import SharedFolder

MASKED = 0o640  # what the masks made of the mode


@pytest.fixture
def mode(share: Path, make_backend: Callable[..., LocalBackend]) -> Callable[..., int]:
    """mode(directory, **options): the mode of something new in the share."""

    folder: SharedFolder = make_backend().folder

    def found(directory: bool, **options: bool) -> int:
        return mode_from_parent(folder, "", LocalOptions(**options), MASKED, directory=directory)

    return found


def test_the_masks_by_default(mode: Callable[..., int]) -> None:
    """Without the options the parent does not matter."""
    assert mode(False) == MASKED == mode(True)


@pytest.mark.parametrize(
    ("parent", "file", "directory"),
    [(0o750, 0o640, 0o750), (0o2775, 0o664, 0o775), (0o1777, 0o666, 0o777), (0o700, 0o600, 0o700)],
)
def test_inherit_permissions(
    share: Path, mode: Callable[..., int], parent: int, file: int, directory: int
) -> None:
    """A directory gets its parent's permission bits, a file those to read and write; never setgid or sticky."""
    share.chmod(parent)
    assert (mode(False, inherit_permissions=True), mode(True, inherit_permissions=True)) == (file, directory)


@pytest.mark.parametrize(("acl", "file", "directory"), [(b"", MASKED, MASKED), (b"acl", 0o666, 0o777)])
def test_inherit_acls(
    mode: Callable[..., int], monkeypatch: pytest.MonkeyPatch, acl: bytes, file: int, directory: int
) -> None:
    """A default ACL decides instead of the masks; without one they apply."""

    def getxattr(path: str, name: str) -> bytes:
        assert name == "system.posix_acl_default"
        if not acl:
            raise OSError(errno.ENODATA, "none")
        return acl

    monkeypatch.setattr(os, "getxattr", getxattr)
    assert (mode(False, inherit_acls=True), mode(True, inherit_acls=True)) == (file, directory)


@pytest.mark.parametrize(("number", "raised"), [(errno.EOPNOTSUPP, False), (errno.EIO, True)])
def test_a_default_acl_that_cannot_be_read(
    mode: Callable[..., int], monkeypatch: pytest.MonkeyPatch, number: int, raised: bool
) -> None:
    """A file system without ACLs has none; any other error is raised."""

    def getxattr(path: str, name: str) -> bytes:
        raise OSError(number, "error")

    monkeypatch.setattr(os, "getxattr", getxattr)
    if raised:
        with pytest.raises(OSError):
            mode(False, inherit_acls=True)
    else:
        assert mode(False, inherit_acls=True) == MASKED


def test_a_parent_that_is_gone(share: Path, make_backend: Callable[..., LocalBackend]) -> None:
    """The error of the look-up, and no descriptor leaks."""
    folder = make_backend().folder
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        mode_from_parent(folder, "missing", LocalOptions(), MASKED, directory=False)
    mode_from_parent(folder, "", LocalOptions(inherit_permissions=True), MASKED, directory=False)
    assert not descriptors() - before
