"""The file system information classes ([MS-FSCC] 2.5)."""

from __future__ import annotations

import struct
from typing import ClassVar

import msgspec

from frevo.wire.codec import Buffer, encode_utf16, slice_of, unpack, utf16
from frevo.wire.fscc.structure import FixedStructure

_VOLUME = struct.Struct("<qII?x")
_ATTRIBUTE = struct.Struct("<IiI")
_LABEL = struct.Struct("<I")


class FileFsVolumeInformation(msgspec.Struct):
    """Reference: [MS-FSCC] 2.5.9."""

    volume_creation_time: int = 0
    volume_serial_number: int = 0
    supports_objects: bool = False
    volume_label: str = ""

    FIXED_SIZE: ClassVar[int] = _VOLUME.size

    @classmethod
    def parse(cls, data: Buffer) -> FileFsVolumeInformation:
        created, serial, length, supports = unpack(_VOLUME, data, 0, cls.__name__)
        return cls(created, serial, supports, utf16(slice_of(data, _VOLUME.size, length, cls.__name__)))

    def pack(self) -> bytes:
        label = encode_utf16(self.volume_label)
        head = _VOLUME.pack(
            self.volume_creation_time, self.volume_serial_number, len(label), self.supports_objects
        )
        return head + label


class FileFsLabelInformation(msgspec.Struct):
    """Reference: [MS-FSCC] 2.5.5."""

    volume_label: str = ""

    @classmethod
    def parse(cls, data: Buffer) -> FileFsLabelInformation:
        (length,) = unpack(_LABEL, data, 0, cls.__name__)
        return cls(utf16(slice_of(data, _LABEL.size, length, cls.__name__), cls.__name__))

    def pack(self) -> bytes:
        label = encode_utf16(self.volume_label)
        return _LABEL.pack(len(label)) + label


class FileFsSizeInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.5.8."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqII")
    total_allocation_units: int = 0
    available_allocation_units: int = 0
    sectors_per_allocation_unit: int = 0
    bytes_per_sector: int = 512


class FileFsFullSizeInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.5.4."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqqII")
    total_allocation_units: int = 0
    caller_available_allocation_units: int = 0
    actual_available_allocation_units: int = 0
    sectors_per_allocation_unit: int = 0
    bytes_per_sector: int = 512


class FileFsDeviceInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.5.10."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<II")
    device_type: int = 0
    characteristics: int = 0


class FileFsAttributeInformation(msgspec.Struct):
    """Reference: [MS-FSCC] 2.5.1."""

    file_system_attributes: int = 0
    maximum_component_name_length: int = 255  #: characters
    file_system_name: str = ""

    FIXED_SIZE: ClassVar[int] = _ATTRIBUTE.size

    @classmethod
    def parse(cls, data: Buffer) -> FileFsAttributeInformation:
        attributes, maximum, length = unpack(_ATTRIBUTE, data, 0, cls.__name__)
        return cls(attributes, maximum, utf16(slice_of(data, _ATTRIBUTE.size, length, cls.__name__)))

    def pack(self) -> bytes:
        name = encode_utf16(self.file_system_name)
        head = _ATTRIBUTE.pack(self.file_system_attributes, self.maximum_component_name_length, len(name))
        return head + name


class FileFsControlInformation(FixedStructure):
    """Quota limits of the volume; 0xFFFFFFFFFFFFFFFF means no limit.

    Reference: [MS-FSCC] 2.5.2.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<qqqQQI4x")
    free_space_start_filtering: int = 0
    free_space_threshold: int = 0
    free_space_stop_filtering: int = 0
    default_quota_threshold: int = 0xFFFFFFFFFFFFFFFF
    default_quota_limit: int = 0xFFFFFFFFFFFFFFFF
    file_system_control_flags: int = 0


class FileFsObjectIdInformation(FixedStructure):
    """Reference: [MS-FSCC] 2.5.6."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<16s48s")
    object_id: bytes = bytes(16)
    extended_info: bytes = bytes(48)


class FileFsSectorSizeInformation(FixedStructure):
    """Flags: 1 aligned device, 2 partition aligned on device, 4 no seek penalty, 8 trim enabled.

    Reference: [MS-FSCC] 2.5.7.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("<7I")
    logical_bytes_per_sector: int = 512
    physical_bytes_per_sector_for_atomicity: int = 4096
    physical_bytes_per_sector_for_performance: int = 4096
    effective_physical_bytes_per_sector_for_atomicity: int = 4096
    flags: int = 0
    byte_offset_for_sector_alignment: int = 0
    byte_offset_for_partition_alignment: int = 0
