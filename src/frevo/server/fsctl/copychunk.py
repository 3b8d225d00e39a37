"""Server-side copy: the resume key of a source, and SRV_COPYCHUNK, which uses it ([MS-SMB2] 3.3.5.15.5, 3.3.5.15.6)."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import struct

from frevo.errors import SMBError, ntstatus_of
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.fsctl import FsctlCall
from frevo.server.rules.write_time import after_write, before_write
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import (
    FileAccess,
    SrvCopychunk,
    SrvCopychunkCopy,
    SrvCopychunkResponse,
    SrvRequestResumeKeyResponse,
)

#: The limits of Windows; clients that exceed them are told ([MS-SMB2] 3.3.3).
CHUNKS_MAX = 256
CHUNK_BYTES_MAX = 1 << 20
TOTAL_BYTES_MAX = 16 << 20

_RESPONSE_SIZE = 12
_COUNT_AT = 24  # of the ChunkCount in SRV_COPYCHUNK_COPY ([MS-SMB2] 2.2.31.1)
_KEY = struct.Struct("<Q16s")
_LIMITS = SrvCopychunkResponse(CHUNKS_MAX, CHUNK_BYTES_MAX, TOTAL_BYTES_MAX).pack()


def resume_key(call: FsctlCall) -> bytes:
    """SRV_REQUEST_RESUME_KEY: an unguessable key that names this open as the source of a copy."""
    opened = call.request.open
    _ = call.handle
    answer_size = len(SrvRequestResumeKeyResponse().pack())
    call.need_output(answer_size, NTStatus.INVALID_PARAMETER)
    if opened.resume_key is None:
        opened.resume_key = _KEY.pack(opened.volatile_id, secrets.token_bytes(16))
    return SrvRequestResumeKeyResponse(opened.resume_key).pack()


def _source(request: Request, key: bytes) -> Open:
    """The open of this session with this key; OBJECT_NAME_NOT_FOUND if there is none."""
    volatile_id, _ = _KEY.unpack(key)
    source = request.session.opens.get(volatile_id)
    if source is None or source.resume_key is None or not hmac.compare_digest(source.resume_key, key):
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, "no open has this key")
    return source


async def copy(call: FsctlCall) -> bytes:
    """SRV_COPYCHUNK and SRV_COPYCHUNK_WRITE: copies the chunks in order up to the first failure. The response has the
    amount copied, and the status of that failure."""
    call.need_output(_RESPONSE_SIZE, NTStatus.INVALID_PARAMETER)
    if int.from_bytes(call.data[_COUNT_AT : _COUNT_AT + 4], "little") > CHUNKS_MAX:
        # Not parsed, as it may be long. With this status, the response contains our limits ([MS-SMB2] 3.3.5.15.6).
        call.request.status = NTStatus.INVALID_PARAMETER
        return _LIMITS
    fields = SrvCopychunkCopy.parse(call.data)
    source, target = _source(call.request, fields.source_key), call.request.open
    _check_opens(call, source, target)
    if _beyond_limits(fields.chunks):
        call.request.status = NTStatus.INVALID_PARAMETER
        return _LIMITS
    done = written = 0
    handle = target.handle
    assert handle is not None
    kept = before_write(target, handle)
    try:
        for chunk in fields.chunks:
            written += await _copy_chunk(source, target, chunk)
            done += 1
    except SMBError as error:
        call.request.status = error.status
    except OSError as error:
        call.request.status = ntstatus_of(error)
    finally:
        after_write(target, handle, kept)
    return SrvCopychunkResponse(done, 0, written).pack()


def _check_opens(call: FsctlCall, source: Open, target: Open) -> None:
    """Both must be files with the right access: for SRV_COPYCHUNK the target must be readable, too."""
    if source.handle is None or target.handle is None:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "only files can be copied")
    if source.is_directory or target.is_directory:
        raise SMBError(NTStatus.INVALID_DEVICE_REQUEST, "only files can be copied")
    if not source.granted_access & (FileAccess.READ_DATA | FileAccess.EXECUTE):
        raise SMBError(NTStatus.ACCESS_DENIED, "the source is not open for reading")
    if not target.granted_access & (FileAccess.WRITE_DATA | FileAccess.APPEND_DATA):
        raise SMBError(NTStatus.ACCESS_DENIED, "the target is not open for writing")
    if call.code == FsctlCode.SRV_COPYCHUNK and not target.granted_access & FileAccess.READ_DATA:
        raise SMBError(NTStatus.ACCESS_DENIED, "the target is not open for reading")


def _beyond_limits(chunks: list[SrvCopychunk]) -> bool:
    lengths = [chunk.length for chunk in chunks]
    return sum(lengths) > TOTAL_BYTES_MAX or any(not 0 < length <= CHUNK_BYTES_MAX for length in lengths)


async def _copy_chunk(source: Open, target: Open, chunk: SrvCopychunk) -> int:
    """Copies one chunk; INVALID_VIEW_SIZE if the source ends within it."""
    assert source.handle is not None and target.handle is not None
    if chunk.source_offset + chunk.length > source.handle.stat().end_of_file:
        raise SMBError(NTStatus.INVALID_VIEW_SIZE, "the source is shorter")
    assert source.record is not None and target.record is not None
    source.record.locks.check_read(source, chunk.source_offset, chunk.length)
    target.record.locks.check_write(target, chunk.target_offset, chunk.length)
    data = await source.handle.read(chunk.source_offset, chunk.length)
    if len(data) != chunk.length:
        raise SMBError(NTStatus.INVALID_VIEW_SIZE, "the source became shorter")
    written = await target.handle.write(chunk.target_offset, data)
    if written != chunk.length:
        raise SMBError(NTStatus.DISK_FULL, f"{written} of {chunk.length} bytes written")
    await asyncio.sleep(0)  # other requests run between the chunks
    return written
