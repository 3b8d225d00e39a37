"""vfs/local.py and handle.py: finding, making, using, renaming and removing files and directories."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from descriptors import descriptors

from frevo.errors import SMBError
from frevo.vfs import attributes as dos
from frevo.vfs.base import OpenIntent, Unread
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus

from .conftest import BOTH, create, names_in, open_

_EPOCH = 116444736000000000


def status_of(call: Callable[[], object]) -> NTStatus:
    """The status with which *call* must fail."""
    with pytest.raises(SMBError) as caught:
        call()
    return caught.value.status


def test_resolve_statuses(backend: LocalBackend, share: Path) -> None:
    """Missing names, missing parents and files in the place of directories, with smbd's statuses."""
    (share / "f").write_text("x")
    missing = backend.resolve("New File")
    assert not missing.exists and missing.stat is None and missing.path == "New File"
    for path in ("f\\y", "no\\y", "f\\y\\z"):
        assert status_of(lambda path=path: backend.resolve(path)) == NTStatus.OBJECT_PATH_NOT_FOUND
    assert status_of(lambda: backend.resolve("f::$INDEX_ALLOCATION")) == NTStatus.NOT_A_DIRECTORY
    assert status_of(lambda: backend.resolve("::$DATA")) == NTStatus.FILE_IS_A_DIRECTORY
    assert backend.resolve("f::$DATA").exists
    assert status_of(lambda: backend.open(missing, OpenIntent.READ)) == NTStatus.OBJECT_NAME_NOT_FOUND


def test_case(backend: LocalBackend, share: Path) -> None:
    """Case does not matter in any component; if names differ only in case, the exact one wins."""
    (share / "Dir" / "Sub").mkdir(parents=True)
    (share / "Dir" / "Sub" / "Ünï.txt").write_text("x")
    assert backend.resolve("dIR\\sUB\\üNÏ.TXT").path == "Dir/Sub/Ünï.txt"
    assert backend.resolve("dir\\SUB\\other").parent == "Dir/Sub"
    (share / "dir").mkdir()
    assert backend.resolve("dir").path == "dir" and backend.resolve("Dir").path == "Dir"
    composed, decomposed = "\u00e4", "a\u0308"
    create(backend, composed).close()
    assert not backend.resolve(decomposed).exists and backend.resolve("\u00c4").exists


def test_case_follows_outside_changes(backend: LocalBackend, share: Path) -> None:
    """Files that others make, rename and remove are seen at once by lookups without case."""
    assert not backend.resolve("NAME").exists
    for round_ in range(20):
        (share / "name").write_text("")
        assert backend.resolve("NAME").path == "name"
        (share / "name").rename(share / f"Other{round_}")
        assert not backend.resolve("NAME").exists
        assert backend.resolve(f"oTHER{round_}").exists
        (share / f"Other{round_}").unlink()


def test_case_sensitive_option(make_backend: Callable[..., LocalBackend], share: Path) -> None:
    """With case_sensitive only the exact name counts."""
    (share / "Dir").mkdir()
    backend = make_backend(case_sensitive=True)
    assert not backend.resolve("dir").exists
    create(backend, "dir").close()
    assert names_in(share) == ["Dir", "dir"]


async def test_data(backend: LocalBackend) -> None:
    """Small and large reads and writes, truncation, allocation, holes, zeroing."""
    handle = create(backend, "f")
    assert await handle.write(10, b"hello") == 5
    assert bytes(await handle.read(0, 100)) == bytes(10) + b"hello"
    assert bytes(await handle.read(15, 10)) == b"" and bytes(await handle.read(1 << 62, 10)) == b""
    data = os.urandom(300_000)
    assert await handle.write(0, memoryview(data)) == len(data)
    assert bytes(await handle.read(0, 400_000)) == data
    await handle.flush()
    handle.truncate(5)
    assert bytes(await handle.read(0, 100)) == data[:5]
    handle.allocate(1 << 20)
    stat = handle.stat()
    assert stat.end_of_file == 5 and stat.allocation_size >= 1 << 20
    handle.allocate(2)
    assert handle.stat().end_of_file == 2
    handle.truncate(1 << 20)
    await handle.write(512 << 10, b"x" * 4096)
    assert list(handle.allocated_ranges(4096, 1 << 20)) == [(512 << 10, 4096)]
    await handle.zero(512 << 10, (512 << 10) + 100)
    assert bytes(await handle.read(512 << 10, 101)) == bytes(100) + b"x"
    assert status_of(lambda: handle.truncate(-1)) == NTStatus.INVALID_PARAMETER
    with pytest.raises(SMBError):
        await handle.write(1 << 63, b"x")


