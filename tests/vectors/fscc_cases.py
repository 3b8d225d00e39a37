"""Which class each vector of fscc.txt belongs to and the object it stands for."""

from __future__ import annotations

from typing import Any

from frevo.wire import fscc

GUID = bytes(range(16))
FILE_ID = (11, 0x800000000000000C)
TIME = 0x01DA000000000000
TIMES = (TIME + 1, TIME + 2, TIME + 3, TIME + 4)

STRUCTURES: dict[str, list[Any]] = {
    "basic": [fscc.FileBasicInformation(TIME + 1, -1, -2, 0, 0x20)],
    "standard": [fscc.FileStandardInformation(4096, 5, 2, True, False)],
    "u64": [
        fscc.FileInternalInformation(123456789),
        fscc.FilePositionInformation(123456789),
        fscc.FileEndOfFileInformation(123456789),
        fscc.FileAllocationInformation(123456789),
        fscc.FileValidDataLengthInformation(123456789),
    ],
    "u32": [
        fscc.FileEaInformation(0x1F01FF),
        fscc.FileAccessInformation(0x1F01FF),
        fscc.FileModeInformation(0x1F01FF),
        fscc.FileAlignmentInformation(0x1F01FF),
        fscc.FileCaseSensitiveInformation(0x1F01FF),
        fscc.FileDispositionInformationEx(0x1F01FF),
    ],
    "name": [fscc.FileNameInformation("\\aü")],
    "all": [
        fscc.FileAllInformation(
            *TIMES, 0x10, 4096, 5, 2, False, True, 123456789, 3, 0x120089, 7, 0x20, 1, "\\a"
        )
    ],
    "network_open": [fscc.FileNetworkOpenInformation(*TIMES, 4096, 5, 0x20)],
    "attribute_tag": [fscc.FileAttributeTagInformation(0x400, fscc.ReparseTag.SYMLINK)],
    "compression": [fscc.FileCompressionInformation(5, 2, 16, 12, 13)],
    "id": [fscc.FileIdInformation(0x12345678, GUID)],
    "standard_link": [fscc.FileStandardLinkInformation(1, 2, False, True)],
    "pipe": [fscc.FilePipeInformation(1, 0)],
    "pipe_local": [fscc.FilePipeLocalInformation(2, 2, 0xFFFFFFFF, 1, 4096, 0, 4096, 4096, 3, 0)],
    "pipe_remote": [fscc.FilePipeRemoteInformation(5, 2)],
    "rename": [
        fscc.FileRenameInformation(True, 0, "a\\b"),
        fscc.FileLinkInformation(True, 0, "a\\b"),
    ],
    "rename_short": [fscc.FileRenameInformation(False, 0, "a")],
    "rename_ex": [fscc.FileRenameInformationEx(0x43, 0, "a\\b")],
    "disposition": [fscc.FileDispositionInformation(True)],
    "fs_volume": [fscc.FileFsVolumeInformation(TIME + 1, 0x12345678, False, "abc")],
    "fs_label": [fscc.FileFsLabelInformation("a")],
    "fs_size": [fscc.FileFsSizeInformation(1 << 20, 1 << 19, 8, 512)],
    "fs_full_size": [fscc.FileFsFullSizeInformation(1 << 20, 1 << 19, 0x90000, 8, 512)],
    "fs_device": [fscc.FileFsDeviceInformation(7, 0x20)],
    "fs_attribute": [fscc.FileFsAttributeInformation(0x4F, 255, "NTFS")],
    "fs_control": [fscc.FileFsControlInformation(1, 2, 3, file_system_control_flags=2)],
    "fs_object_id": [fscc.FileFsObjectIdInformation(GUID)],
    "fs_sector_size": [fscc.FileFsSectorSizeInformation(flags=3)],
    "sparse": [fscc.FileSetSparseBuffer(True)],
    "zero_data": [fscc.FileZeroDataInformation(4096, -1)],
    "duplicate_extents": [fscc.DuplicateExtentsData(FILE_ID, 1 << 16, 2 << 16, 3 << 16)],
    "duplicate_extents_ex": [fscc.DuplicateExtentsDataEx(FILE_ID, 1 << 16, 2 << 16, 3 << 16, 1)],
    "get_integrity": [fscc.GetIntegrityInformation(2, 1, 65536, 4096)],
    "set_integrity": [fscc.SetIntegrityInformation(0xFFFF, 1)],
    "object_id": [fscc.FileObjectIdBuffer(GUID, bytes(16), GUID)],
    "compression_state": [fscc.CompressionState(1)],
    "pipe_wait": [fscc.FilePipeWaitBuffer(5_000_000, True, "srvsvc")],
    "pipe_peek": [fscc.FilePipePeekBuffer(3, 4, 1, 4, b"\5\0\2\3")],
    "trim": [fscc.FileLevelTrim([(4096, 8192)])],
    "reparse_symlink": [
        fscc.ReparseDataBuffer(fscc.ReparseTag.SYMLINK, fscc.SymbolicLinkReparseData("a\\b", "ab", 1).pack())
    ],
    "reparse_guid": [fscc.ReparseDataBuffer(0x17, b"\xbe\xef", GUID)],
    "symlink_data": [fscc.SymbolicLinkReparseData("a\\b", "ab", 1)],
    "mount_point_data": [fscc.MountPointReparseData("a\\b", "a")],
}

