"""The control codes of IOCTL, one file per family, listed in `table`. Each function gets an `FsctlCall`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from frevo.errors import SMBError
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.server.core.request import Request
    from frevo.vfs.base import Handle


class FsctlCall(msgspec.Struct):
    """One control request: its input and the size limit of its output.

    `request.open` is set for codes that work on a file.
    """

    request: Request
    code: int
    data: bytes
    output_max: int

    @property
    def handle(self) -> Handle:
        """The handle of the file; INVALID_DEVICE_REQUEST for a pipe, which has none."""
        handle = self.request.open.handle
        if handle is None:
            raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "this control code needs a file")
        return handle

    def need_access(self, mask: int) -> None:
        """Raises ACCESS_DENIED if the open has none of the rights in *mask*."""
        if not self.request.open.granted_access & mask:
            raise SMBError(NTStatus.ACCESS_DENIED, f"needs one of {mask:#x}")

    def need_output(self, size: int, status: int = NTStatus.BUFFER_TOO_SMALL) -> None:
        """Raises *status* if an output of *size* bytes would not fit."""
        if self.output_max < size:
            raise SMBError(status, f"{self.output_max} bytes for an output of {size}")


class FsctlRule(msgspec.Struct, frozen=True):
    """One row of the table. `handle` returns the output buffer, or an awaitable of it."""

    handle: Callable[[FsctlCall], bytes | Awaitable[bytes]]
    needs_open: bool = True
