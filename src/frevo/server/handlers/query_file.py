"""QUERY_INFO of files: every class that SMB2 allows ([MS-SMB2] 3.3.5.20.1, [MS-FSA] 2.1.5.12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.handlers.information import fitted, need_access, network_open
from frevo.server.rules.deleting import is_delete_pending
from frevo.server.rules.short_names import short_name
from frevo.vfs.base import FileStat, Handle
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAccessInformation,
    FileAlignmentInformation,
    FileAllInformation,
    FileAttributeTagInformation,
    FileBasicInformation,
    FileCompressionInformation,
    FileEaInformation,
    FileIdInformation,
    FileInfoClass,
    FileInternalInformation,
    FileModeInformation,
    FileNameInformation,
    FileNetworkOpenInformation,
    FilePipeInformation,
    FilePipeLocalInformation,
    FilePipeRemoteInformation,
    FilePositionInformation,
    FileStandardInformation,
    FullEa,
    StreamEntry,
    pack_fitting_eas,
    pack_full_eas,
    pack_streams,
    parse_get_eas,
)
from frevo.wire.smb2 import FileAccess, QueryInfoFlags, QueryInfoRequest
from frevo.wire.smb2.create_contexts import EAS_MAX

_READ_ATTRIBUTES = int(FileAccess.READ_ATTRIBUTES)
_READ_EA = int(FileAccess.READ_EA)
#: sizeof(FILE_ALL_INFORMATION) on Windows: the fixed part with one character and padding.
_ALL_SIZE_MIN = 104
_SINGLE = int(QueryInfoFlags.RETURN_SINGLE_ENTRY)


class _Query(NamedTuple):
    """How one class is answered: its function, the size of its fixed part, the required access."""

    make: Callable[[Request, Handle], bytes]
    fixed_size: int
    access: int = 0


def query_file(request: Request, fields: QueryInfoRequest) -> bytes:
    """The information of class *fields.file_info_class* about the request's open."""
    info_class, handle = fields.file_info_class, request.open.handle
    if handle is None:
        return _query_pipe(request, fields)
    if info_class == FileInfoClass.FULL_EA:
        return _full_ea(request, fields, handle)
    query = _QUERIES.get(info_class)
    if query is None:
        known = info_class in FileInfoClass._value2member_map_
        status = NTStatus.NOT_SUPPORTED if known else NTStatus.INVALID_INFO_CLASS
        raise SMBError(status, f"file information class {info_class}")
    if fields.output_buffer_length < query.fixed_size:
        raise SMBError(NTStatus.INFO_LENGTH_MISMATCH, f"OutputBufferLength {fields.output_buffer_length}")
    need_access(request, query.access)
    return fitted(request, query.make(request, handle), query.fixed_size, fields.output_buffer_length)


def _basic(request: Request, handle: Handle) -> bytes:
    stat = handle.stat()
    return FileBasicInformation(
        stat.creation_time, stat.last_access_time, stat.last_write_time, stat.change_time, stat.attributes
    ).pack()


def _links(request: Request, stat: FileStat) -> tuple[int, bool]:
    """(number of links, delete pending): a directory has one link, and a name about to be deleted does not count."""
    pending = is_delete_pending(request.open)
    links = 1 if stat.is_directory else stat.link_count
    return max(links - pending, 0), pending


def _standard(request: Request, handle: Handle) -> bytes:
    stat = handle.stat()
    links, pending = _links(request, stat)
    return FileStandardInformation(
        stat.allocation_size, stat.end_of_file, links, pending, stat.is_directory
    ).pack()


def _internal(request: Request, handle: Handle) -> bytes:
    return FileInternalInformation(handle.stat().file_id).pack()


def _ea_size(handle: Handle) -> int:
    """The size of the EAs of the file as FileFullEaInformation; 0 if it has none."""
    attributes = handle.extended_attributes()
    return len(pack_full_eas(FullEa(name, value) for name, value in attributes)) if attributes else 0


def _ea(request: Request, handle: Handle) -> bytes:
    return FileEaInformation(_ea_size(handle)).pack()


def _access(request: Request, handle: Handle) -> bytes:
    return FileAccessInformation(request.open.granted_access).pack()


def _position(request: Request, handle: Handle) -> bytes:
    return FilePositionInformation(request.open.position).pack()


def _mode(request: Request, handle: Handle) -> bytes:
    return FileModeInformation(request.open.mode).pack()


def _alignment(request: Request, handle: Handle) -> bytes:
    return FileAlignmentInformation(0).pack()


def _all(request: Request, handle: Handle) -> bytes:
    stat, opened = handle.stat(), request.open
    links, pending = _links(request, stat)
    return FileAllInformation(
        creation_time=stat.creation_time,
        last_access_time=stat.last_access_time,
        last_write_time=stat.last_write_time,
        change_time=stat.change_time,
        file_attributes=stat.attributes,
        allocation_size=stat.allocation_size,
        end_of_file=stat.end_of_file,
        number_of_links=links,
        delete_pending=pending,
        directory=stat.is_directory,
        index_number=stat.file_id,
        ea_size=_ea_size(handle),
        access_flags=opened.granted_access,
        current_byte_offset=opened.position,
        mode=opened.mode,
        file_name="\\" + handle.wire_path,
    ).pack()


def _alternate_name(request: Request, handle: Handle) -> bytes:
    name = handle.wire_path.rpartition("\\")[2].partition(":")[0]
    if not name:
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, "the root has no alternate name")
    return FileNameInformation(short_name(name)).pack()