_ENTRIES = [
    fscc.DirectoryEntry(".", 0x10, 1, 2, 3, 4, file_id=7),
    fscc.DirectoryEntry(
        "ab", 0x420, 1, 2, 3, 4, 5, 4096, file_id=8, short_name="AB~1", reparse_tag=fscc.ReparseTag.SYMLINK
    ),
]


def pack_directory(info_class: int, entries: list[fscc.DirectoryEntry]) -> bytes:
    packer = fscc.DirectoryPacker(info_class, 1 << 20)
    for entry in entries:
        assert packer.append(entry)
    return packer.finish()


#: Lists: (objects, pack, parse).
LISTS: dict[str, tuple[Any, Any, Any]] = {
    "full_eas": (
        [fscc.FullEa(b"A", b"\1\2\3\4", 0x80), fscc.FullEa(b"BC")],
        fscc.pack_full_eas,
        fscc.parse_full_eas,
    ),
    "get_eas": ([b"A", b"BC"], fscc.pack_get_eas, fscc.parse_get_eas),
    "streams": (
        [fscc.StreamEntry("::$DATA", 5, 4096), fscc.StreamEntry(":a:$DATA", 1, 8)],
        fscc.pack_streams,
        fscc.parse_streams,
    ),
    "hard_links": (
        [fscc.HardLink(5, "a"), fscc.HardLink(6, "b")],
        fscc.pack_hard_links,
        fscc.parse_hard_links,
    ),
    "notifications": (
        [fscc.Notification(4, "a"), fscc.Notification(5, "d\\b")],
        fscc.pack_notifications,
        fscc.parse_notifications,
    ),
    "allocated_ranges": (
        [fscc.FileAllocatedRange(0, 4096), fscc.FileAllocatedRange(65536, 8192)],
        fscc.pack_allocated_ranges,
        fscc.parse_allocated_ranges,
    ),
    "directory_1": (
        [
            fscc.DirectoryEntry(".", 0x10, 1, 2, 3, 4),
            fscc.DirectoryEntry("ab", 0x420, 1, 2, 3, 4, 5, 4096),
        ],
        lambda entries: pack_directory(1, entries),
        lambda data: list(fscc.parse_directory(1, data)),
    ),
    "directory_37": (
        _ENTRIES,
        lambda entries: pack_directory(37, entries),
        lambda data: list(fscc.parse_directory(37, data)),
    ),
    "directory_12": (
        [fscc.DirectoryEntry("."), fscc.DirectoryEntry("ab")],
        lambda entries: pack_directory(12, entries),
        lambda data: list(fscc.parse_directory(12, data)),
    ),
}
