"""What the server says about a file, in the terms of os.stat."""

from __future__ import annotations

import stat as modes

import pytest

from frevo.client.tree.stat import Stat, stat_of
from frevo.errors import WireError
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.fscc import FileAllInformation
from frevo.wire.smb2 import FileAttributes

SECOND_NS = 1_000_000_000


def information(size: int = 10, attributes: int = 0, allocated: int = 4096) -> FileAllInformation:
    made = FileAllInformation.parse(bytes(104))
    made.end_of_file, made.file_attributes, made.allocation_size = size, attributes, allocated
    made.creation_time, made.last_access_time, made.last_write_time, made.change_time = (
        from_unix_ns(second * SECOND_NS) for second in (1, 2, 3, 4)
    )
    made.index_number, made.number_of_links = 77, 2
    return made


def test_times_and_numbers() -> None:
    """Each time is where os.stat has it: creation is st_birthtime, the change of metadata st_ctime."""
    found = stat_of(information())
    assert (found.st_birthtime, found.st_atime, found.st_mtime, found.st_ctime) == (1.0, 2.0, 3.0, 4.0)
    assert (found.st_atime_ns, found.st_ctime_ns) == (2 * SECOND_NS, 4 * SECOND_NS)
    assert (found.st_size, found.st_ino, found.st_nlink, found.st_mtime_ns) == (10, 77, 2, 3 * SECOND_NS)


@pytest.mark.parametrize(
    ("attributes", "mode", "kind"),
    [
        (0, modes.S_IFREG | 0o666, "file"),
        (FileAttributes.READONLY, modes.S_IFREG | 0o444, "file"),
        (FileAttributes.DIRECTORY, modes.S_IFDIR | 0o777, "directory"),
        (FileAttributes.DIRECTORY | FileAttributes.READONLY, modes.S_IFDIR | 0o555, "directory"),
        (FileAttributes.REPARSE_POINT, modes.S_IFLNK | 0o777, "link"),
        (FileAttributes.REPARSE_POINT | FileAttributes.DIRECTORY, modes.S_IFLNK | 0o777, "link"),
    ],
)
def test_kinds(attributes: int, mode: int, kind: str) -> None:
    """A reparse point is a link even when it leads to a directory; read-only takes the write bits away."""
    found = stat_of(information(attributes=int(attributes)))
    assert found.st_mode == mode
    assert found.is_file() is (kind == "file") and found.is_symlink() is (kind == "link")
    assert found.is_dir() is bool(attributes & FileAttributes.DIRECTORY)


@pytest.mark.parametrize(("size", "allocated"), [(-1, 0), (0, -1)])
def test_negative_sizes(size: int, allocated: int) -> None:
    """They are malformed answers, not files."""
    with pytest.raises(WireError, match="bytes"):
        stat_of(information(size=size, allocated=allocated))


def test_equal_by_value() -> None:
    """Two answers about the same unchanged file are equal."""
    assert stat_of(information()) == stat_of(information()) != stat_of(information(size=11))
    assert isinstance(stat_of(information()), Stat)
