"""Whether a name can be removed: predicts the result of unlink(2) and rmdir(2).

A client must learn of a refusal when it requests a deletion, because there may be no one to tell when the last open is
closed. The check applies to the acting user. Only the attempt itself can show some refusals (a security module, a disk
error, another host's rules). SMBError means that the name would stay.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat as stat_module
from pathlib import Path
from typing import Final

from frevo.aio.acting import acting_as
from frevo.aio.syscalls import (
    AT_EMPTY_PATH,
    STATX_ATTR_APPEND,
    STATX_ATTR_IMMUTABLE,
    STATX_ATTR_MOUNT_ROOT,
    FileStatus,
    statx,
)
from frevo.errors import SMBError
from frevo.wire.erref import NTStatus

_SYS_FACCESSAT2: Final = 439  # the same number on every architecture; Linux 5.8
_AT_EACCESS: Final = 0x200
_CAP_FOWNER: Final = 3
_PINNED: Final = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND

_libc = ctypes.CDLL(None, use_errno=True)


def may_change(fd: int, mode: int) -> bool:
    """Whether the acting user has the access *mode* (os.W_OK, os.X_OK) to *fd*.

    Unlike access(2), this checks the same user as the kernel, fsuid included: with AT_EACCESS it leaves the thread's
    credentials unchanged.
    """
    flags = _AT_EACCESS | AT_EMPTY_PATH
    if _libc.syscall(_SYS_FACCESSAT2, fd, b"", mode, flags) == 0:
        return True
    return ctypes.get_errno() not in (errno.EACCES, errno.EPERM, errno.EROFS)


def check_removable(directory_fd: int, entry: FileStatus) -> None:
    """SMBError if the *entry* (statx of the name itself) cannot be removed from the directory: MEDIA_WRITE_PROTECTED,
    or ACCESS_DENIED because of modes, sticky bits, mount points or immutable files."""
    directory = statx(directory_fd)
    if os.fstatvfs(directory_fd).f_flag & os.ST_RDONLY:
        raise SMBError(NTStatus.MEDIA_WRITE_PROTECTED, "the file system is read-only")
    if entry.attributes & STATX_ATTR_MOUNT_ROOT:
        raise SMBError(NTStatus.ACCESS_DENIED, "something is mounted there")
    if entry.attributes & _PINNED or directory.attributes & _PINNED:
        raise SMBError(NTStatus.ACCESS_DENIED, "immutable or append-only")
    if not may_change(directory_fd, os.W_OK | os.X_OK):
        raise SMBError(NTStatus.ACCESS_DENIED, "the directory's mode does not let its names be removed")
    if directory.mode & stat_module.S_ISVTX and not _owns_one(entry, directory):
        raise SMBError(NTStatus.ACCESS_DENIED, "the directory is sticky, and the file another user's")


def _owns_one(entry: FileStatus, directory: FileStatus) -> bool:
    """Whether the sticky bit allows it: for the owner of the file or the directory, and with CAP_FOWNER."""
    who = acting_as()
    uid = os.geteuid() if who is None else who.uid
    return uid in (entry.uid, directory.uid) or _has_capability(_CAP_FOWNER)


def _has_capability(capability: int) -> bool:
    """Whether this thread has the capability; a thread that acts as a user has lost those for files."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False