async def test_closed_handle(backend: LocalBackend) -> None:
    """A closed handle answers FILE_CLOSED; closing twice is fine; a close during a transfer waits for it."""
    handle = create(backend, "f")
    data = os.urandom(1 << 20)
    import asyncio

    writing = asyncio.ensure_future(handle.write(0, data))
    await asyncio.sleep(0)
    handle.close()
    handle.close()
    assert await writing == len(data)
    for call in (handle.stat, lambda: handle.truncate(0), handle.list_directory, handle.streams):
        assert status_of(call) == NTStatus.FILE_CLOSED
    assert open_(backend, "f").stat().end_of_file == len(data)


def test_create(backend: LocalBackend, share: Path) -> None:
    """Creation is exclusive, attributes and mode are kept, the handle works at once."""
    handle = create(backend, "f", attributes=0x22)
    assert handle.stat().attributes == 0x22 and handle.fd is not None
    assert (
        handle.stat().creation_time == handle.stat().last_write_time or handle.stat().creation_time > _EPOCH
    )
    race = backend.resolve("g")
    (share / "g").write_text("")
    for directory in (False, True):
        assert (
            status_of(
                lambda directory=directory: backend.create(
                    race, directory=directory, intent=BOTH, attributes=0, mode=0o644
                )
            )
            == NTStatus.OBJECT_NAME_COLLISION
        )
    assert status_of(lambda: create(backend, "F")) == NTStatus.OBJECT_NAME_COLLISION
    directory = create(backend, "d", directory=True)
    assert directory.is_directory and directory.stat().attributes == 0x10 and directory.fd is None
    assert (directory.stat().end_of_file, directory.stat().allocation_size) == (0, 0)
    assert os.listxattr(share / "d") == []


def test_parent_vanishes(backend: LocalBackend, share: Path) -> None:
    """The directory disappears between resolve and create: OBJECT_PATH_NOT_FOUND."""
    (share / "d").mkdir()
    resolved = backend.resolve("d\\f")
    (share / "d").rmdir()
    for directory in (False, True):
        assert (
            status_of(
                lambda directory=directory: backend.create(
                    resolved, directory=directory, intent=BOTH, attributes=0, mode=0o644
                )
            )
            == NTStatus.OBJECT_PATH_NOT_FOUND
        )


def test_basic_information(backend: LocalBackend, share: Path) -> None:
    """Times to 100 ns (also before 1970) and attributes survive a second backend; None changes nothing."""
    handle = create(backend, "f")
    handle.set_basic(
        creation_time=_EPOCH - 5, last_write_time=_EPOCH + 1234567, last_access_time=_EPOCH - 10_000_001
    )
    handle.set_basic(attributes=0x27)
    handle.close()
    other = LocalBackend(str(share))
    stat = other.resolve("f").stat
    assert stat is not None
    assert (stat.creation_time, stat.last_write_time, stat.last_access_time) == (
        _EPOCH - 5,
        _EPOCH + 1234567,
        _EPOCH - 10_000_001,
    )
    assert stat.attributes == 0x27
    path_handle = open_(other, "f", OpenIntent.PATH)
    path_handle.set_basic(attributes=dos.NORMAL, last_write_time=_EPOCH)
    assert path_handle.stat().attributes == dos.NORMAL
    assert path_handle.stat().last_write_time == _EPOCH
    assert path_handle.stat().creation_time == _EPOCH - 5
    other.close()


def test_stat_after_unlink(backend: LocalBackend, share: Path) -> None:
    """An open file has metadata when its name is gone."""
    handle = create(backend, "f")
    backend.remove(handle)
    assert handle.stat().link_count == 0 and not (share / "f").exists()
    backend.remove(handle)


def test_rename(backend: LocalBackend, share: Path) -> None:
    """Plain, case-only, onto an existing file with and without replace, into another directory."""
    handle = create(backend, "name")
    backend.rename(handle, backend.resolve("NAME"), replace=False)
    assert names_in(share) == ["NAME"] and handle.path == "NAME"
    create(backend, "other").close()
    assert status_of(lambda: backend.rename(handle, backend.resolve("OTHER"), replace=False)) == (
        NTStatus.OBJECT_NAME_COLLISION
    )
    backend.rename(handle, backend.resolve("OTHER"), replace=True)
    assert names_in(share) == ["other"] and handle.path == "other"
    directory = create(backend, "d", directory=True)
    backend.rename(handle, backend.resolve("D\\x"), replace=False)
    assert handle.path == "d/x" and handle.wire_path == "d\\x"
    with pytest.raises(OSError):
        backend.rename(directory, backend.resolve("d\\below"), replace=False)


