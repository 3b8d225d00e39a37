"""Opens directories whose path may be longer than one system call allows."""

from __future__ import annotations

import os
from typing import Final

from frevo.aio.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

#: Bytes of a path that one system call takes (PATH_MAX is 4096).
_PATH_BYTES: Final = 4000


def open_directory(fd: int, path: str) -> int:
    """Opens *path* below *fd*, however long it is."""
    resolve, flags = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, os.O_RDONLY | os.O_DIRECTORY
    rest, at = os.fsencode(path) or b".", fd
    try:
        while len(rest) > _PATH_BYTES:
            first, rest = (
                rest[: rest.rindex(b"/", 0, _PATH_BYTES)],
                rest[rest.rindex(b"/", 0, _PATH_BYTES) + 1 :],
            )
            before, at = at, openat2(at, first, os.O_PATH | os.O_DIRECTORY, 0, resolve)
            if before != fd:
                os.close(before)
        return openat2(at, rest, flags, 0, resolve)
    finally:
        if at != fd:
            os.close(at)
