"""QUERY_INFO of the file system of a file or folder ([MS-SMB2] 3.3.5.20.2, [MS-FSA] 2.1.5.13)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.information import fitted
from frevo.vfs.base import VolumeInfo
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    DeviceCharacteristics,
    DeviceType,
    FileFsAttributeInformation,
    FileFsControlInformation,
    FileFsDeviceInformation,
    FileFsFullSizeInformation,
    FileFsObjectIdInformation,
    FileFsSectorSizeInformation,
    FileFsSizeInformation,
    FileFsVolumeInformation,
    FsInfoClass,
)
from frevo.wire.smb2 import QueryInfoRequest

#: The sector size for clients; allocation units are multiples of it.
_SECTOR_BYTES = 512
_PHYSICAL_SECTOR_BYTES = 4096
#: sizeof on Windows of the classes that end in a name: a shorter buffer is INFO_LENGTH_MISMATCH.
_VOLUME_SIZE_MIN = 24
_ATTRIBUTE_SIZE_MIN = 16
_SECTORS_ALIGNED = 0x3  # sectors of the device, partition aligned on them


class _Query(NamedTuple):
    make: Callable[[VolumeInfo], bytes]
    fixed_size: int


def query_filesystem(request: Request, fields: QueryInfoRequest) -> bytes:
    """The information of class *fields.file_info_class* about the volume of the request's open."""
    backend, handle, info_class = request.tree.backend, request.open.handle, fields.file_info_class
    if backend is None or handle is None:
        return _pipe_device(request, fields)
    query = _QUERIES.get(info_class)
    if query is None:
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"file system information class {info_class}")
    return fitted(request, query.make(backend.volume(handle)), query.fixed_size, fields.output_buffer_length)


def _volume(volume: VolumeInfo) -> bytes:
    return FileFsVolumeInformation(
        volume.creation_time, volume.serial_number & 0xFFFFFFFF, False, volume.label
    ).pack()


def _unit(volume: VolumeInfo) -> tuple[int, int]:
    return max(volume.block_size // _SECTOR_BYTES, 1), _SECTOR_BYTES


def _size(volume: VolumeInfo) -> bytes:
    return FileFsSizeInformation(volume.total_units, volume.available_units, *_unit(volume)).pack()


def _full_size(volume: VolumeInfo) -> bytes:
    return FileFsFullSizeInformation(
        volume.total_units, volume.available_units, volume.free_units, *_unit(volume)
    ).pack()


def _device(volume: VolumeInfo) -> bytes:
    return FileFsDeviceInformation(int(DeviceType.DISK), int(DeviceCharacteristics.DEVICE_IS_MOUNTED)).pack()


def _attribute(volume: VolumeInfo) -> bytes:
    return FileFsAttributeInformation(
        volume.attributes, volume.max_component_length, volume.file_system_name
    ).pack()


def _control(volume: VolumeInfo) -> bytes:
    return FileFsControlInformation().pack()


def _object_id(volume: VolumeInfo) -> bytes:
    """A made-up ID: the volume has none, but its serial number and age do not change."""
    seed = f"{volume.serial_number}:{volume.creation_time}".encode()
    return FileFsObjectIdInformation(hashlib.blake2b(seed, digest_size=16).digest()).pack()


def _sector_size(volume: VolumeInfo) -> bytes:
    physical = max(min(volume.block_size, _PHYSICAL_SECTOR_BYTES), _SECTOR_BYTES)
    return FileFsSectorSizeInformation(_SECTOR_BYTES, physical, physical, physical, _SECTORS_ALIGNED).pack()


_QUERIES: dict[int, _Query] = {
    FsInfoClass.VOLUME: _Query(_volume, _VOLUME_SIZE_MIN),
    FsInfoClass.SIZE: _Query(_size, FileFsSizeInformation.LAYOUT.size),
    FsInfoClass.DEVICE: _Query(_device, FileFsDeviceInformation.LAYOUT.size),
    FsInfoClass.ATTRIBUTE: _Query(_attribute, _ATTRIBUTE_SIZE_MIN),
    FsInfoClass.CONTROL: _Query(_control, FileFsControlInformation.LAYOUT.size),
    FsInfoClass.FULL_SIZE: _Query(_full_size, FileFsFullSizeInformation.LAYOUT.size),
    FsInfoClass.OBJECT_ID: _Query(_object_id, FileFsObjectIdInformation.LAYOUT.size),
    FsInfoClass.SECTOR_SIZE: _Query(_sector_size, FileFsSectorSizeInformation.LAYOUT.size),
}


def _pipe_device(request: Request, fields: QueryInfoRequest) -> bytes:
    """IPC$ has no volume, only a device."""
    if fields.file_info_class != FsInfoClass.DEVICE:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "IPC$ has no file system")
    packed = FileFsDeviceInformation(int(DeviceType.NAMED_PIPE), 0).pack()
    return fitted(request, packed, len(packed), fields.output_buffer_length)
