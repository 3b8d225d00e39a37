"""What Linux would not remove is refused when deletion is requested: modes, sticky bits, mounts, pinned files."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from frevo.aio.acting import UnixIdentity, as_identity
from frevo.errors import SMBError
from frevo.vfs.base import OpenIntent
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other Unix users and mounts need root")
NOBODY = 65534
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
_IMMUTABLE, _APPEND = 0x10, 0x20


@pytest.fixture
def removable(backend: LocalBackend) -> Callable[[str], NTStatus]:
    """removable(path): the backend's status for a removal."""

    def ask(path: str) -> NTStatus:
        handle = backend.open(backend.resolve(path), OpenIntent.PATH)
        try:
            backend.check_removable(handle)
        except SMBError as error:
            return error.status
        finally:
            handle.close()
        return NTStatus.SUCCESS

    return ask


def test_what_can_be_removed(share: Path, removable: Callable[[str], NTStatus]) -> None:
    """One's own files, folders and links can be removed; the root cannot."""
    (share / "d" / "sub").mkdir(parents=True)
    (share / "d" / "f").touch()
    (share / "l").symlink_to("d/f")
    for path in ("d", "d\\sub", "d\\f", "l"):
        assert removable(path) == NTStatus.SUCCESS
    assert removable("") == NTStatus.CANNOT_DELETE


@needs_root
@pytest.mark.parametrize(
    ("mode", "owner", "file_owner", "expected"),
    [
        (0o755, 0, NOBODY, NTStatus.ACCESS_DENIED),
        (0o733, 0, 0, NTStatus.SUCCESS),
        (0o666, 0, 0, NTStatus.ACCESS_DENIED),
        (0o755, NOBODY, 0, NTStatus.SUCCESS),
        (0o1777, 0, 0, NTStatus.ACCESS_DENIED),
        (0o1777, 0, NOBODY, NTStatus.SUCCESS),
        (0o1777, NOBODY, 0, NTStatus.SUCCESS),
    ],
)
def test_modes_and_sticky_bits(
    backend: LocalBackend, share: Path, mode: int, owner: int, file_owner: int, expected: NTStatus
) -> None:
    """The status is that of unlink(2) for the session's Unix user, whose rights differ from the process's."""
    (share / "d").mkdir()
    (share / "d" / "f").touch()
    os.chown(share / "d" / "f", file_owner, 0)
    os.chown(share / "d", owner, 0)
    (share / "d").chmod(mode)
    handle = backend.open(backend.resolve("d\\f"), OpenIntent.PATH)
    share.chmod(0o755)
    told = done = NTStatus.SUCCESS
    with as_identity(UnixIdentity(NOBODY, NOBODY, [])):
        try:
            backend.check_removable(handle)
        except SMBError as error:
            told = error.status
        except PermissionError:  # it may not even be looked at
            told = NTStatus.ACCESS_DENIED
        try:
            backend.remove(handle)
        except OSError:
            done = NTStatus.ACCESS_DENIED
    handle.close()
    assert (told, done) == (expected, expected)


@needs_root
def test_mounts(share: Path, removable: Callable[[str], NTStatus]) -> None:
    """A mount point stays, so does a file with a bind mount on it, and everything on a read-only file system."""
    (share / "m").mkdir()
    (share / "f").touch()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", share / "m"], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounts are not allowed here")
    try:
        (share / "m" / "inside").touch()
        assert removable("m") == NTStatus.ACCESS_DENIED
        assert removable("m\\inside") == NTStatus.SUCCESS
        subprocess.run(["mount", "--bind", share / "m" / "inside", share / "f"], check=True)
        try:
            assert removable("f") == NTStatus.ACCESS_DENIED
        finally:
            subprocess.run(["umount", share / "f"], check=True)
        subprocess.run(["mount", "-o", "remount,ro", share / "m"], check=True)
        assert removable("m\\inside") == NTStatus.MEDIA_WRITE_PROTECTED
    finally:
        subprocess.run(["umount", share / "m"], check=True)


@needs_root
@pytest.mark.parametrize("flag", [_IMMUTABLE, _APPEND])
def test_pinned(share: Path, removable: Callable[[str], NTStatus], flag: int) -> None:
    """Immutable and append-only files stay, and what is in such folders."""
    (share / "d").mkdir()
    for name in ("f", "d/f"):
        (share / name).touch()
    for pinned, path in (("f", "f"), ("d", "d\\f")):
        fd = os.open(share / pinned, os.O_RDONLY)
        try:
            before = fcntl.ioctl(fd, _GETFLAGS, bytes(8))
            flags = struct.unpack("<I", before[:4])[0] | flag
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("<Q", flags))
        except OSError:
            os.close(fd)
            pytest.skip("the file system has no such flags")
        try:
            assert removable(path) == NTStatus.ACCESS_DENIED
        finally:
            fcntl.ioctl(fd, _SETFLAGS, before)
            os.close(fd)
        assert removable(path) == NTStatus.SUCCESS
