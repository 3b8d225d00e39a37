"""Security descriptors in `security.NTACL` (needs root) or `user.NTACL`, in the NDR wrapper of Samba's acl_xattr.

Versions 1 to 4 are read. Their hash, which ties a descriptor to the Unix permissions at that time, is not checked.
Version 1 (no hash) is written, which Samba accepts as it is. [MS-DTYP] 2.4.6
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from frevo.aio.acting import granted
from frevo.errors import SMBError
from frevo.vfs.system import get_xattrs, remove_xattr
from frevo.wire.erref import NTStatus

XATTR_SECURITY: Final = "security.NTACL"
XATTR_USER: Final = "user.NTACL"
_NAMES: Final = (XATTR_SECURITY, XATTR_USER)

_HEAD = struct.Struct("<HHI")  # version, union switch, referent of the pointer
_REFERENT: Final = 0x00020000
_SE_SELF_RELATIVE: Final = 0x8000
_DESCRIPTOR_MIN: Final = 20
_HASH_BYTES: Final = 64
_V4_DESCRIPTION: Final = 8 + 4 + 2 + _HASH_BYTES  # where the description of version 4 begins


def unwrap(blob: bytes) -> bytes | None:
    """The self-relative descriptor in the xattr's value; None if there is none or it is invalid."""
    if len(blob) < _HEAD.size:
        return None
    version, _switch, referent = _HEAD.unpack_from(blob)
    start = {1: 8, 2: 28, 3: 80}.get(version, 0)
    if version == 4:
        end = blob.find(b"\0", _V4_DESCRIPTION)
        start = ((end + 1 + 3) & ~3) + 8 + _HASH_BYTES if end >= 0 else 0
    descriptor = blob[start:]
    if not referent or not start or len(descriptor) < _DESCRIPTOR_MIN or descriptor[0] != 1:
        return None
    (control,) = struct.unpack_from("<H", descriptor, 2)
    return descriptor if control & _SE_SELF_RELATIVE else None


def wrap(descriptor: bytes) -> bytes:
    """The xattr's value for a self-relative *descriptor*, version 1."""
    return _HEAD.pack(1, 1, _REFERENT) + descriptor


def read_descriptor(target: int | str) -> bytes | None:
    """The stored descriptor of a file (descriptor or path)."""
    for _, blob in get_xattrs(target, _NAMES, own=True):
        if (descriptor := unwrap(blob)) is not None:
            return descriptor
    return None


def may_have_descriptor(xattr_names: list[str] | None) -> bool:
    """Whether a file with these xattr names (None: unknown) may have a stored descriptor."""
    return xattr_names is None or XATTR_SECURITY in xattr_names or XATTR_USER in xattr_names


def write_descriptor(target: int | str, descriptor: bytes) -> None:
    """Store *descriptor*. SMBError(NOT_SUPPORTED) if the file system has no xattrs."""
    blob = wrap(descriptor)
    try:
        os.setxattr(target, XATTR_SECURITY, blob)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
            raise
        granted(_write_user, target, blob)
        return
    granted(remove_xattr, target, XATTR_USER)


def _write_user(target: int | str, blob: bytes) -> None:
    try:
        os.setxattr(target, XATTR_USER, blob)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        raise SMBError(
            NTStatus.NOT_SUPPORTED, "the file system does not support extended attributes"
        ) from error
