"""Times outside a file system's range: when the xattr is believed, and when it is forgotten."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from msgspec.structs import replace

from frevo.vfs import out_of_range_times
from frevo.vfs.base import FileStat
from frevo.vfs.out_of_range_times import EARLY, LATE, XATTR_TIMES, exact, is_out_of_range, remember
from frevo.vfs.system import get_xattr

#: What a file system made of a time before 1901 and of one after 2446.
KEPT_EARLY, KEPT_LATE = EARLY - 10**15, LATE + 10**17
MEANT_EARLY, MEANT_LATE = EARLY // 2, LATE * 3
NOW = (EARLY + LATE) // 2


def stat(accessed: int, written: int) -> FileStat:
    return FileStat((0, 0), False, 32, NOW, accessed, written, NOW, 0, 0, 1, 0o100644, 0, 0)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.touch()
    return str(path)


def times(file: str, accessed: int, written: int) -> tuple[int, int]:
    """(last access, last write) as reported when the file system has these."""
    told = exact(stat(accessed, written), get_xattr(file, XATTR_TIMES))
    return told.last_access_time, told.last_write_time


@pytest.mark.parametrize(
    ("accessed", "written", "far"),
    [
        (NOW, NOW, False), (EARLY, NOW, True), (NOW, EARLY, True), (LATE, NOW, True), (NOW, LATE, True),
        (EARLY + 1, LATE - 1, False), (0, NOW, True), (NOW, 2**63 - 1, True),
    ],
)  # fmt: skip
def test_only_far_times_are_checked(accessed: int, written: int, far: bool) -> None:
    """Between EARLY and LATE every file system keeps the time it is given."""
    assert is_out_of_range(stat(accessed, written)) == far


def test_times_come_back_as_set(file: str) -> None:
    """Both times are kept independently; setting one later replaces only that one."""
    remember(file, (KEPT_EARLY, KEPT_LATE), MEANT_EARLY, MEANT_LATE)
    assert times(file, KEPT_EARLY, KEPT_LATE) == (MEANT_EARLY, MEANT_LATE)
    remember(file, (KEPT_EARLY, KEPT_LATE), None, MEANT_LATE + 1)
    assert times(file, KEPT_EARLY, KEPT_LATE) == (MEANT_EARLY, MEANT_LATE + 1)


def test_what_others_set_is_believed(file: str) -> None:
    """Goal: the xattr is forgotten when another program changed the time. Method: the file system reports another
    one."""
    remember(file, (KEPT_EARLY, KEPT_LATE), MEANT_EARLY, MEANT_LATE)
    assert times(file, KEPT_EARLY + 1, KEPT_LATE) == (KEPT_EARLY + 1, MEANT_LATE)
    assert times(file, NOW, NOW) == (NOW, NOW)


def test_near_times_leave_nothing_behind(file: str) -> None:
    """A time in the file system's range needs no xattr, and removes an existing one."""
    remember(file, (NOW, NOW), NOW, NOW)
    assert get_xattr(file, XATTR_TIMES) is None
    remember(file, (KEPT_EARLY, NOW), MEANT_EARLY, NOW)
    assert get_xattr(file, XATTR_TIMES) is not None
    remember(file, (NOW, NOW), NOW, None)
    assert get_xattr(file, XATTR_TIMES) is None


def test_a_file_system_that_rounds_is_not_remembered(file: str) -> None:
    """A near time that comes back slightly different is due to the file system's precision, not a far time."""
    remember(file, (NOW - 100, NOW), NOW, NOW)
    assert get_xattr(file, XATTR_TIMES) is None


@pytest.mark.parametrize(
    "value", [b"", b"x", bytes(31), bytes(33), struct.pack("<4q", KEPT_EARLY, -1, KEPT_LATE, 0), b"\xff" * 32]
)
def test_damaged_values_say_nothing(file: str, value: bytes) -> None:
    """Any user may write `user.` attributes: anything but a record of ours changes no time."""
    os.setxattr(file, out_of_range_times.XATTR_TIMES, value)
    assert times(file, KEPT_EARLY, KEPT_LATE) == (KEPT_EARLY, KEPT_LATE)
    given = stat(KEPT_EARLY, KEPT_LATE)
    assert exact(given, value) == replace(given)
