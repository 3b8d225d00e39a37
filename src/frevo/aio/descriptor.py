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

#: One for all: it is held for a few instructions, and a descriptor is made for every open.
_LOCK = threading.RLock()  # the garbage collector may close another one in between


class Descriptor:
    """Owns *number*. Every method may be called from any thread."""

    __slots__ = ("_number", "_users", "closed")

    def __init__(self, number: int) -> None:
        self._number = number
        self._users = 0
        #: Whether `close` was called. The file may still be open, for those who hold it.
        self.closed = False

    def fileno(self) -> int:
        """The number, for a call that returns before anybody can close it; OSError EBADF when it is closed."""
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._number

    def hold(self) -> int:
        """The number, which stays this file's until `release`. OSError EBADF when it is closed and nobody holds it."""
        with _LOCK:
            if self.closed and not self._users:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._users += 1
        return self._number

    def release(self) -> None:
        """Takes one `hold` back."""
        with _LOCK:
            self._users -= 1
            if self._users or not self.closed:
                return
        self._end()

    def close(self) -> None:
        """Closes, now or when the last operation on it has ended. A second time does nothing."""
        with _LOCK:
            if self.closed:
                return
            self.closed = True
            if self._users:
                return
        self._end()

    def _end(self) -> None:
        """Called once: it is closed, and nobody holds it any more or can again."""
        if self._number >= 0:
            os.close(self._number)

    def __del__(self) -> None:
        if not self.closed and _LOCK is not None:  # at the end of the interpreter nothing is left to do it with
            self.close()

    def __repr__(self) -> str:
        return f"<Descriptor {self._number}{' closed' if self.closed else ''}>"


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
