"""The server's own files do not exist in any share: found, listed, linked, watched, moved or made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.errors import SMBError
from frevo.vfs.base import OpenIntent
from frevo.vfs.guard import Guard
from frevo.vfs.local import LocalBackend, LocalOptions
from frevo.wire.erref import NTStatus

from .conftest import open_


@pytest.fixture
def private(share: Path) -> Path:
    """A private directory inside the share."""
    folder = share / "state" / "private"
    folder.mkdir(parents=True)
    (folder / "accounts.json").write_text("secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "deep").write_text("secret")
    return folder


@pytest.fixture
def guarded(share: Path, private: Path) -> LocalBackend:
    return LocalBackend(str(share), options=LocalOptions(guard=Guard(private)))


def status_at(backend: LocalBackend, path: str) -> NTStatus:
    """The status of resolving and opening or making it."""
    try:
        resolved = backend.resolve(path)
        if resolved.exists:
            backend.open(resolved, OpenIntent.READ).close()
        else:
            made = backend.create(resolved, directory=False, intent=OpenIntent.READ, attributes=0, mode=0o644)
            backend.remove(made)
            made.close()
    except SMBError as error:
        return error.status
    return NTStatus.SUCCESS


def names(backend: LocalBackend, path: str) -> list[str]:
    handle = open_(backend, path)
    found = sorted(item.name for item in handle.list_directory())
    handle.close()
    return found[2:]


def test_nothing_is_there(guarded: LocalBackend, share: Path, private: Path) -> None:
    """By its name in any case, by links of both kinds, after a rename, and for new files in it."""
    for path in (
        "state\\private",
        "STATE\\PRIVATE",
        "state\\private\\accounts.json",
        "state\\private\\sub\\deep",
    ):
        assert status_at(guarded, path) == NTStatus.OBJECT_NAME_NOT_FOUND, path
    assert status_at(guarded, "state\\private\\new") == NTStatus.OBJECT_PATH_NOT_FOUND
    assert status_at(guarded, "state\\private\\sub\\new") == NTStatus.OBJECT_PATH_NOT_FOUND
    (share / "folder").symlink_to("state/private")
    (share / "file").symlink_to("state/private/accounts.json")
    (share / "absolute").symlink_to(private)
    (share / "hard").hardlink_to(private / "accounts.json")
    for path in ("folder", "folder\\accounts.json", "file", "absolute", "hard"):
        assert status_at(guarded, path) == NTStatus.OBJECT_NAME_NOT_FOUND, path
    assert names(guarded, "") == ["state"] and names(guarded, "state") == []
    private.rename(share / "elsewhere")
    assert status_at(guarded, "elsewhere\\accounts.json") == NTStatus.OBJECT_NAME_NOT_FOUND
    (share / "elsewhere" / "machine-sid").write_text("new")
    (share / "elsewhere" / "next").write_text("replaced")
    (share / "elsewhere" / "next").rename(share / "elsewhere" / "accounts.json")
    for name in ("machine-sid", "accounts.json"):
        assert status_at(guarded, f"elsewhere\\{name}") == NTStatus.OBJECT_NAME_NOT_FOUND
    assert status_at(guarded, "state\\plain") == NTStatus.SUCCESS


def test_what_holds_it_stays(guarded: LocalBackend, share: Path) -> None:
    """A folder that contains the private directory cannot be renamed and is not found empty; others can."""
    (share / "other").mkdir()
    state = open_(guarded, "state")
    with pytest.raises(SMBError) as caught:
        guarded.rename(state, guarded.resolve("moved"), replace=False)
    assert caught.value.status == NTStatus.ACCESS_DENIED
    assert not guarded.is_empty(state)
    guarded.rename(open_(guarded, "other"), guarded.resolve("moved"), replace=False)


def test_no_share_of_it(private: Path) -> None:
    """Neither the directory nor one in it can be exported."""
    for root in (private, private / "sub"):
        with pytest.raises(PermissionError):
            LocalBackend(str(root), options=LocalOptions(guard=Guard(private)))


def test_one_that_comes_later(share: Path) -> None:
    """A directory made after the guard, removed and made again, is hidden; a file beside it always."""
    folder, keytab = share / "private", share / "krb5.keytab"
    backend = LocalBackend(str(share), options=LocalOptions(guard=Guard(folder, [str(keytab)])))
    for _ in range(2):
        folder.mkdir()
        (folder / "accounts.json").touch()
        keytab.touch()
        for path in ("private\\accounts.json", "krb5.keytab"):
            assert status_at(backend, path) == NTStatus.OBJECT_NAME_NOT_FOUND
        (folder / "accounts.json").unlink()
        folder.rmdir()
        keytab.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="bind mounts need root")
def test_bind_mounts(guarded: LocalBackend, share: Path, private: Path) -> None:
    """A bind mount of the directory, or of one above it, does not show it either."""
    (share / "b").mkdir()
    for source, below in ((private, ""), (private.parent, "\\private")):
        if subprocess.run(["mount", "--bind", source, share / "b"], capture_output=True).returncode:
            pytest.skip("mounts are not allowed here")
        try:
            assert status_at(guarded, f"b{below}\\accounts.json") == NTStatus.OBJECT_NAME_NOT_FOUND
        finally:
            subprocess.run(["umount", share / "b"], check=True)


def test_vetoed_and_private(share: Path, private: Path) -> None:
    """`delete veto files` does not delete the private directory."""
    options = LocalOptions(guard=Guard(private), veto_files=("private",), delete_veto_files=True)
    backend = LocalBackend(str(share), options=options)
    with pytest.raises(SMBError) as caught:
        backend.remove(open_(backend, "state"))
    assert caught.value.status == NTStatus.ACCESS_DENIED
    assert (private / "accounts.json").read_text() == "secret"


def test_new_files_beside_the_share(tmp_path: Path, share: Path) -> None:
    """The private directory is not below the share: a hard link to a new file in it is hidden as well."""
    folder = tmp_path / "private"
    folder.mkdir()
    backend = LocalBackend(str(share), options=LocalOptions(guard=Guard(folder)))
    assert status_at(backend, "plain") == NTStatus.SUCCESS
    (folder / "accounts.json").write_text("secret")
    (share / "hard").hardlink_to(folder / "accounts.json")
    assert status_at(backend, "hard") == NTStatus.OBJECT_NAME_NOT_FOUND
    assert names(backend, "") == []


@pytest.mark.parametrize("folders", [1, 20])
def test_new_files_in_folders_of_it(tmp_path: Path, folders: int) -> None:
    """Goal: what is made or replaced in a folder of the private directory is hidden at once. Method: with few folders
    and with many, all of them old, so that only their own times tell."""
    private = tmp_path / "private"
    for number in range(folders):
        (private / f"sub{number}" / "deep").mkdir(parents=True)
    for folder in (private, *private.rglob("*")):
        os.utime(folder, (1_000_000_000, 1_000_000_000))
    guard = Guard(private)
    key = private / f"sub{folders - 1}" / "deep" / "key.pem"
    key.write_text("secret")
    assert guard.hides(_identity(key))
    os.utime(key.parent, (1_000_000_000, 1_000_000_001))
    assert guard.hides(_identity(key))
    other = tmp_path / "other"
    other.write_text("a newer secret")
    assert not guard.hides(_identity(other))
    other.replace(key)
    assert guard.hides(_identity(key))
    before = descriptors()
    guard.close()
    guard.close()
    assert before - descriptors()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
