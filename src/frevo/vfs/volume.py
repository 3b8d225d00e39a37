"""Contents of the file system information classes, from statvfs. [MS-FSCC] 2.5"""

from __future__ import annotations

import errno
import os
import zlib
from typing import Final

from frevo.vfs.attributes import XATTR_DOSATTRIB
from frevo.vfs.base import VolumeInfo
from frevo.vfs.system import file_system_type, proc_path

_CASE_SENSITIVE_SEARCH: Final = 0x01
_CASE_PRESERVED_NAMES: Final = 0x02
_UNICODE_ON_DISK: Final = 0x04
_PERSISTENT_ACLS: Final = 0x08
_SUPPORTS_SPARSE_FILES: Final = 0x40
_NAMED_STREAMS: Final = 0x0004_0000
_READ_ONLY_VOLUME: Final = 0x0008_0000
_SUPPORTS_EXTENDED_ATTRIBUTES: Final = 0x0080_0000


#: Volumes whose serial numbers are remembered.
_VOLUMES_MAX: Final = 256
#: File systems (statfs(2), f_type) whose files cannot have holes: FAT, exFAT, ISO 9660, UDF.
_WITHOUT_HOLES: Final = frozenset((0x4D44, 0x2011BAB0, 0x9660, 0x15013346))


def volume_attributes(*, xattrs: bool, read_only: bool, sparse: bool = True) -> int:
    """FileSystemAttributes of [MS-FSCC] 2.5.1."""
    value = _CASE_SENSITIVE_SEARCH | _CASE_PRESERVED_NAMES | _UNICODE_ON_DISK
    if sparse:
        value |= _SUPPORTS_SPARSE_FILES
    if xattrs:
        value |= _PERSISTENT_ACLS | _NAMED_STREAMS | _SUPPORTS_EXTENDED_ATTRIBUTES
    if read_only:
        value |= _READ_ONLY_VOLUME
    return value


def keeps_xattrs(fd: int) -> bool:
    """Whether the file system of *fd* has `user.` xattrs."""
    try:
        os.getxattr(proc_path(fd), XATTR_DOSATTRIB)
    except OSError as error:
        return error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS)
    return True


def serial_number_of(fd: int, device: int, label: str) -> int:
    """A serial number for the file system of *fd*, whose device is *device*."""
    return zlib.crc32(f"{os.fstatvfs(fd).f_fsid}:{device}:{label}".encode("utf-8", "surrogatepass"))


class Volumes:
    """The serial numbers of a shared folder's volumes, by device: mounts below the root are separate volumes."""

    __slots__ = ("_serials", "label")

    def __init__(self, label: str) -> None:
        self.label = label
        self._serials: dict[int, int] = {}

    def serial_number(self, fd: int, device: int) -> int:
        """The serial number of the volume of *fd*, whose device is *device*."""
        known = self._serials.get(device)
        if known is None:
            if len(self._serials) >= _VOLUMES_MAX:
                self._serials.clear()
            known = self._serials[device] = serial_number_of(fd, device, self.label)
        return known


def read_volume(
    fd: int, *, label: str, serial_number: int, creation_time: int, xattrs: bool, read_only: bool
) -> VolumeInfo:
    """Current sizes and the fixed properties of the file system of *fd*."""
    status = os.fstatvfs(fd)
    read_only = read_only or bool(status.f_flag & os.ST_RDONLY)
    sparse = file_system_type(fd) not in _WITHOUT_HOLES
    return VolumeInfo(
        label=label,
        serial_number=serial_number,
        creation_time=creation_time,
        file_system_name="NTFS",
        max_component_length=min(status.f_namemax or 255, 255),
        attributes=volume_attributes(xattrs=xattrs, read_only=read_only, sparse=sparse),
        block_size=status.f_frsize or status.f_bsize or 4096,
        total_units=status.f_blocks,
        free_units=status.f_bfree,
        available_units=status.f_bavail,
    )
