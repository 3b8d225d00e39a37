"""The files and directories that programs have open, with FileIds and listed entries."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import AsyncIterator
from typing import TypeVar

from frevo.client.share.file import File
from frevo.client.share.listing import DirEntry
from frevo.mount.nodes import Node


class Handle:
    """An open file. *error*: of a delayed write, reported at the program's next write, close or fsync."""

    __slots__ = ("appends", "error", "file", "node", "readable", "synchronous", "writable")

    def __init__(self, node: Node, file: File, flags: int) -> None:
        self.node = node
        self.file = file
        kind = flags & os.O_ACCMODE
        self.readable = kind != os.O_WRONLY
        self.writable = kind != os.O_RDONLY
        self.synchronous = bool(flags & (os.O_SYNC | os.O_DSYNC))
        self.appends = False  # at the end that the server knows, not where the kernel thinks it is
        self.error: OSError | None = None

    @property
    def data_file(self) -> File:
        """The open for data: while the server holds locks for us, the one that has them."""
        locks = self.node.locks
        if locks is None or not locks.active or locks.file is None or locks.file.closed:
            return self.file
        return self.file if self.writable and locks.file.mode == "rb" else locks.file

    def raise_error(self) -> None:
        """Raises the error of a delayed write, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class DirectoryHandle:
    """An open directory; entries stay until it is closed, so that a program may go back to any of them.

    *broken*: the listing ended before the directory did.
    """

    __slots__ = ("begun", "broken", "entries", "node", "source")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.broken = False
        self.entries: list[DirEntry] = []
        self.source: AsyncIterator[DirEntry] | None = None
        #: When the listing began: until when it is believed, and how often we had changed the directory.
        self.begun = (0.0, 0)


T = TypeVar("T", Handle, DirectoryHandle)


class Numbers:
    """The numbers by which the kernel knows handles."""

    def __init__(self) -> None:
        self._next = itertools.count(1)
        self._known: dict[int, Handle | DirectoryHandle] = {}

    def add(self, handle: Handle | DirectoryHandle) -> int:
        """Its number."""
        number = next(self._next)
        self._known[number] = handle
        return number

    def get(self, number: int, kind: type[T]) -> T:
        """The handle; EBADF if there is none of this *kind*."""
        handle = self._known.get(number)
        if not isinstance(handle, kind):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return handle

    def pop(self, number: int, kind: type[T]) -> T:
        """`get` for the last time."""
        handle = self.get(number, kind)
        del self._known[number]
        return handle

    def files(self) -> list[Handle]:
        """All open files."""
        return [handle for handle in self._known.values() if isinstance(handle, Handle)]
