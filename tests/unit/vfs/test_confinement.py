"""Nothing outside the root is reachable: links, races, and what a hostile local user can arrange."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from frevo.errors import SMBError
from frevo.vfs.base import OpenIntent
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus

from .conftest import create, names_in, open_


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the share with a file in it."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text("secret")
    return directory


def status_of(call: Callable[[], object]) -> NTStatus:
    """The status with which *call* must fail."""
    with pytest.raises(SMBError) as caught:
        call()
    return caught.value.status


def test_links_inside(backend: LocalBackend, share: Path) -> None:
    """Relative and absolute links that end inside are followed, also through directories and without case."""
    (share / "d").mkdir()
    (share / "d" / "x").write_text("data")
    (share / "rel").symlink_to("d")
    (share / "abs").symlink_to(share / "d")
    (share / "absfile").symlink_to(share / "rel" / "x")
    inode = (share / "d" / "x").stat().st_ino
    for path in ("rel\\x", "abs\\x", "ABS\\X", "Rel\\X", "absfile", "ABSFILE"):
        handle = open_(backend, path)
        assert handle.stat().identity.inode == inode
        handle.close()
    assert sorted(i.name for i in open_(backend, "").list_directory()) == [
        ".",
        "..",
        "abs",
        "absfile",
        "d",
        "rel",
    ]


def test_links_outside(backend: LocalBackend, share: Path, outside: Path) -> None:
    """Links that lead out, dangle or form a circle: smbd's statuses (4.17, `wide links = no`), and no listing."""
    (share / "out").symlink_to(outside)
    (share / "rel").symlink_to("../outside")
    (share / "secret").symlink_to(outside / "secret")
    (share / "dangling").symlink_to("nothing")
    (share / "loop1").symlink_to("loop2")
    (share / "loop2").symlink_to("loop1")
    for name in ("out", "rel", "secret", "dangling", "loop1"):
        assert status_of(lambda name=name: backend.resolve(name)) == NTStatus.OBJECT_NAME_NOT_FOUND
        assert status_of(lambda name=name: backend.resolve(name.upper())) == NTStatus.OBJECT_NAME_NOT_FOUND
    for path in ("out\\secret", "rel\\secret", "out\\new", "loop1\\x", "OUT\\secret"):
        assert status_of(lambda path=path: backend.resolve(path)) == NTStatus.OBJECT_PATH_NOT_FOUND
    assert [i.name for i in open_(backend, "").list_directory()] == [".", ".."]


def test_link_climbs_through_inside(backend: LocalBackend, share: Path, outside: Path) -> None:
    """A link that goes up past the root by `..` inside another link's target stays refused."""
    (share / "d").mkdir()
    (share / "d" / "up").symlink_to(share)
    (share / "trick").symlink_to("d/up/../outside")
    assert status_of(lambda: backend.resolve("trick")) == NTStatus.OBJECT_NAME_NOT_FOUND
    assert status_of(lambda: backend.resolve("trick\\secret")) == NTStatus.OBJECT_PATH_NOT_FOUND


def test_no_symlinks_option(make_backend: Callable[..., LocalBackend], share: Path) -> None:
    """With follow_symlinks off a link does not exist."""
    (share / "f").write_text("x")
    (share / "l").symlink_to("f")
    backend = make_backend(follow_symlinks=False)
    assert backend.resolve("f").exists
    assert status_of(lambda: backend.resolve("l")) == NTStatus.OBJECT_NAME_NOT_FOUND


def test_rename_and_remove_act_on_the_link(backend: LocalBackend, share: Path) -> None:
    """As smbd: renaming or deleting a link leaves its target alone."""
    (share / "f").write_text("x")
    (share / "l").symlink_to("f")
    handle = open_(backend, "l")
    backend.rename(handle, backend.resolve("m"), replace=False)
    assert (share / "m").is_symlink() and (share / "f").exists()
    backend.remove(handle)
    assert not os.path.lexists(share / "m") and (share / "f").read_text() == "x"


