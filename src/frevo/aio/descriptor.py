"""The owner of a file descriptor, and when it may be closed.

The number of a closed descriptor is soon reused for another file. So no operation gets a bare number: it holds the
owner until it has really ended (even if its caller no longer waits), and the owner closes the descriptor once it is
asked to and not held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frevo._native import Descriptor

__all__ = ["WORKING_DIRECTORY", "Descriptor", "hold_all", "release_all"]


def hold_all(arguments: Sequence[Any]) -> tuple[list[Descriptor], list[Any]]:
    """Holds all descriptors in *arguments*; returns them, and *arguments* with their numbers."""
    held: list[Descriptor] = []
    numbers: list[Any] = []
    try:
        for argument in arguments:
            if isinstance(argument, Descriptor):
                numbers.append(argument.hold())
                held.append(argument)
            else:
                numbers.append(argument)
    except OSError:
        release_all(held)
        raise
    return held, numbers


def release_all(held: Sequence[Descriptor]) -> None:
    """Undoes `hold_all`."""
    for one in held:
        one.release()


#: Means the working directory if an operation takes a directory (AT_FDCWD).
WORKING_DIRECTORY = Descriptor(-100)
