"""`user.DOSATTRIB` in Samba's format, and FileStat built from statx and this xattr.

The format is NDR: a text form of the attributes (alone in the oldest versions), a version, and a union of it. Versions
1 to 5 and 0xFFFF are read; 5 is written, as in Samba since 4.16. A damaged value counts as missing. [MS-FSCC] 2.6
"""

from __future__ import annotations

import os
import stat as stat_module
import struct
from typing import Final, NamedTuple

from frevo.aio.syscalls import FileStatus
from frevo.vfs.base import FileIdentity, FileStat

XATTR_DOSATTRIB: Final = "user.DOSATTRIB"

READONLY: Final = 0x1
HIDDEN: Final = 0x2
SYSTEM: Final = 0x4
DIRECTORY: Final = 0x10
ARCHIVE: Final = 0x20
NORMAL: Final = 0x80
SPARSE: Final = 0x200
OFFLINE: Final = 0x1000

#: The attributes stored in the xattr; the rest are properties of the file or cannot be set.
STORED: Final = READONLY | HIDDEN | SYSTEM | ARCHIVE | SPARSE | OFFLINE | 0x100 | 0x2000

_FILETIME_MAX: Final = 0x7FFF_FFFF_FFFF_FFFF

_VALID_ATTRIBUTES: Final = 0x01
_VALID_CREATE_TIME: Final = 0x10
_HEAD = struct.Struct("<HH")
_INFO1 = struct.Struct("<IIQQQQ")
_INFO3 = struct.Struct("<IIIQQQQ")
_INFO4 = struct.Struct("<IIQQ")
_INFO5 = struct.Struct("<IIQ")
_WRITE5 = struct.Struct("<xxHHxxIIQ")
_HEAD5: Final = _WRITE5.pack(5, 5, 0, 0, 0)[:8]


class DosAttributes(NamedTuple):
    """The contents of the xattr; creation_time 0 means not stored."""

    attributes: int
    creation_time: int


def unpack_dosattrib(value: bytes) -> DosAttributes | None:
    """Parse the xattr's value; None if it is invalid."""
    if len(value) == _WRITE5.size and value.startswith(_HEAD5):
        return _unpack_info(5, value, 8)
    end = value.find(b"\0")
    text = value if end < 0 else value[:end]
    if end < 0 or len(value) <= end + 2:
        return _from_text(text)
    offset = end + 1 + ((end + 1) & 1)
    try:
        version, _switch = _HEAD.unpack_from(value, offset)
        return _unpack_info(version, value, (offset + 4 + 3) & ~3)
    except struct.error:
        return _from_text(text)


def _from_text(text: bytes) -> DosAttributes | None:
    try:
        return DosAttributes(int(text, 16) & STORED, 0)
    except ValueError:
        return None


def _unpack_info(version: int, value: bytes, offset: int) -> DosAttributes | None:
    if version == 5:
        valid, attributes, created = _INFO5.unpack_from(value, offset)
    elif version == 4:
        valid, attributes, _itime, created = _INFO4.unpack_from(value, offset)
    elif version in (2, 3):
        valid, attributes, _ea, _size, _allocation, created, _changed = _INFO3.unpack_from(value, offset)
    elif version == 1:
        attributes, _ea, _size, _allocation, created, _changed = _INFO1.unpack_from(value, offset)
        valid = _VALID_ATTRIBUTES | _VALID_CREATE_TIME
    else:
        return _from_text(value[: value.find(b"\0")])
    return DosAttributes(
        attributes & STORED if valid & _VALID_ATTRIBUTES else 0,
        created if valid & _VALID_CREATE_TIME and created <= _FILETIME_MAX else 0,
    )


def pack_dosattrib(stored: DosAttributes) -> bytes:
    """The xattr's value, version 5."""
    valid = _VALID_ATTRIBUTES | (_VALID_CREATE_TIME if stored.creation_time else 0)
    return _WRITE5.pack(5, 5, valid, stored.attributes & STORED, stored.creation_time)


def make_stat(
    status: FileStatus | tuple[int, ...], stored: DosAttributes | None, *, hidden: bool, mode_readonly: bool
) -> FileStat:
    """FileStat of a file. *hidden*: its name begins with a dot; *mode_readonly*: without xattrs, a missing
    write bit means READONLY.
    """
    (
        major, minor, inode, mode, links, uid, gid, size, blocks, accessed, born, changed, written, _flags, _mount,
        file_id,
    ) = status  # fmt: skip
    attributes, created = stored or (0, 0)
    is_directory = (mode & 0o170000) == 0o040000
    if hidden:
        attributes |= HIDDEN
    if mode_readonly and not mode & 0o200 and not is_directory:
        attributes |= READONLY
    if is_directory:
        attributes |= DIRECTORY
        size = blocks = 0
    if not created:
        created = born or min(written, changed)
    return FileStat(
        identity_of(major, minor, inode),
        is_directory,
        attributes or NORMAL,
        created,
        accessed,
        written,
        changed,
        size,
        blocks * 512,
        links,
        mode,
        uid,
        gid,
        0,
        file_id,
    )


def identity_of(major: int, minor: int, inode: int) -> FileIdentity:
    """The identity of a main stream."""
    return tuple.__new__(FileIdentity, (os.makedev(major, minor), inode, ""))


def is_special(mode: int) -> bool:
    """Whether st_mode is neither a regular file nor a directory."""
    return not (stat_module.S_ISREG(mode) or stat_module.S_ISDIR(mode))