def _stream(request: Request, handle: Handle) -> bytes:
    return pack_streams(StreamEntry(f":{name}:$DATA", size, room) for name, size, room in handle.streams())


def _compression(request: Request, handle: Handle) -> bytes:
    return FileCompressionInformation(handle.stat().end_of_file).pack()


def _network_open(request: Request, handle: Handle) -> bytes:
    return FileNetworkOpenInformation(*network_open(handle.stat())).pack()


def _attribute_tag(request: Request, handle: Handle) -> bytes:
    stat = handle.stat()
    return FileAttributeTagInformation(stat.attributes, stat.reparse_tag).pack()


def _normalized_name(request: Request, handle: Handle) -> bytes:
    """The path without its first backslash, for 3.1.1 clients only ([MS-SMB2] 3.3.5.20.1)."""
    dialect = request.connection.dialect
    if dialect is None or not dialect.contexts:
        raise SMBError(NTStatus.NOT_SUPPORTED, "FileNormalizedNameInformation came with 3.1.1")
    return FileNameInformation(handle.wire_path).pack()


def _id(request: Request, handle: Handle) -> bytes:
    backend = request.tree.backend
    serial = backend.serial_number(handle) if backend is not None else 0
    return FileIdInformation(serial, handle.stat().file_id.to_bytes(16, "little")).pack()


_QUERIES: dict[int, _Query] = {
    FileInfoClass.BASIC: _Query(_basic, FileBasicInformation.LAYOUT.size, _READ_ATTRIBUTES),
    FileInfoClass.STANDARD: _Query(_standard, FileStandardInformation.LAYOUT.size),
    FileInfoClass.INTERNAL: _Query(_internal, FileInternalInformation.LAYOUT.size),
    FileInfoClass.EA: _Query(_ea, FileEaInformation.LAYOUT.size),
    FileInfoClass.ACCESS: _Query(_access, FileAccessInformation.LAYOUT.size),
    FileInfoClass.POSITION: _Query(_position, FilePositionInformation.LAYOUT.size),
    FileInfoClass.MODE: _Query(_mode, FileModeInformation.LAYOUT.size),
    FileInfoClass.ALIGNMENT: _Query(_alignment, FileAlignmentInformation.LAYOUT.size),
    FileInfoClass.ALL: _Query(_all, _ALL_SIZE_MIN, _READ_ATTRIBUTES),
    FileInfoClass.ALTERNATE_NAME: _Query(_alternate_name, 8),
    FileInfoClass.STREAM: _Query(_stream, 32),
    FileInfoClass.COMPRESSION: _Query(_compression, FileCompressionInformation.LAYOUT.size),
    FileInfoClass.NETWORK_OPEN: _Query(
        _network_open, FileNetworkOpenInformation.LAYOUT.size, _READ_ATTRIBUTES
    ),
    FileInfoClass.ATTRIBUTE_TAG: _Query(
        _attribute_tag, FileAttributeTagInformation.LAYOUT.size, _READ_ATTRIBUTES
    ),
    FileInfoClass.NORMALIZED_NAME: _Query(_normalized_name, 8),
    FileInfoClass.ID: _Query(_id, FileIdInformation.LAYOUT.size),
}


def _full_ea(request: Request, fields: QueryInfoRequest, handle: Handle) -> bytes:
    """FileFullEaInformation: all EAs, or those named in the input, as many as fit ([MS-FSA] 2.1.5.12.10)."""
    need_access(request, _READ_EA)
    found = [FullEa(name, value) for name, value in handle.extended_attributes()]
    if fields.buffer:
        values = {ea.name.upper(): ea for ea in found}
        names = dict.fromkeys(name.upper() for name in parse_get_eas(fields.buffer, count_max=EAS_MAX))
        found = [values.get(name, FullEa(name)) for name in names]
    if not found:
        raise SMBError(NTStatus.NO_EAS_ON_FILE, "no extended attributes")
    if fields.flags & _SINGLE:
        found = found[:1]
    packed, count = pack_fitting_eas(found, fields.output_buffer_length)
    if not count:
        raise SMBError(NTStatus.BUFFER_TOO_SMALL, "no room for one extended attribute")
    if count < len(found):
        request.status = NTStatus.BUFFER_OVERFLOW
    return packed


def _query_pipe(request: Request, fields: QueryInfoRequest) -> bytes:
    """The classes of named pipes ([MS-FSCC] 2.4.37 to 2.4.39)."""
    opened = request.open
    available = opened.pipe.available_bytes
    answers = {
        int(FileInfoClass.STANDARD): FileStandardInformation(4096, 0, 1, True, False),
        int(FileInfoClass.PIPE): FilePipeInformation(read_mode=1, completion_mode=0),
        int(FileInfoClass.PIPE_REMOTE): FilePipeRemoteInformation(),
        int(FileInfoClass.ACCESS): FileAccessInformation(opened.granted_access),
        int(FileInfoClass.PIPE_LOCAL): FilePipeLocalInformation(
            named_pipe_type=1,
            named_pipe_configuration=2,
            maximum_instances=0xFFFFFFFF,
            current_instances=1,
            inbound_quota=4096,
            read_data_available=available,
            outbound_quota=4096,
            write_quota_available=4096,
            named_pipe_state=3,
            named_pipe_end=1,
        ),
    }
    answer = answers.get(fields.file_info_class)
    if answer is None:
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"pipe information class {fields.file_info_class}")
    packed = answer.pack()
    return fitted(request, packed, len(packed), fields.output_buffer_length)
