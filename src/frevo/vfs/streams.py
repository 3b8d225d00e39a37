"""Alternate data streams in xattrs, stored like Samba's streams_xattr: `user.DosStream.NAME:$DATA`, whose value is the
stream's data plus one NUL byte (so that an empty stream has a value).

A stream is read and written as a whole. xattrs hold at most 64 KiB, on many file systems less; more fails with
DISK_FULL. Stream names ignore case. [MS-FSCC] 2.1.5.3, 2.4.49
"""

from __future__ import annotations

import errno
import logging
import os
from typing import Final

from frevo.errors import SMBError
from frevo.vfs.names import fold
from frevo.vfs.system import get_xattr, list_xattr, read_xattr, remove_xattr
from frevo.wire.erref import NTStatus

log = logging.getLogger(__name__)

XATTR_PREFIX: Final = "user.DosStream."
_SUFFIX: Final = ":$DATA"
#: The kernel's limit for one xattr, less the trailing NUL.
STREAM_SIZE_MAX: Final = 65536 - 1


def _xattr_of(stream: str) -> str:
    return os.fsdecode(f"{XATTR_PREFIX}{stream}{_SUFFIX}".encode("utf-8", "surrogatepass"))


def _stream_of(xattr: str) -> str | None:
    if not xattr.startswith(XATTR_PREFIX):
        return None
    name = xattr[len(XATTR_PREFIX) :].removesuffix(_SUFFIX)
    raw = os.fsencode(name)
    try:
        return raw.decode("utf-8", "surrogatepass") or None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def find_xattr(target: int | str, stream: str) -> str | None:
    """The name of the xattr that stores *stream*, ignoring case; None if there is none."""
    exact = _xattr_of(stream)
    names = list_xattr(target)
    if exact in names:
        return exact
    folded = fold(stream)
    for name in names:
        kept = _stream_of(name)
        if kept is not None and fold(kept) == folded:
            return name
    return None


def list_streams(target: int | str) -> list[tuple[str, int]]:
    """(name, size) of every named stream."""
    found = []
    for name in list_xattr(target):
        stream = _stream_of(name)
        value = read_xattr(target, name) if stream is not None else None
        if stream is not None and value is not None:
            found.append((stream, max(len(value) - 1, 0)))
    return found


def real_name(xattr: str) -> str:
    """The stream's stored name."""
    return _stream_of(xattr) or ""


def read_stream(target: int | str, xattr: str) -> bytes:
    """The whole stream. OBJECT_NAME_NOT_FOUND if it has vanished."""
    value = get_xattr(target, xattr)
    if value is None:
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, "the stream is gone")
    return value[:-1]


def write_stream(target: int | str, xattr: str, data: bytes | bytearray, flags: int = 0) -> None:
    """Replace the whole stream. DISK_FULL if the file system cannot store an xattr of this size."""
    check_size(len(data))
    try:
        os.setxattr(target, xattr, bytes(data) + b"\0", flags)
    except OSError as error:
        raise _translated(error, len(data)) from error


def check_size(size: int) -> None:
    """DISK_FULL for a stream that no file system can store."""
    if size > STREAM_SIZE_MAX:
        log.warning("refused a named stream of %d bytes: the limit is %d", size, STREAM_SIZE_MAX)
        raise SMBError(NTStatus.DISK_FULL, f"a named stream of {size} bytes; the limit is {STREAM_SIZE_MAX}")


def _translated(error: OSError, size: int) -> Exception:
    if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT):
        text = f"the file system cannot store a named stream of {size} bytes: `frevo doctor FOLDER` shows its limit"
        log.warning("%s", text)
        return SMBError(NTStatus.DISK_FULL, text)
    if error.errno == errno.EEXIST:
        return SMBError(NTStatus.OBJECT_NAME_COLLISION, "the stream exists")
    if error.errno == errno.EOPNOTSUPP:
        return SMBError(NTStatus.OBJECT_NAME_INVALID, "the file system does not support streams")
    return error


def create_stream(target: int | str, stream: str) -> str:
    """Create an empty stream and return its xattr's name. OBJECT_NAME_COLLISION if it exists."""
    if find_xattr(target, stream) is not None:
        raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "the stream exists")
    xattr = _xattr_of(stream)
    write_stream(target, xattr, b"", os.XATTR_CREATE)
    return xattr


def rename_stream(target: int | str, xattr: str, new_name: str, *, replace: bool) -> str:
    """Rename a stream of the same file; returns the new xattr's name."""
    new = _xattr_of(new_name)
    existing = find_xattr(target, new_name)
    if existing is not None and existing != xattr:
        if not replace:
            raise SMBError(NTStatus.OBJECT_NAME_COLLISION, "the stream exists")
    if new != xattr:
        write_stream(target, new, read_stream(target, xattr))
        for old in {xattr, existing or new} - {new}:  # nothing goes before the new one is there
            remove_xattr(target, old)
    return new
