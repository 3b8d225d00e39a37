"""Small local files: whole or not at all."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest

from frevo.client.batch.local_file import read_file, write_new, write_over

_TIME = 1_700_000_000_123_456_700


def test_a_new_file(tmp_path: Path) -> None:
    """Bytes and time are as given; an existing file is left alone."""
    place = tmp_path / "file"
    write_new(str(place), b"data", _TIME)
    assert (place.read_bytes(), place.stat().st_mtime_ns) == (b"data", _TIME)
    with pytest.raises(FileExistsError):
        write_new(str(place), b"other", _TIME)
    assert place.read_bytes() == b"data"


def test_an_existing_file(tmp_path: Path) -> None:
    """It is replaced by a rename: a program that has it open keeps the old one, and no part is left."""
    place, part = tmp_path / "file", tmp_path / "part"
    place.write_bytes(b"old")
    part.write_bytes(b"what a break has left behind")
    with place.open("rb") as old:
        write_over(str(place), str(part), b"new", _TIME)
        assert old.read() == b"old"
    assert (place.read_bytes(), place.stat().st_mtime_ns) == (b"new", _TIME)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    """The error is the system's, the directory stays, and no part is left."""
    place = tmp_path / "file"
    place.mkdir()
    with pytest.raises(IsADirectoryError):
        write_over(str(place), str(tmp_path / "part"), b"new", _TIME)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and place.is_dir()


def test_no_room_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the file's size admits ten bytes: the error is the system's, and the ten are removed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError) as caught:
            write_new(str(tmp_path / "file"), bytes(100), _TIME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG and not list(tmp_path.iterdir())


def test_reading(tmp_path: Path) -> None:
    """As many bytes as there are, at most the limit."""
    place = tmp_path / "file"
    place.write_bytes(bytes(range(200)))
    assert read_file(str(place), 1000) == bytes(range(200))
    assert read_file(str(place), 10) == bytes(range(10))
    place.write_bytes(b"")
    assert read_file(str(place), 10) == b""
