"""Who owns a file descriptor, and when it may be closed.

A number that was closed is soon another file's. So no operation gets the bare number of somebody else's descriptor:
it holds the owner until it has really ended (not until nobody waits for it any more), and the owner closes when that
was asked for and nobody holds it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from typing import Any


class Descriptor:
    """Owns *number*. Every method may be called from any thread."""

    __slots__ = ("_closing", "_lock", "_number", "_users")

    def __init__(self, number: int) -> None:
        self._number = number
        self._users = 0
        self._closing = False
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether `close` was called. The file may still be open, for those who hold it."""
        return self._closing

    def fileno(self) -> int:
        """The number, for a call that returns before anybody can close it; OSError EBADF when it is closed."""
        if self._closing:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._number

    def hold(self) -> int:
        """The number, which stays this file's until `release`. OSError EBADF when it is closed and nobody holds it."""
        with self._lock:
            if self._number < 0 and self._closing:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._users += 1
            return self._number

    def release(self) -> None:
        """Takes one `hold` back."""
        with self._lock:
            self._users -= 1
            number = self._given_up()
        if number >= 0:
            os.close(number)

    def close(self) -> None:
        """Closes, now or when the last operation on it has ended. A second time does nothing."""
        with self._lock:
            self._closing = True
            number = self._given_up()
        if number >= 0:
            os.close(number)

    def _given_up(self) -> int:
        """The number to close now, -1 for none."""
        if self._users or not self._closing:
            return -1
        number, self._number = self._number, -1
        return number

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Descriptor {self._number}{' closed' if self._closing else ''}>"


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
