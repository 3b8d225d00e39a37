"""vfs/streams.py and streamhandle.py: alternate data streams in Samba's xattrs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frevo.errors import SMBError
from frevo.vfs.base import OpenIntent
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus

from .conftest import BOTH, create, open_


async def test_life_of_a_stream(backend: LocalBackend, share: Path) -> None:
    """Created, written, read, listed, renamed, removed; the value ends in a NUL as Samba's does."""
    main = create(backend, "f")
    stream = create(backend, "f:Zone.Identifier")
    assert stream.identity[:2] == main.identity[:2] and stream.identity.stream == "ZONE.IDENTIFIER"
    assert stream.wire_path == "f:Zone.Identifier"
    assert await stream.write(2, b"abc") == 3
    assert os.getxattr(share / "f", "user.DosStream.Zone.Identifier:$DATA") == b"\0\0abc\0"
    assert bytes(await stream.read(1, 10)) == b"\0abc"
    stat = stream.stat()
    assert (stat.end_of_file, stat.is_directory) == (5, False)
    assert [(name, size) for name, size, _ in main.streams()] == [("", 0), ("Zone.Identifier", 5)]
    resolved = backend.resolve("F:zone.IDENTIFIER:$DATA")
    assert resolved.exists and resolved.stream == "Zone.Identifier"
    backend.rename(stream, backend.resolve("f:other"), replace=False)
    assert main.streams()[1][0] == "other" and bytes(await stream.read(0, 9)) == b"\0\0abc"
    stream.truncate(3)
    await stream.zero(0, 9)
    assert list(stream.allocated_ranges(0, 99)) == [(0, 3)]
    backend.remove(stream)
    assert [name for name, _, _ in main.streams()] == [""]
    with pytest.raises(SMBError) as caught:
        await stream.read(0, 1)
    assert caught.value.status == NTStatus.OBJECT_NAME_NOT_FOUND


def test_stream_of_a_new_file(backend: LocalBackend, share: Path) -> None:
    """Creating a stream of a file that does not exist makes the file."""
    stream = create(backend, "f:s")
    assert (share / "f").is_file() and stream.stat().end_of_file == 0
    assert backend.resolve("f").stat.attributes == 0x20  # type: ignore[union-attr]


def test_stream_of_a_directory(backend: LocalBackend) -> None:
    """Directories have streams, but no main one; the stream itself is no directory."""
    directory = create(backend, "d", directory=True)
    stream = create(backend, "d:s")
    assert not stream.is_directory and not stream.stat().is_directory
    assert directory.streams() == [("s", 0, 0)]
    assert create(backend, ":root").wire_path == ":root"


def test_collisions(backend: LocalBackend) -> None:
    """A second stream of that name, in any case, collides; rename replaces only when asked to."""
    create(backend, "f").close()
    first, second = create(backend, "f:a"), create(backend, "f:b")
    with pytest.raises(SMBError) as caught:
        create(backend, "f:A")
    assert caught.value.status == NTStatus.OBJECT_NAME_COLLISION
    with pytest.raises(SMBError) as caught:
        backend.rename(first, backend.resolve("f:B"), replace=False)
    assert caught.value.status == NTStatus.OBJECT_NAME_COLLISION
    backend.rename(second, backend.resolve("f:A"), replace=True)
    assert [name for name, _, _ in open_(backend, "f").streams()] == ["", "A"]


async def test_too_large(backend: LocalBackend) -> None:
    """What an xattr cannot hold is DISK_FULL and leaves the stream unchanged."""
    create(backend, "f").close()
    stream = create(backend, "f:s")
    await stream.write(0, b"x")
    for size in (65536, 1 << 40):
        with pytest.raises(SMBError) as caught:
            stream.truncate(size)
        assert caught.value.status == NTStatus.DISK_FULL
    with pytest.raises(SMBError) as caught:
        await stream.write(65535, b"y")
    assert caught.value.status == NTStatus.DISK_FULL
    assert bytes(await stream.read(0, 10)) == b"x"


async def test_names(backend: LocalBackend) -> None:
    """Stream names may contain characters that file names may not."""
    create(backend, "f").close()
    for name in ("\x05Stream\n One", 'a*"<>|?b', "ä\ud800"):
        stream = create(backend, f"f:{name}")
        assert stream.stream == name
        assert open_(backend, f"f:{name}:$DATA", BOTH).stream == name
    assert open_(backend, "f:\x05stream\n one", OpenIntent.PATH).stream == "\x05Stream\n One"


async def test_a_stream_that_is_too_large(backend: LocalBackend, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: what the file system cannot hold is DISK_FULL, the log says so, and the old content stays. Method: a
    stream of 64 KiB, and one too large for this file system's xattrs, if there is one."""
    create(backend, "file").close()
    stream = create(backend, "file:fork")
    await stream.write(0, b"small")
    for size in (65536, 1 << 20, 60_000):
        try:
            await stream.write(0, bytes(size))
        except SMBError as error:
            assert error.status == NTStatus.DISK_FULL and str(size) in str(error)
            assert any(str(size) in record.getMessage() for record in caplog.records)
            assert bytes(await stream.read(0, 10)) == b"small"
        else:
            assert size == 60_000  # XFS, tmpfs
    for call in (stream.truncate, stream.allocate):
        with pytest.raises(SMBError, match="65536") as refused:
            call(65536)
        assert refused.value.status == NTStatus.DISK_FULL
    stream.close()
