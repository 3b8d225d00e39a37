"""FileAccess, DirectoryAccess and the generic mapping of files ([MS-DTYP] 2.4.3, [MS-SMB2] 2.2.13.1)."""

from __future__ import annotations

from frevo.wire.codec import Bits


class FileAccess(Bits):
    """The access mask of a file or pipe; directories use the same bits under the names of `DirectoryAccess`.

    Reference: [MS-SMB2] 2.2.13.1.1, [MS-DTYP] 2.4.3.
    """

    READ_DATA = 0x00000001
    WRITE_DATA = 0x00000002
    APPEND_DATA = 0x00000004
    READ_EA = 0x00000008
    WRITE_EA = 0x00000010
    EXECUTE = 0x00000020
    DELETE_CHILD = 0x00000040
    READ_ATTRIBUTES = 0x00000080
    WRITE_ATTRIBUTES = 0x00000100
    DELETE = 0x00010000
    READ_CONTROL = 0x00020000
    WRITE_DAC = 0x00040000
    WRITE_OWNER = 0x00080000
    SYNCHRONIZE = 0x00100000
    ACCESS_SYSTEM_SECURITY = 0x01000000
    MAXIMUM_ALLOWED = 0x02000000
    GENERIC_ALL = 0x10000000
    GENERIC_EXECUTE = 0x20000000
    GENERIC_WRITE = 0x40000000
    GENERIC_READ = 0x80000000


class DirectoryAccess(Bits):
    """The access mask of a directory.

    Reference: [MS-SMB2] 2.2.13.1.2.
    """

    LIST_DIRECTORY = 0x00000001
    ADD_FILE = 0x00000002
    ADD_SUBDIRECTORY = 0x00000004
    READ_EA = 0x00000008
    WRITE_EA = 0x00000010
    TRAVERSE = 0x00000020
    DELETE_CHILD = 0x00000040
    READ_ATTRIBUTES = 0x00000080
    WRITE_ATTRIBUTES = 0x00000100
    DELETE = 0x00010000
    READ_CONTROL = 0x00020000
    WRITE_DAC = 0x00040000
    WRITE_OWNER = 0x00080000
    SYNCHRONIZE = 0x00100000
    ACCESS_SYSTEM_SECURITY = 0x01000000
    MAXIMUM_ALLOWED = 0x02000000
    GENERIC_ALL = 0x10000000
    GENERIC_EXECUTE = 0x20000000
    GENERIC_WRITE = 0x40000000
    GENERIC_READ = 0x80000000


#: The meaning of the generic rights for a file ([MS-DTYP] 2.4.3; FILE_GENERIC_READ and so on).
FILE_GENERIC_READ = 0x00120089
FILE_GENERIC_WRITE = 0x00120116
FILE_GENERIC_EXECUTE = 0x001200A0
FILE_ALL_ACCESS = 0x001F01FF

GENERIC_MAPPING: dict[int, int] = {
    FileAccess.GENERIC_READ.value: FILE_GENERIC_READ,
    FileAccess.GENERIC_WRITE.value: FILE_GENERIC_WRITE,
    FileAccess.GENERIC_EXECUTE.value: FILE_GENERIC_EXECUTE,
    FileAccess.GENERIC_ALL.value: FILE_ALL_ACCESS,
}


def map_generic(mask: int) -> int:
    """*mask* with its generic bits replaced by their meaning for a file; all other bits are kept."""
    if mask & 0xF0000000 == 0:
        return mask
    mapped = mask & 0x0FFFFFFF
    for generic, specific in GENERIC_MAPPING.items():
        if mask & generic:
            mapped |= specific
    return mapped