def test_rename_race(backend: LocalBackend, share: Path) -> None:
    """The target appears after resolve: not replaced unless asked."""
    handle = create(backend, "a")
    target = backend.resolve("b")
    (share / "b").write_text("mine")
    assert status_of(lambda: backend.rename(handle, target, replace=False)) == NTStatus.OBJECT_NAME_COLLISION
    assert status_of(lambda: backend.link(handle, target, replace=False)) == NTStatus.OBJECT_NAME_COLLISION
    gone = backend.resolve("b")
    (share / "b").unlink()
    assert status_of(lambda: backend.open(gone, BOTH)) == NTStatus.OBJECT_NAME_NOT_FOUND
    (share / "b").write_text("mine")
    assert (share / "b").read_text() == "mine"


def test_links(backend: LocalBackend, share: Path) -> None:
    """Hard links: made, refused, replacing; renaming one link onto the other leaves one."""
    handle = create(backend, "a")
    backend.link(handle, backend.resolve("b"), replace=False)
    assert handle.stat().link_count == 2
    (share / "c").write_text("c")
    assert status_of(lambda: backend.link(handle, backend.resolve("C"), replace=False)) == (
        NTStatus.OBJECT_NAME_COLLISION
    )
    backend.link(handle, backend.resolve("C"), replace=True)
    assert handle.stat().link_count == 3 and names_in(share) == ["a", "b", "c"]
    backend.rename(handle, backend.resolve("b"), replace=True)
    assert names_in(share) == ["b", "c"] and handle.path == "b"


def test_remove_directories(backend: LocalBackend, share: Path) -> None:
    """Only empty ones, and is_empty tells which."""
    directory = create(backend, "d", directory=True)
    assert backend.is_empty(directory)
    inside = create(backend, "d\\f")
    assert not backend.is_empty(directory)
    with pytest.raises(OSError) as caught:
        backend.remove(directory)
    assert caught.value.errno == errno.ENOTEMPTY
    backend.remove(inside)
    backend.remove(directory)
    assert names_in(share) == []


def test_read_only(make_backend: Callable[..., LocalBackend], share: Path) -> None:
    """A read-only export refuses every change."""
    (share / "f").write_text("x")
    backend = make_backend(read_only=True)
    handle = open_(backend, "f")
    for call in (
        lambda: create(backend, "g"),
        lambda: backend.rename(handle, backend.resolve("h"), replace=False),
        lambda: backend.link(handle, backend.resolve("h"), replace=False),
        lambda: backend.remove(handle),
    ):
        assert status_of(call) == NTStatus.MEDIA_WRITE_PROTECTED
    assert backend.volume(open_(backend, "", OpenIntent.PATH)).attributes & 0x80000


def test_hidden_and_vetoed(make_backend: Callable[..., LocalBackend], share: Path) -> None:
    """Dot files are HIDDEN; veto files do not exist, cannot be made, and keep a directory from being
    empty.
    """
    (share / ".dot").write_text("")
    (share / "d").mkdir()
    (share / "d" / "x.TMP").write_text("")
    backend = make_backend(veto_files=("*.tmp",))
    stat = backend.resolve(".DOT").stat
    assert stat is not None and stat.attributes & dos.HIDDEN
    assert status_of(lambda: backend.resolve("d\\X.tmp")) == NTStatus.OBJECT_NAME_NOT_FOUND
    assert status_of(lambda: backend.resolve("a.tmp\\b")) == NTStatus.OBJECT_PATH_NOT_FOUND
    directory = open_(backend, "d")
    assert [i.name for i in directory.list_directory()] == [".", ".."]
    assert not backend.is_empty(directory)
    assert not make_backend(hide_dot_files=False).resolve(".dot").stat.attributes & dos.HIDDEN  # type: ignore[union-attr]


