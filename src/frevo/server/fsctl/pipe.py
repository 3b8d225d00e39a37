"""Control codes of named pipes: transceive, peek and wait ([MS-SMB2] 3.3.5.15.10)."""

from __future__ import annotations

import struct
from typing import Any

from frevo.errors import SMBError
from frevo.server.fsctl import FsctlCall
from frevo.server.pipes.feed import account, feed
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAccess

_PEEK = struct.Struct("<IIII")  # [MS-FSCC] 2.3.48: state, bytes to read, messages, length of the first
_STATE_CONNECTED = 3


def _pipe(call: FsctlCall) -> Any:
    pipe = call.request.open.pipe
    if pipe is None:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "not a pipe")
    return pipe


async def transceive(call: FsctlCall) -> bytes:
    """FSCTL_PIPE_TRANSCEIVE: writes the input and reads the response; BUFFER_OVERFLOW if there is more.

    Reference: [MS-FSCC] 2.3.52.
    """
    pipe = _pipe(call)
    if not call.request.open.granted_access & FileAccess.READ_DATA:
        raise SMBError(NTStatus.ACCESS_DENIED, "the pipe is not open for reading")
    call.need_access(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA)
    if pipe.readable:
        raise SMBError(NTStatus.PIPE_BUSY, "a response has not been read yet")
    await feed(call.request, call.data)
    output: bytes = pipe.read(call.output_max)
    account(call.request, call.request.open)
    if pipe.broken and not output:
        raise SMBError(NTStatus.PIPE_DISCONNECTED, "the data is not RPC")
    if pipe.partial:
        call.request.status = NTStatus.BUFFER_OVERFLOW
    return output


def peek(call: FsctlCall) -> bytes:
    """FSCTL_PIPE_PEEK: how much can be read, without reading it ([MS-FSCC] 2.3.47)."""
    available = _pipe(call).available_bytes
    call.need_output(_PEEK.size)
    return _PEEK.pack(_STATE_CONNECTED, available, 1 if available else 0, available)


def wait(call: FsctlCall) -> bytes:
    """FSCTL_PIPE_WAIT: our pipes never have to be waited for ([MS-FSCC] 2.3.49)."""
    if not call.request.tree.share.is_pipe:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "no pipes on this share")
    return b""
