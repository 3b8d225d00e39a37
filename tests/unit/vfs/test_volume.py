"""vfs/volume.py: what the file system information classes say, from statvfs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.vfs import volume
from frevo.vfs.volume import Volumes, keeps_xattrs, read_volume, serial_number_of, volume_attributes


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the test's directory."""
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("properties", "bits"),
    [
        ({"xattrs": False, "read_only": False, "sparse": False}, 0x07),
        ({"xattrs": False, "read_only": False}, 0x47),
        ({"xattrs": True, "read_only": False}, 0x840047 | 0x08),
        ({"xattrs": True, "read_only": True}, 0x8C0047 | 0x08),
    ],
)
def test_attributes(properties: dict[str, bool], bits: int) -> None:
    """[MS-FSCC] 2.5.1: streams, EAs and ACLs need xattrs, holes a file system that has them."""
    assert volume_attributes(**properties) == bits


def test_sizes(fd: int) -> None:
    """The numbers are those of statvfs, in its fragments."""
    found = read_volume(fd, label="docs", serial_number=7, creation_time=9, xattrs=True, read_only=False)
    status = os.fstatvfs(fd)
    assert (found.total_units, found.block_size) == (status.f_blocks, status.f_frsize)
    assert (found.label, found.serial_number, found.creation_time) == ("docs", 7, 9)
    assert found.file_system_name == "NTFS" and found.max_component_length <= 255


def test_odd_file_systems(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros of statvfs have usable values in their place; FAT has no holes; a read-only mount is a read-only volume."""

    class Status:
        f_namemax = f_frsize = f_bsize = f_blocks = f_bfree = f_bavail = 0
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "fstatvfs", lambda _: Status)
    monkeypatch.setattr(volume, "file_system_type", lambda _: 0x4D44)
    found = read_volume(fd, label="", serial_number=0, creation_time=0, xattrs=False, read_only=False)
    assert (found.block_size, found.max_component_length) == (4096, 255)
    assert found.attributes == volume_attributes(xattrs=False, read_only=True, sparse=False)


@pytest.mark.parametrize(
    ("number", "keeps"), [(errno.ENODATA, True), (errno.EOPNOTSUPP, False), (errno.ENOSYS, False)]
)
def test_xattrs(fd: int, monkeypatch: pytest.MonkeyPatch, number: int, keeps: bool) -> None:
    """A missing attribute is a file system that has attributes."""

    def getxattr(*_: object) -> bytes:
        raise OSError(number, "error")

    monkeypatch.setattr(os, "getxattr", getxattr)
    assert keeps_xattrs(fd) is keeps


def test_serial_numbers(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same volume has the same number, another device or label another one; few are remembered."""
    volumes = Volumes("docs")
    first = volumes.serial_number(fd, 1)
    assert first == serial_number_of(fd, 1, "docs") == volumes.serial_number(fd, 1)
    assert len({first, volumes.serial_number(fd, 2), Volumes("other").serial_number(fd, 1)}) == 3
    monkeypatch.setattr(volume, "_VOLUMES_MAX", 4)
    for device in range(100):
        volumes.serial_number(fd, device)
    assert len(volumes._serials) <= 4 and volumes.serial_number(fd, 1) == first
    assert serial_number_of(fd, 1, "odd\udcff")
