"""The kernel's FUSE messages (linux/fuse.h, protocol 7.31 and later): opcodes, flags, and the layout of each
structure.

All numbers are in native byte order. A request is a header and a body whose layout depends on the opcode; a response
is a header (length, negative errno, the request's ID) and a body.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

import msgspec

Buffer = bytes | bytearray | memoryview

MAJOR = 7
#: The newest minor version whose structures these are; older kernels than 7.31 (Linux 5.4) are refused.
MINOR = 36
MINOR_MIN = 31

ROOT_ID = 1

#: Largest data of one READ or WRITE: 256 pages is what every kernel allows.
DATA_MAX = 1 << 20
#: The kernel refuses to fill a smaller buffer.
REQUEST_MAX = DATA_MAX + 8192


class Opcode(IntEnum):
    """The kernel's requests."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47


class InitFlags(IntFlag):
    """What INIT offers and accepts."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    FLOCK_LOCKS = 1 << 10
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    HANDLE_KILLPRIV_V2 = 1 << 28


class OpenFlags(IntFlag):
    """Flags for the kernel in the response to OPEN."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1


class SetattrValid(IntFlag):
    """Which fields of SETATTR are valid."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8


GETATTR_FH = 1
#: Flag of LOCK: by flock(2). Of RELEASE: such locks go with it.
LOCK_FLOCK, RELEASE_FLOCK_UNLOCK = 1, 2
_NOTIFY_INVAL_INODE = 2

HEADER = Struct("=IIQQIIIHH")  # length, opcode, unique, nodeid, uid, gid, pid, extensions, padding
ANSWER = Struct("=IiQ")  # length, -errno, unique
_ATTR = Struct("=6Q10I")
_ENTRY = Struct("=4Q2I")
_ATTR_OUT = Struct("=Q2I")
_OPEN_OUT = Struct("=QIi")
_INIT_IN = Struct("=4I")
_INIT_OUT = Struct("=4I2H2I2H8I")
_STATFS = Struct("=5Q10I")
_DIRENT = Struct("=2Q2I")
_WRITE_OUT = Struct("=II")
_SETATTR = Struct("=II6Q8I")
_INVAL_INODE = Struct("=Qqq")
_FORGET_ONE = Struct("=QQ")
DIRENT_SIZE, ENTRY_SIZE = _DIRENT.size, _ENTRY.size + _ATTR.size

#: Bodies of requests, without the names that follow them.
FORGET = Struct("=Q")
BATCH_FORGET = Struct("=II")
GETATTR = Struct("=IIQ")  # flags, -, fh
MKNOD = Struct("=IIII")  # mode, rdev, umask, -
MKDIR = Struct("=II")  # mode, umask
RENAME = Struct("=Q")  # new directory
LINK = Struct("=Q")  # the node that gets another name
RENAME2 = Struct("=QII")  # new directory, flags, -
OPEN = Struct("=II")  # flags, -
CREATE = Struct("=IIII")  # flags, mode, umask, -
READ = Struct("=QQIIQII")  # fh, offset, size, flags, lock owner, open flags, -
WRITE = READ
RELEASE = Struct("=QIIQ")  # fh, flags, release flags, lock owner
FLUSH = RELEASE
FSYNC = Struct("=QII")  # fh, flags, -
LOCK = Struct("=QQQQIIII")  # fh, owner, first, last byte, kind, pid, flags, -
LOCK_ANSWER = Struct("=QQII")  # first, last byte, kind, pid
GETXATTR = Struct("=II")  # size, -
SETXATTR = Struct("=II")  # size, flags
INTERRUPT = Struct("=Q")
LSEEK = Struct("=QQII")  # fh, offset, whence, -
LSEEK_OUT = Struct("=Q")
FALLOCATE = Struct("=QQQII")  # fh, offset, length, mode, -
COPY_FILE_RANGE = Struct("=7Q")  # fh in, offset in, node out, fh out, offset out, length, flags


class Setattr(msgspec.Struct):
    """The body of SETATTR; times are in nanoseconds since 1970."""

    valid: int
    fh: int
    size: int
    atime_ns: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int


def parse_setattr(body: Buffer) -> Setattr:
    """SETATTR's body."""
    valid, _, fh, size, _, atime, mtime, _, *rest = _SETATTR.unpack_from(body)
    atime_part, mtime_part, _, mode, _, uid, gid, _ = rest
    return Setattr(
        valid,
        fh,
        size,
        _signed(atime) * 10**9 + atime_part,
        _signed(mtime) * 10**9 + mtime_part,
        mode,
        uid,
        gid,
    )


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def attributes(
    ino: int,
    size: int,
    blocks: int,
    times_ns: tuple[int, int, int],
    mode: int,
    links: int,
    uid: int,
    gid: int,
) -> bytes:
    """fuse_attr; *times_ns* are of access, modification, change."""
    (atime, atime_ns), (mtime, mtime_ns), (ctime, ctime_ns) = (divmod(time, 10**9) for time in times_ns)
    mask = (1 << 64) - 1
    return _ATTR.pack(
        ino, size, blocks, atime & mask, mtime & mask, ctime & mask,
        atime_ns, mtime_ns, ctime_ns, mode, links, uid, gid, 0, 4096, 0,
    )  # fmt: skip


