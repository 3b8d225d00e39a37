"""Descriptor ownership: a descriptor is closed once, after close was requested and the last operation using it has
ended."""

from __future__ import annotations

import os

import pytest

from frevo.aio.descriptor import WORKING_DIRECTORY, Descriptor, hold_all


def opened() -> tuple[Descriptor, int]:
    number = os.open("/", os.O_PATH)
    return Descriptor(number), number


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_close_waits_for_holders() -> None:
    """A holder may go on and pass it to others; new holders are refused; the last one closes it."""
    one, number = opened()
    assert one.hold() == one.hold() == number
    one.close()
    one.close()
    assert one.closed and is_open(number)
    with pytest.raises(OSError, match="Bad file"):
        one.fileno()
    assert one.hold() == number  # the next piece of one write
    for _ in range(3):
        assert is_open(number)
        one.release()
    assert not is_open(number)
    with pytest.raises(OSError, match="Bad file"):
        one.hold()
    one.close()


def test_last_reference() -> None:
    """It is closed when its last reference goes."""
    one, number = opened()
    assert is_open(number)
    del one
    assert not is_open(number)


def test_all_or_none_are_held() -> None:
    """If one of several is closed, none of the others is kept."""
    (one, number), (other, _) = opened(), opened()
    assert hold_all((one, b"path", 3)) == ([one], [number, b"path", 3])
    one.release()
    other.close()
    with pytest.raises(OSError, match="Bad file"):
        hold_all((one, other))
    one.close()
    assert not is_open(number)


def test_the_working_directory() -> None:
    """It stands for AT_FDCWD and is never closed."""
    assert (WORKING_DIRECTORY.hold(), WORKING_DIRECTORY.fileno()) == (-100, -100)
    WORKING_DIRECTORY.release()
