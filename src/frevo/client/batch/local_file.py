"""Reads and writes small local files as a whole, in as few system calls as possible."""

from __future__ import annotations

import os
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL
_OVER = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC


def write_new(path: str, data: bytes, modified_ns: int) -> None:
    """Makes the file *path* with *data* and this time. FileExistsError if it exists; nothing is left after an error."""
    _write(path, _NEW, data, modified_ns)


def write_over(path: str, part: str, data: bytes, modified_ns: int) -> None:
    """Replaces the file *path*; until the new one is complete it is called *part*."""
    _write(part, _OVER, data, modified_ns)
    try:
        os.replace(part, path)  # noqa: PTH105 (the cost of a Path counts here)
    except OSError:
        Path(part).unlink()
        raise


def _write(path: str, flags: int, data: bytes, modified_ns: int) -> None:
    fd = os.open(path, flags, 0o666)
    try:
        try:
            count = 0
            while count < len(data):
                count += os.write(fd, data[count:] if count else data)
            os.utime(fd, ns=(modified_ns, modified_ns))
        finally:
            os.close(fd)
    except BaseException:
        Path(path).unlink()
        raise


def read_file(path: str, limit: int) -> bytes:
    """The first *limit* bytes of a regular file."""
    fd = os.open(path, _READ)
    try:
        data = os.read(fd, limit)
        while 0 < len(data) < limit and (more := os.read(fd, limit - len(data))):
            data += more
        return data
    finally:
        os.close(fd)