def entry(nodeid: int, valid_s: float, packed_attributes: bytes) -> bytes:
    """fuse_entry_out: a name was found. nodeid 0: it does not exist, and the kernel may cache that for *valid_s*."""
    seconds, part = int(valid_s), int(valid_s % 1 * 10**9)
    return _ENTRY.pack(nodeid, 0, seconds, seconds, part, part) + packed_attributes


NO_ENTRY_ATTRIBUTES = bytes(_ATTR.size)


def attr_out(valid_s: float, packed_attributes: bytes) -> bytes:
    """fuse_attr_out."""
    return _ATTR_OUT.pack(int(valid_s), int(valid_s % 1 * 10**9), 0) + packed_attributes


def open_out(fh: int, flags: int = 0) -> bytes:
    """fuse_open_out."""
    return _OPEN_OUT.pack(fh, flags, 0)


def write_out(size: int) -> bytes:
    """fuse_write_out."""
    return _WRITE_OUT.pack(size, 0)


def xattr_size(size: int) -> bytes:
    """fuse_getxattr_out: the size of a value or of the list of names."""
    return _WRITE_OUT.pack(size, 0)


def statfs(blocks: int, free: int, available: int, block_size: int, name_max: int) -> bytes:
    """fuse_statfs_out."""
    return _STATFS.pack(blocks, free, available, 0, 0, block_size, name_max, block_size, *[0] * 7)


def directory_entry(ino: int, offset: int, kind: int, name: bytes) -> bytes:
    """fuse_dirent, padded; *kind* is a DT_ constant, *offset* is the position of the next entry."""
    head = _DIRENT.pack(ino, offset, len(name), kind)
    return head + name + bytes(-(len(head) + len(name)) % 8)


def parse_init(body: Buffer) -> tuple[int, int, int, int]:
    """major, minor, max_readahead, flags of the kernel."""
    major, minor, readahead, flags = _INIT_IN.unpack_from(body)
    return major, minor, readahead, flags


def init_out(minor: int, readahead: int, flags: int, background: int) -> bytes:
    """fuse_init_out: nanosecond times, requests of DATA_MAX."""
    pages = DATA_MAX // 4096
    return _INIT_OUT.pack(
        MAJOR, minor, readahead, flags, background, background * 3 // 4, DATA_MAX, 1, pages, 0, *[0] * 8
    )


def parse_forgets(body: Buffer) -> list[tuple[int, int]]:
    """(nodeid, lookups) of BATCH_FORGET."""
    count, _ = BATCH_FORGET.unpack_from(body)
    size = BATCH_FORGET.size
    return list(_FORGET_ONE.iter_unpack(body[size : size + count * _FORGET_ONE.size]))


def invalidate_attributes(nodeid: int) -> bytes:
    """A message to the kernel: read the attributes of a node again.

    Data is not dropped: for that, the kernel would wait for reads that wait for us.
    """
    return ANSWER.pack(ANSWER.size + _INVAL_INODE.size, _NOTIFY_INVAL_INODE, 0) + _INVAL_INODE.pack(
        nodeid, -1, 0
    )


def invalidate_data(nodeid: int) -> bytes:
    """A message to the kernel: drop the attributes and all pages of a node.

    Writing this message waits for pending reads of those pages, so never do it on the event loop that answers them.
    """
    return ANSWER.pack(ANSWER.size + _INVAL_INODE.size, _NOTIFY_INVAL_INODE, 0) + _INVAL_INODE.pack(
        nodeid, 0, 0
    )
