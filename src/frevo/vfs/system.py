"""System calls missing in Python's `os` and in `frevo.aio.syscalls`: getxattrat, and the type of a file system; also
the paths in /proc that give access to the metadata of O_PATH descriptors.

All run in the calling thread and raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from typing import Final

from frevo.aio.acting import acting_as, as_identity, granted

FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_ZERO_RANGE: Final = 0x10

_SYS_GETXATTRAT: Final = 464  # the same number on every architecture; Linux 6.13
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_VALUE_MAX: Final = 65536
_STATFS_BYTES: Final = 256  # struct statfs has 120

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def proc_path(fd: int) -> str:
    """A path to the file of descriptor *fd*, for calls that accept no O_PATH descriptor; valid while *fd* is open."""
    return f"/proc/self/fd/{fd}"


def file_system_type(fd: int) -> int:
    """f_type of statfs(2): the magic number of the file system of *fd*; 0 if unknown."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(fd, buffer):
        return 0
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFF_FFFF


class _XattrArguments(ctypes.Structure):
    """struct xattr_args of getxattrat(2)."""

    _fields_ = (("value", ctypes.c_uint64), ("size", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class EntryXattr:
    """Reads one xattr of many entries of directories: getxattrat(2) where the kernel has it, else through
    /proc.

    Never follows a symbolic link. An instance owns its buffer: one thread at a time.
    """

    __slots__ = ("_arguments", "_buffer", "_name", "_native", "_reference", "_size")

    def __init__(self, name: str, size_max: int = 1024) -> None:
        self._name = name.encode()
        self._buffer = ctypes.create_string_buffer(size_max)
        self._arguments = _XattrArguments(ctypes.addressof(self._buffer), size_max, 0)
        self._reference = ctypes.byref(self._arguments)
        self._size = ctypes.c_size_t(ctypes.sizeof(_XattrArguments))
        self._native = True

    def get(self, directory_fd: int, entry: bytes) -> bytes | None:
        """The value; None if the entry has none, if it is too long, or if the entry has vanished."""
        if not self._native:
            return self._get_through_proc(directory_fd, entry)
        args = (directory_fd, entry, _AT_SYMLINK_NOFOLLOW, self._name, self._reference, self._size)
        count = _syscall(_SYS_GETXATTRAT, *args)
        if count >= 0:
            return self._buffer.raw[:count]
        if ctypes.get_errno() == errno.EACCES and acting_as() is not None:
            with as_identity(None):  # data stored for SMB is visible to everyone who may list the folder
                return self.get(directory_fd, entry)
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
            return None
        self._native = ctypes.get_errno() != errno.ENOSYS
        return self._get_through_proc(directory_fd, entry)

    def _get_through_proc(self, directory_fd: int, entry: bytes) -> bytes | None:
        path = b"/proc/self/fd/%d/%s" % (directory_fd, entry)
        try:
            return granted(lambda: os.getxattr(path, self._name, follow_symlinks=False))
        except OSError:
            return None


def get_own_xattr(fd_or_path: int | str, name: str) -> bytes | None:
    """`get_xattr` for a name that only this server uses; also for files that the acting user may not read."""
    for _, value in get_xattrs(fd_or_path, (name,), own=True):
        return value
    return None


def get_xattr(fd_or_path: int | str, name: str) -> bytes | None:
    """The xattr's value; None if it does not exist, or the acting user may not read it."""
    for _, value in get_xattrs(fd_or_path, (name,)):
        return value
    return None


def read_xattr(fd_or_path: int | str, name: str, *, own: bool = False) -> bytes | None:
    """The value of an xattr whose name was just listed (`get_xattr` lists the names first). None if it has vanished or
    may not be read. *own*: regardless of the acting user's rights."""
    try:
        return granted(os.getxattr, fd_or_path, name) if own else os.getxattr(fd_or_path, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
            return None
        raise


def get_xattrs(
    fd_or_path: int | str, wanted: tuple[str, ...], *, own: bool = False
) -> list[tuple[str, bytes]]:
    """Those of the *wanted* xattrs that the file has, in this order. *own*: regardless of the acting user's rights.

    Most files have none, and reading a missing xattr costs ten times as much as listing the names.
    """
    names: Sequence[str]
    try:
        names = os.listxattr(fd_or_path)
    except OSError:
        names = wanted  # no list: ask for the values
    found = []
    for name in wanted:
        if name in names:
            try:
                value = granted(os.getxattr, fd_or_path, name) if own else os.getxattr(fd_or_path, name)
                found.append((name, value))
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
                    raise
    return found


def remove_xattr(fd_or_path: int | str, name: str) -> bool:
    """Remove the xattr; False if there was none."""
    try:
        os.removexattr(fd_or_path, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return False
        raise
    return True


def list_xattr(fd_or_path: int | str) -> list[str]:
    """Names of all xattrs; empty if the file system has no xattrs."""
    try:
        return os.listxattr(fd_or_path)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
            return []
        raise