def test_without_xattrs(backend: LocalBackend, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without xattrs (all xattr calls give ENOTSUP): everything works, READONLY is kept in the mode."""

    def unsupported(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no xattrs")

    for name in ("getxattr", "setxattr", "listxattr", "removexattr"):
        monkeypatch.setattr(os, name, unsupported)
    probed = LocalBackend(str(share))
    assert not probed.xattrs and not probed.volume(open_(probed, "", OpenIntent.PATH)).attributes & 0x40000
    for tested, name in ((probed, "a"), (backend, "b")):  # `backend` learned of xattrs before they were taken away
        handle = create(tested, name, attributes=0x21)
        assert (share / name).stat().st_mode & 0o222 == 0
        handle.set_basic(attributes=0x20, creation_time=_EPOCH)
        assert (share / name).stat().st_mode & 0o200
        assert handle.extended_attributes() == [] and handle.security_descriptor() is None
        assert handle.streams() == [("", 0, 0)]
        assert (
            status_of(lambda handle=handle: handle.set_security_descriptor(bytes(20)))
            == NTStatus.NOT_SUPPORTED
        )
        assert sorted(i.name for i in open_(tested, "").list_directory())[:2] == [".", ".."]
    (share / "a").chmod(0o444)
    stat = probed.resolve("A").stat
    assert stat is not None and stat.attributes & dos.READONLY
    probed.close()


def test_extended_attributes(backend: LocalBackend, share: Path) -> None:
    """EAs: names in their own case, found without case, deleted by an empty value; conventions are hidden."""
    handle = create(backend, "f")
    os.setxattr(share / "f", "user.Comment", b"hello")
    assert handle.extended_attributes() == [(b"Comment", b"hello")]
    handle.set_extended_attributes([(b"COMMENT", b"two")])
    assert os.getxattr(share / "f", "user.Comment") == b"two"
    handle.set_extended_attributes([(b"comment", b"")])
    assert handle.extended_attributes() == []
    for name in (b"DOSATTRIB", b"DosStream.x:$DATA", b"", b"x" * 300):
        assert (
            status_of(lambda name=name: handle.set_extended_attributes([(name, b"x")]))
            == NTStatus.INVALID_EA_NAME
        )


def test_security_descriptor(backend: LocalBackend, share: Path) -> None:
    """A stored descriptor comes back, whichever xattr it is in."""
    descriptor = bytes.fromhex("0100048014000000000000000000000000000000010100000000000512000000")
    handle = create(backend, "f")
    assert handle.security_descriptor() is None
    handle.set_security_descriptor(descriptor)
    assert handle.security_descriptor() == descriptor
    assert open_(backend, "f", OpenIntent.PATH).security_descriptor() == descriptor


def test_volume(backend: LocalBackend, share: Path) -> None:
    """The numbers are those of statvfs."""
    volume = backend.volume(open_(backend, "", OpenIntent.PATH))
    status = os.statvfs(share)
    assert volume.label == "share" and volume.file_system_name == "NTFS"
    assert volume.block_size * volume.total_units == status.f_frsize * status.f_blocks


def test_descriptors_do_not_leak(backend: LocalBackend, share: Path) -> None:
    """Resolving, opening, failing and listing leave no descriptor behind."""
    create(backend, "f").close()
    (share / "bad").symlink_to("/etc")
    backend.resolve("X")
    gc.collect()
    before = descriptors()
    for _ in range(50):
        backend.resolve("F")
        open_(backend, "f", BOTH).close()
        list(open_(backend, "").list_directory())
        next(open_(backend, "").list_directory())
        with pytest.raises(SMBError):
            backend.resolve("bad")
    assert not descriptors() - before


def test_what_was_found_is_opened(backend: LocalBackend, share: Path) -> None:
    """A file takes the name after resolve: what is examined and opened, also for writing, is the file that was found;
    its directory's rights do not extend to a file of another name."""
    (share / "f").write_text("found")
    resolved, for_parent = backend.resolve("f"), backend.resolve("f")
    number = (share / "f").stat().st_ino
    (share / "f").rename(share / "kept")
    (share / "f").write_text("swapped in")
    backend.security_descriptor(resolved)
    handle = backend.open(resolved, BOTH)
    assert handle.identity.inode == number
    handle.truncate(0)
    assert (share / "kept").read_text() == "" and (share / "f").read_text() == "swapped in"
    handle.close()
    assert status_of(lambda: backend.parent(for_parent)) == NTStatus.OBJECT_NAME_NOT_FOUND


def test_only_what_was_found_is_replaced(backend: LocalBackend, share: Path) -> None:
    """A file takes the target's name after the target may be deleted, or where nothing was: it stays."""
    handle = create(backend, "a")
    (share / "b").write_text("may go")
    there, nothing = backend.resolve("b"), backend.resolve("c")
    (share / "b").rename(share / "elsewhere")
    (share / "b").write_text("mine")
    (share / "c").write_text("mine")
    for target in (there, nothing):
        for call in (backend.rename, backend.link):
            with pytest.raises(SMBError) as caught:
                call(handle, target, replace=True)
            assert caught.value.status == NTStatus.OBJECT_NAME_COLLISION
    assert (share / "b").read_text() == (share / "c").read_text() == "mine"
    assert sorted(path.name for path in share.iterdir()) == ["a", "b", "c", "elsewhere"]


def test_a_large_folder_is_read_in_pieces_or_at_once(
    make_backend: Callable[..., LocalBackend], share: Path
) -> None:
    """Goal: a look-up that may not read many names says so, and its steps read them; one in a thread reads them all.
    Method: a limit of two names."""
    for number in range(9):
        (share / f"f{number}").touch()
    backend = make_backend(names_inline=2)
    with pytest.raises(Unread) as unread:
        backend.resolve("F5")
    for _ in unread.value.steps():
        pass
    assert backend.resolve("F5").path == "f5"
    other = make_backend(names_inline=2)
    other._lookup.read_inline(None)
    assert other.resolve("F5").path == "f5"
