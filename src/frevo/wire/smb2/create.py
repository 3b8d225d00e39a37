"""CreateRequest and CreateResponse ([MS-SMB2] 2.2.13 and 2.2.14)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, FileId, encode_utf16, fixed, padding, utf16, variable
from frevo.wire.smb2.create_contexts import CreateContext, pack_create_contexts, parse_create_contexts

_REQUEST = struct.Struct("<HBBIQQIIIIIHHII")
_RESPONSE = struct.Struct("<HBBIQQQQQQIIQQII")
#: File sizes are signed everywhere else ([MS-FSCC] 2.4).
_SIZE_MAX = 2**63 - 1
_REQUEST_END = 64 + _REQUEST.size
_RESPONSE_END = 64 + _RESPONSE.size


class CreateRequest(msgspec.Struct):
    """What to open and how; *name* is relative to the share, with backslashes, as the client sent it.

    Reference: [MS-SMB2] 2.2.13.
    """

    requested_oplock_level: int = 0
    impersonation_level: int = 2
    desired_access: int = 0
    file_attributes: int = 0
    share_access: int = 0
    create_disposition: int = 1
    create_options: int = 0
    name: str = ""
    contexts: list[CreateContext] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> CreateRequest:
        (
            _,
            _security,
            oplock,
            impersonation,
            _flags,
            _reserved,
            access,
            attributes,
            share,
            disposition,
            options,
            name_offset,
            name_length,
            contexts_offset,
            contexts_length,
        ) = fixed(_REQUEST, message, offset, 57, "CREATE request")
        name = ""
        if name_length:
            raw = variable(message, offset, name_offset, name_length, _REQUEST_END, "CREATE Name")
            name = utf16(raw, "CREATE Name")
        contexts = []
        if contexts_length:
            contexts = parse_create_contexts(
                variable(message, offset, contexts_offset, contexts_length, _REQUEST_END, "CREATE contexts")
            )
        return cls(oplock, impersonation, access, attributes, share, disposition, options, name, contexts)

    def pack(self) -> bytes:
        tail = name = encode_utf16(self.name)
        contexts = pack_create_contexts(self.contexts) if self.contexts else b""
        contexts_offset = 0
        if contexts:
            tail = name + padding(_REQUEST_END + len(name))
            contexts_offset = _REQUEST_END + len(tail)
        head = _REQUEST.pack(
            57,
            0,
            self.requested_oplock_level,
            self.impersonation_level,
            0,
            0,
            self.desired_access,
            self.file_attributes,
            self.share_access,
            self.create_disposition,
            self.create_options,
            _REQUEST_END,
            len(name),
            contexts_offset,
            len(contexts),
        )
        return head + ((tail + contexts) or b"\0")


class CreateResponse(msgspec.Struct):
    """The new open. Times are FILETIME.

    Reference: [MS-SMB2] 2.2.14.
    """

    oplock_level: int = 0
    flags: int = 0
    create_action: int = 0
    creation_time: int = 0
    last_access_time: int = 0
    last_write_time: int = 0
    change_time: int = 0
    allocation_size: int = 0
    end_of_file: int = 0
    file_attributes: int = 0
    file_id: FileId = (0, 0)
    contexts: list[CreateContext] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> CreateResponse:
        (
            _,
            oplock,
            flags,
            action,
            creation,
            access,
            write,
            change,
            allocation,
            end_of_file,
            attributes,
            _reserved,
            persistent,
            volatile,
            contexts_offset,
            contexts_length,
        ) = fixed(_RESPONSE, message, offset, 89, "CREATE response")
        if max(allocation, end_of_file) > _SIZE_MAX:
            raise WireError(f"CREATE response: file of {end_of_file} bytes, {allocation} allocated")
        contexts = []
        if contexts_length:
            contexts = parse_create_contexts(
                variable(message, offset, contexts_offset, contexts_length, _RESPONSE_END, "CREATE contexts")
            )
        return cls(
            oplock,
            flags,
            action,
            creation,
            access,
            write,
            change,
            allocation,
            end_of_file,
            attributes,
            (persistent, volatile),
            contexts,
        )

    def pack(self) -> bytes:
        persistent, volatile = self.file_id
        contexts = pack_create_contexts(self.contexts) if self.contexts else b""
        return (
            _RESPONSE.pack(
                89,
                self.oplock_level,
                self.flags,
                self.create_action,
                self.creation_time,
                self.last_access_time,
                self.last_write_time,
                self.change_time,
                self.allocation_size,
                self.end_of_file,
                self.file_attributes,
                0,
                persistent,
                volatile,
                _RESPONSE_END if contexts else 0,
                len(contexts),
            )
            + contexts
        )
