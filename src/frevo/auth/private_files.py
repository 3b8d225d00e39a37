"""Secret files: a 0700 directory, 0600 files, atomic replacement and a lock between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from frevo.aio.acting import must_be_server
from frevo.errors import FrevoError
from frevo.folders import make_folder


class PrivateFileError(FrevoError):
    """A secret cannot be stored or read safely; the message says what to do."""


def ensure_private_directory(directory: Path) -> None:
    """Create *directory* with mode 0700, or check that an existing one is closed to other users."""
    must_be_server(directory)
    try:
        make_folder(directory, 0o700)
    except FileExistsError:
        raise PrivateFileError(f"{directory} is not a directory") from None
    except OSError as error:
        raise PrivateFileError(
            f"cannot create the private directory {directory}: {error.strerror}"
        ) from error
    check_private(directory, directory.stat(), 0o700)


def check_private(path: Path, status: os.stat_result, mode: int) -> None:
    """Raise unless *path* belongs to this user or root and is closed to everyone else."""
    if status.st_uid not in (os.geteuid(), 0):
        raise PrivateFileError(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & 0o077:
        raise PrivateFileError(
            f"{path} is accessible to other users (mode {stat.S_IMODE(status.st_mode):04o}): chmod {mode:o} {path}"
        )


def read_private(path: Path, *, limit: int = 64 << 20) -> tuple[bytes, os.stat_result]:
    """The contents and status of a regular file of mode 0600; FileNotFoundError if it does not exist."""
    must_be_server(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PrivateFileError(f"{path} is not a regular file")
        check_private(path, status, 0o600)
        if status.st_size > limit:
            raise PrivateFileError(f"{path} is larger than {limit} bytes")
        return file.read(limit), status


def replace_private(path: Path, content: bytes) -> None:
    """Write *content* to *path* with mode 0600.

    Atomic: either the old or the complete new file exists, whatever happens.
    """
    must_be_server(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file *path* (created if missing) against other processes."""
    must_be_server(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