def test_parent_becomes_a_link(backend: LocalBackend, share: Path, outside: Path) -> None:
    """Between resolve and the operation the parent is replaced by a link to the outside: nothing happens there. A new
    name is added to the directory that was found, wherever that is by now."""
    (share / "d").mkdir()
    victim = create(backend, "d\\secret")
    new, directory = backend.resolve("d\\new"), backend.resolve("d\\newdir")
    other = create(backend, "other")
    target = backend.resolve("d\\moved")
    (share / "d").rename(share / "gone")
    (share / "d").symlink_to(outside)
    backend.parent(new)
    backend.create(new, directory=False, intent=OpenIntent.READ, attributes=0, mode=0o644)
    backend.create(directory, directory=True, intent=OpenIntent.READ, attributes=0, mode=0o755)
    backend.link(other, target, replace=True)
    assert names_in(share / "gone") == ["moved", "new", "newdir", "secret"]
    for call in (
        lambda: backend.remove(victim),
        lambda: backend.rename(victim, backend.resolve("elsewhere"), replace=True),
    ):
        with pytest.raises((SMBError, OSError)):
            call()
    assert names_in(outside) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_race_with_a_flipping_parent(backend: LocalBackend, share: Path, outside: Path) -> None:
    """A thread keeps swapping a directory with a link to the outside; no open ever reaches the outside."""
    (share / "d").mkdir()
    (share / "d" / "secret").write_text("inside")
    (share / "l").symlink_to(outside)
    secret = (outside / "secret").stat().st_ino
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            (share / "d").rename(share / "t")
            (share / "l").rename(share / "d")
            (share / "d").rename(share / "l")
            (share / "t").rename(share / "d")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        seen = 0
        for _ in range(3000):
            try:
                handle = open_(backend, "d\\secret")
            except (SMBError, OSError):
                continue
            assert handle.stat().identity.inode != secret
            handle.close()
            seen += 1
    finally:
        stop.set()
        thread.join()
    assert seen


def test_remove_spares_a_successor(backend: LocalBackend, share: Path) -> None:
    """The name belongs to another file by now: remove leaves it, rename says that the name is gone."""
    handle = create(backend, "f")
    (share / "f").rename(share / "g")
    (share / "f").write_text("other")
    backend.remove(handle)
    assert (share / "f").read_text() == "other"
    assert status_of(lambda: backend.rename(handle, backend.resolve("h"), replace=False)) == (
        NTStatus.OBJECT_NAME_NOT_FOUND
    )


def test_special_files(backend: LocalBackend, share: Path) -> None:
    """FIFOs are listed and have metadata, but opening one for data is refused, without waiting for a peer."""
    os.mkfifo(share / "fifo")
    resolved = backend.resolve("FIFO")
    assert resolved.stat is not None and not resolved.stat.is_directory
    handle = open_(backend, "fifo", OpenIntent.PATH)
    assert handle.stat().end_of_file == 0 and handle.fd is None
    for intent in (OpenIntent.READ, OpenIntent.WRITE):
        assert status_of(lambda intent=intent: open_(backend, "fifo", intent)) == NTStatus.ACCESS_DENIED
    assert [i.name for i in open_(backend, "").list_directory()] == [".", "..", "fifo"]
    backend.remove(handle)
    assert not (share / "fifo").exists()


def test_file_becomes_a_fifo(backend: LocalBackend, share: Path) -> None:
    """A FIFO takes a file's name after resolve, or after an earlier open: refused, and nothing waits."""
    create(backend, "f").close()
    resolved = backend.resolve("f")
    (share / "f").unlink()
    os.mkfifo(share / "f")
    with pytest.raises((SMBError, OSError)):
        backend.open(resolved, OpenIntent.WRITE)
    again = backend.resolve("f")
    assert again.stat is not None
    assert status_of(lambda: backend.open(again, OpenIntent.READ)) == NTStatus.ACCESS_DENIED


def test_root_is_safe(backend: LocalBackend, share: Path) -> None:
    """The root can be opened and listed; not renamed, removed or replaced."""
    root = open_(backend, "")
    assert root.is_directory and root.wire_path == ""
    assert status_of(lambda: backend.remove(root)) == NTStatus.ACCESS_DENIED
    assert (
        status_of(lambda: backend.rename(root, backend.resolve("x"), replace=False)) == NTStatus.ACCESS_DENIED
    )
    handle = create(backend, "f")
    assert (
        status_of(lambda: backend.rename(handle, backend.resolve(""), replace=True)) == NTStatus.ACCESS_DENIED
    )
