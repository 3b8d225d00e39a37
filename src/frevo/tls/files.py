"""Reads files of certificates and keys: bounded, regular files only, keys only if others cannot read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from frevo.aio.acting import must_be_server
from frevo.tls.errors import TlsError

#: The largest system bundles have half a megabyte, revocation lists of public CAs some megabytes.
FILE_SIZE_MAX = 16 << 20
KEY_SIZE_MAX = 256 << 10

#: What tells one version of a file from the next: (modification time in ns, size, inode); None if it is missing.
Stamp = tuple[int, int, int] | None


def read_file(path: Path, *, limit: int = FILE_SIZE_MAX) -> bytes:
    """The contents of the file *path*. TlsError names the file and what is wrong with it."""
    return _read(path, limit)[0]


def read_key_file(path: Path) -> bytes:
    """The contents of a file with a private key, which nobody else may read or change.

    Its group may read it, as Debian's `ssl-cert` does.
    """
    data, status = _read(path, KEY_SIZE_MAX)
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        mode = stat.S_IMODE(status.st_mode)
        raise TlsError(f"the key {path} is accessible to other users (mode {mode:04o}): chmod 600 {path}")
    return data


def stamp_of(path: Path) -> Stamp:
    """The stamp of *path*, following links; None if it cannot be reached."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def exists(path: Path) -> bool:
    """Whether *path* can be reached; False also where this user may not look."""
    return stamp_of(path) is not None


def _read(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    must_be_server(path)
    try:
        # not blocking: a pipe with this name must not stop the server
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TlsError(f"cannot read {path}: {reason}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TlsError(f"{path} is not a regular file")
        if status.st_size > limit:
            raise TlsError(f"{path} is larger than {limit} bytes: expected certificates or a key")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size)  # not up to the limit, for which Python would make room
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return data, status
