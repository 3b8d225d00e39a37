"""openat2, statx, utimensat, renameat2 and fallocate as plain functions that run in the calling thread.

Python's `os` module lacks them, or a way to leave one of a file's two times as it is. They are synchronous on purpose:
a path lookup that hits the dentry cache takes 2 to 4 microseconds, less than passing it to a thread or a ring
(`frevo.aio.ring` is for calls that may wait).
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import Final, NamedTuple, TypeAlias

from frevo import _native

#: Data to read or write: objects with contiguous memory of bytes.
Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

#: openat2(2): never leave the directory, not even through `..`, absolute links or mounts that bind outside.
RESOLVE_BENEATH: Final = 0x08
#: openat2(2): treat the directory as the root; `..` and absolute links stay inside.
RESOLVE_IN_ROOT: Final = 0x10
#: openat2(2): do not cross mount points.
RESOLVE_NO_XDEV: Final = 0x01
#: openat2(2): refuse /proc's magic links.
RESOLVE_NO_MAGICLINKS: Final = 0x02
#: openat2(2): refuse every symbolic link.
RESOLVE_NO_SYMLINKS: Final = 0x04
#: openat2(2): answer from the cache only, EAGAIN otherwise (Linux 5.12).
RESOLVE_CACHED: Final = 0x20

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_REMOVEDIR: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_EMPTY_PATH: Final = 0x1000
#: statx(2): what the kernel has cached is good enough (network file systems).
AT_STATX_DONT_SYNC: Final = 0x4000

#: renameat2(2): fail with EEXIST instead of replacing the target.
RENAME_NOREPLACE: Final = 1
#: renameat2(2): exchange the two names.
RENAME_EXCHANGE: Final = 2

#: fallocate(2): do not move the end of the file.
FALLOC_FL_KEEP_SIZE: Final = 0x01
#: fallocate(2): free the range (with FALLOC_FL_KEEP_SIZE).
FALLOC_FL_PUNCH_HOLE: Final = 0x02
#: fallocate(2): make the range read as zeroes, allocated.
FALLOC_FL_ZERO_RANGE: Final = 0x10

STATX_ATTR_COMPRESSED: Final = 0x4
STATX_ATTR_IMMUTABLE: Final = 0x10
STATX_ATTR_APPEND: Final = 0x20
STATX_ATTR_NODUMP: Final = 0x40
STATX_ATTR_ENCRYPTED: Final = 0x800
STATX_ATTR_MOUNT_ROOT: Final = 0x2000


class FileStatus(NamedTuple):
    """What statx(2) says about one file. Times are FILETIME (100 ns since 1601), 0 for what lies before;
    `blocks` are of 512 bytes.

    `btime` is 0 if the file system stores no birth time, `mnt_id` is 0 on kernels before 5.8. `file_id` is the inode
    number with the birth time mixed in: inode numbers are reused, this is not.
    """

    dev_major: int
    dev_minor: int
    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    atime: int
    btime: int
    ctime: int
    mtime: int
    attributes: int
    mnt_id: int
    file_id: int


def openat2(dirfd: int, path: bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_BENEATH) -> int:
    """Open *path* below *dirfd* and return the new descriptor, which belongs to the caller.

    *flags* are those of open(2); O_CLOEXEC is added always. *mode* may be non-zero only with O_CREAT or
    O_TMPFILE. Races of the resolution with renames (EAGAIN) are repeated here. Raises OSError with errno
    and filename; on a kernel or under a seccomp filter without openat2 the error is ENOSYS with a text that
    says so: there is no fallback, because nothing else keeps a path inside its share.
    """
    try:
        return _native.openat2(dirfd, path, flags | os.O_CLOEXEC, mode, resolve)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        text = "openat2 is missing: Linux 5.6 is needed, or the container's seccomp profile forbids it"
        raise OSError(errno.ENOSYS, text, path) from None


def statx(dirfd: int, path: bytes = b"", flags: int = AT_EMPTY_PATH) -> FileStatus:
    """Status of *path* below *dirfd*, of *dirfd* itself with the defaults.

    Raises OSError with errno and filename.
    """
    return FileStatus._make(_native.statx(dirfd, path, flags))


def set_times(fd_or_path: int | str, accessed: int | None, written: int | None) -> None:
    """Sets the times of last access and last write (FILETIME, not negative); None leaves one as it is.

    The file system stores what it can: a time outside its range becomes the end of that range. Raises OSError.
    """
    if isinstance(fd_or_path, int):
        _native.set_times(fd_or_path, None, accessed, written)
    else:
        _native.set_times(AT_FDCWD, os.fsencode(fd_or_path), accessed, written)


def renameat2(olddirfd: int, old: bytes, newdirfd: int, new: bytes, flags: int = 0) -> None:
    """Rename *old* below *olddirfd* to *new* below *newdirfd*; *flags* are RENAME_NOREPLACE or
    RENAME_EXCHANGE.

    Raises OSError with errno and filename; EINVAL where the file system does not know the flag.
    """
    _native.renameat2(olddirfd, old, newdirfd, new, flags)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2): reserve, punch holes or zero, by the FALLOC_FL_* bits of *mode*. Raises OSError with
    errno.

    On some file systems it writes for a long time; `Ring.fallocate` does not block the loop.
    """
    _native.fallocate(fd, mode, offset, length)


def return_memory(block: int, end: int) -> bool:
    """mallopt(3), for programs that are frevo's own, as it changes the whole process: blocks of at least *block* bytes
    are given back to the kernel when they are freed, and the end of the heap when it has *end* free bytes. False if the
    C library cannot be told.
    """
    return _native.return_memory(block, end)
