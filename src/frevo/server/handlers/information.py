"""Shared by query and set handlers: the access that a class requires, and responses that must fit into a buffer."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.vfs.base import FileStat
from frevo.wire.erref import NTStatus


def need_access(request: Request, mask: int) -> None:
    """Raises ACCESS_DENIED unless the open has all rights in *mask*."""
    if request.open.granted_access & mask != mask:
        raise SMBError(NTStatus.ACCESS_DENIED, f"needs {mask:#x}, has {request.open.granted_access:#x}")


def fitted(request: Request, information: bytes, fixed_size: int, length_max: int) -> bytes:
    """*information* truncated to *length_max* bytes, with BUFFER_OVERFLOW if that loses anything.

    Raises INFO_LENGTH_MISMATCH if not even its fixed part fits ([MS-FSA] 2.1.5.12).
    """
    if length_max < fixed_size:
        raise SMBError(NTStatus.INFO_LENGTH_MISMATCH, f"{length_max} bytes for {fixed_size}")
    if length_max < len(information):
        request.status = NTStatus.BUFFER_OVERFLOW
        return information[:length_max]
    return information


def network_open(stat: FileStat) -> tuple[int, int, int, int, int, int, int]:
    """Times, sizes and attributes in the order of FileNetworkOpenInformation and of the CLOSE response."""
    return (
        stat.creation_time,
        stat.last_access_time,
        stat.last_write_time,
        stat.change_time,
        stat.allocation_size,
        stat.end_of_file,
        stat.attributes,
    )


def too_small(needed: int) -> SMBError:
    """BUFFER_TOO_SMALL with the number of bytes that the client needs ([MS-SMB2] 3.3.4.4)."""
    return SMBError(
        NTStatus.BUFFER_TOO_SMALL, f"needs {needed} bytes", error_data=needed.to_bytes(4, "little")
    )
