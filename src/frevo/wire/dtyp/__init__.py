"""[MS-DTYP]: the data types that others share: times, SIDs, access lists, security descriptors."""

from frevo.wire.dtyp.access import (
    FILE_ALL_ACCESS,
    FILE_GENERIC_EXECUTE,
    FILE_GENERIC_READ,
    FILE_GENERIC_WRITE,
    GENERIC_MAPPING,
    DirectoryAccess,
    FileAccess,
    map_generic,
)

__all__ = [
    "FILE_ALL_ACCESS",
    "FILE_GENERIC_EXECUTE",
    "FILE_GENERIC_READ",
    "FILE_GENERIC_WRITE",
    "GENERIC_MAPPING",
    "DirectoryAccess",
    "FileAccess",
    "map_generic",
]
