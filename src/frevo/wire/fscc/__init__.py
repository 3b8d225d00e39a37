"""[MS-FSCC]: information classes, directory entries, notify records and FSCTL structures.

`X.parse(data)` takes the buffer of one information class and nothing else; `X.pack()` gives it.
"""

from frevo.wire.fscc.constants import (
    CompletionFilter,
    DeviceCharacteristics,
    DeviceType,
    DispositionFlags,
    EaFlags,
    FileAttributes,
    FileInfoClass,
    FileSystemAttributes,
    FsctlCode,
    FsInfoClass,
    NotifyAction,
    RenameFlags,
    ReparseTag,
)
from frevo.wire.fscc.ea import (
    FullEa,
    chain,
    pack_full_eas,
    pack_get_eas,
    parse_full_eas,
    parse_get_eas,
)

__all__ = [
    "CompletionFilter",
    "DeviceCharacteristics",
    "DeviceType",
    "DispositionFlags",
    "EaFlags",
    "FileAttributes",
    "FileInfoClass",
    "FileSystemAttributes",
    "FsInfoClass",
    "FsctlCode",
    "FullEa",
    "NotifyAction",
    "RenameFlags",
    "ReparseTag",
    "chain",
    "pack_full_eas",
    "pack_get_eas",
    "parse_full_eas",
    "parse_get_eas",
]
