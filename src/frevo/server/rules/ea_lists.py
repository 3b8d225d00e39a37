"""Lists of extended attributes from clients, checked before any of them is set ([MS-FSCC] 2.4.16, [MS-FSA]
2.1.5.15.6)."""

from __future__ import annotations

import re

from frevo.errors import SMBError, WireError
from frevo.wire.codec import Buffer
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import EaFlags, FullEa, parse_full_eas
from frevo.wire.smb2.create_contexts import EAS_MAX

_NAME_MAX = 254
_FORBIDDEN = re.compile(rb'[\x00-\x1f\\/:*?"<>|,+=\[\];]')
_FLAGS = int(EaFlags.NEED_EA)


def eas_to_set(data: Buffer) -> list[FullEa]:
    """The attributes of a FILE_FULL_EA_INFORMATION chain.

    Raises EA_LIST_INCONSISTENT if the chain is invalid, INVALID_EA_NAME if an attribute has an invalid name or flags.
    """
    try:
        eas = parse_full_eas(data, count_max=EAS_MAX)
    except WireError as error:
        raise SMBError(NTStatus.EA_LIST_INCONSISTENT, str(error)) from None
    for ea in eas:
        check_ea_name(ea.name)
        if ea.flags & ~_FLAGS:
            raise SMBError(NTStatus.INVALID_EA_NAME, f"flags {ea.flags:#x} of an extended attribute")
    return eas


def check_ea_name(name: bytes) -> None:
    """Raises INVALID_EA_NAME for a name that is empty, too long or has forbidden characters."""
    if not 0 < len(name) <= _NAME_MAX or _FORBIDDEN.search(name):
        raise SMBError(
            NTStatus.INVALID_EA_NAME, f"{name[:64]!r} is not a valid name of an extended attribute"
        )
