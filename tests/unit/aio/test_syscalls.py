"""The plain system calls of `frevo.aio.syscalls`: results and errors as the kernel gives them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from frevo.aio import syscalls
from frevo.wire.dtyp.filetime import from_unix_ns


@pytest.fixture
def folder(tmp_path: Path) -> int:
    """A descriptor of an empty directory, left to the end of the process."""
    return os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)


def test_openat2_stays_beneath(folder: int, tmp_path: Path) -> None:
    """Goal: no path leaves the directory. Method: dots, absolute paths and links that point outside."""
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "in").symlink_to("file")
    (tmp_path / "file").write_bytes(b"1")
    os.close(syscalls.openat2(folder, b"in", os.O_RDONLY))
    for path in (b"..", b"../x", b"/etc/passwd", b"out/passwd", b"./../x"):
        with pytest.raises(OSError) as caught:
            syscalls.openat2(folder, path, os.O_RDONLY)
        assert (caught.value.errno, caught.value.filename) == (errno.EXDEV, path)
    with pytest.raises(OSError) as loop:
        syscalls.openat2(folder, b"in", os.O_RDONLY, resolve=syscalls.RESOLVE_NO_SYMLINKS)
    assert loop.value.errno == errno.ELOOP


def test_openat2_sets_close_on_exec(folder: int) -> None:
    """Goal: descriptors do not leak into children. Method: look at a new one."""
    fd = syscalls.openat2(folder, b"new", os.O_CREAT | os.O_RDWR, 0o640)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_statx_fields(folder: int, tmp_path: Path) -> None:
    """Goal: each field is where it belongs. Method: compare with os.stat."""
    (tmp_path / "f").write_bytes(b"z" * 10_000)
    status, expected = syscalls.statx(folder, b"f", 0), (tmp_path / "f").stat()
    assert (status.ino, status.mode, status.nlink) == (expected.st_ino, expected.st_mode, expected.st_nlink)
    assert (status.uid, status.gid, status.size) == (expected.st_uid, expected.st_gid, expected.st_size)
    assert (status.blocks, status.atime) == (expected.st_blocks, from_unix_ns(expected.st_atime_ns))
    assert (status.mtime, status.ctime) == (
        from_unix_ns(expected.st_mtime_ns),
        from_unix_ns(expected.st_ctime_ns),
    )
    assert status.btime == 0 or status.btime <= status.ctime
    assert syscalls.statx(folder).ino == tmp_path.stat().st_ino


def test_renameat2_flags(folder: int, tmp_path: Path) -> None:
    """Goal: NOREPLACE and EXCHANGE act. Method: two files."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        syscalls.renameat2(folder, b"a", folder, b"b", syscalls.RENAME_NOREPLACE)
    syscalls.renameat2(folder, b"a", folder, b"b", syscalls.RENAME_EXCHANGE)
    assert (tmp_path / "a").read_text() == "b"
    syscalls.renameat2(folder, b"a", folder, b"b")
    assert not (tmp_path / "a").exists()


def test_bad_paths(folder: int) -> None:
    """Goal: no bad path crashes. Method: NUL, too long, bad descriptor."""
    with pytest.raises(ValueError):
        syscalls.statx(folder, b"a\0", 0)
    with pytest.raises(OSError) as long:
        syscalls.openat2(folder, b"x" * 300, os.O_RDONLY)
    assert long.value.errno == errno.ENAMETOOLONG
    with pytest.raises(OSError) as bad:
        syscalls.statx(99999, b"x", 0)
    assert bad.value.errno == errno.EBADF
