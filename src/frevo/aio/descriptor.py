"""Who owns a file descriptor, and when it may be closed.

A number that was closed is soon another file's. So no operation gets the bare number of somebody else's descriptor:
it holds the owner until it has really ended (not until nobody waits for it any more), and the owner closes when that
was asked for and nobody holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frevo._native import Descriptor

__all__ = ["WORKING_DIRECTORY", "Descriptor", "hold_all", "release_all"]


def hold_all(arguments: Sequence[Any]) -> tuple[list[Descriptor], list[Any]]:
    """The descriptors among *arguments*, all held now, and *arguments* with their numbers in their place."""
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
    """Takes `hold_all` back."""
    for one in held:
        one.release()


#: Stands for the working directory where an operation wants a directory (AT_FDCWD).
WORKING_DIRECTORY = Descriptor(-100)
