"""The chain of create contexts and their types ([MS-SMB2] 2.2.13.2 and 2.2.14.2).

A request or response has `CreateContext(name, data)` pairs. Each typed class has NAME, `parse(data)`, `pack()` for the
data and `context()` for the pair. Contexts without a class here, such as AAPL, stay raw.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer, FileId, padding, slice_of, unpack
from frevo.wire.fscc.ea import FullEa, pack_full_eas, parse_full_eas

_ELEMENT = struct.Struct("<IHHHHI")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_MAXIMAL_ACCESS = struct.Struct("<II")
_DISK_ID = struct.Struct("<QQ16s")
_FILE_ID = struct.Struct("<QQ")
_LEASE_V1 = struct.Struct("<16sIIQ")
_LEASE_V2 = struct.Struct("<16sIIQ16sHH")
_DURABLE_V2 = struct.Struct("<IIQ16s")
_DURABLE_V2_RESPONSE = struct.Struct("<II")
_RECONNECT_V2 = struct.Struct("<QQ16sI")

EA_BUFFER = b"ExtA"
SD_BUFFER = b"SecD"
DURABLE_HANDLE_REQUEST = b"DHnQ"
DURABLE_HANDLE_RECONNECT = b"DHnC"
ALLOCATION_SIZE = b"AlSi"
QUERY_MAXIMAL_ACCESS = b"MxAc"
TIMEWARP_TOKEN = b"TWrp"
QUERY_ON_DISK_ID = b"QFid"
REQUEST_LEASE = b"RqLs"
DURABLE_HANDLE_REQUEST_V2 = b"DH2Q"
DURABLE_HANDLE_RECONNECT_V2 = b"DH2C"
AAPL = b"AAPL"
APP_INSTANCE_ID = bytes.fromhex("45bca66aefa7f74a9008fa462e144d74")
APP_INSTANCE_VERSION = bytes.fromhex("b982d0b73b56074fa07b524a8116a010")
SVHDX_OPEN_DEVICE_CONTEXT = bytes.fromhex("9ccbcf9e04c1e643980e158da1f6ec83")
POSIX = bytes.fromhex("93ad25509cb411e7b42383de968bcd7c")

#: Most contexts of one request: a few times the number of types.
CONTEXTS_MAX = 64
#: Most EAs of one request: as many as a file can have on Windows in practice (64 KiB in all).
EAS_MAX = 1024


class CreateContext(NamedTuple):
    """One element of the chain.

    Reference: [MS-SMB2] 2.2.13.2.
    """

    name: bytes
    data: bytes = b""


def parse_create_contexts(data: Buffer) -> list[CreateContext]:
    """The chain in *data*, which ends where its CreateContextsLength says."""
    raw = bytes(data)
    contexts = []
    position, end, head = 0, len(raw), _ELEMENT.size
    while True:
        try:
            next_offset, name_at, name_size, _, data_at, data_size = _ELEMENT.unpack_from(raw, position)
        except struct.error:
            raise WireError(f"create context: {end - position} bytes at {position}") from None
        limit = next_offset or end - position
        if next_offset & 7 or limit > end - position or name_at + name_size > limit:
            raise WireError(
                f"create context: Next {next_offset}, name {name_at}+{name_size} at {position} of {end}"
            )
        if data_size and data_at + data_size > limit:
            raise WireError(f"create context: data {data_at}+{data_size} at {position} of {end}")
        if (name_size and name_at < head) or (data_size and data_at < head) or limit < head:
            raise WireError(f"create context: an offset points into the header at {position}")
        name = raw[position + name_at : position + name_at + name_size]
        content = raw[position + data_at : position + data_at + data_size] if data_size else b""
        contexts.append(CreateContext(name, content))
        if next_offset == 0:
            return contexts
        if len(contexts) == CONTEXTS_MAX:
            raise WireError(f"more than {CONTEXTS_MAX} create contexts")
        position += next_offset


def pack_create_contexts(contexts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The chain; names and data start at multiples of 8, the last element is not padded."""
    elements = []
    for name, data in contexts:
        head = name + padding(len(name))
        data_offset = _ELEMENT.size + len(head) if data else 0
        elements.append((name, head + data if data else name, data_offset, len(data)))
    out = bytearray()
    for index, (name, body, data_offset, data_length) in enumerate(elements):
        size = _ELEMENT.size + len(body)
        pad = padding(size) if index + 1 < len(elements) else b""
        next_offset = size + len(pad) if index + 1 < len(elements) else 0
        out += _ELEMENT.pack(next_offset, _ELEMENT.size, len(name), 0, data_offset, data_length)
        out += body + pad
    return bytes(out)


def find_create_context(contexts: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The data of the first context with this name; None if there is none."""
    for candidate, data in contexts:
        if candidate == name:
            return data
    return None


class QueryMaximalAccessRequest(msgspec.Struct):
    """*timestamp* None: the short form without it.

    Reference: [MS-SMB2] 2.2.13.2.5.
    """

    NAME: ClassVar[bytes] = QUERY_MAXIMAL_ACCESS
    timestamp: int | None = None

    @classmethod
    def parse(cls, data: Buffer) -> QueryMaximalAccessRequest:
        return cls(unpack(_U64, data, 0, "MxAc request")[0] if len(data) else None)

    def pack(self) -> bytes:
        return b"" if self.timestamp is None else _U64.pack(self.timestamp)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class QueryMaximalAccessResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.14.2.5."""

    NAME: ClassVar[bytes] = QUERY_MAXIMAL_ACCESS
    query_status: int = 0
    maximal_access: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> QueryMaximalAccessResponse:
        return cls(*unpack(_MAXIMAL_ACCESS, data, 0, "MxAc response"))

    def pack(self) -> bytes:
        return _MAXIMAL_ACCESS.pack(self.query_status, self.maximal_access)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class QueryOnDiskIdResponse(msgspec.Struct):
    """The request has no data.

    Reference: [MS-SMB2] 2.2.14.2.9.
    """

    NAME: ClassVar[bytes] = QUERY_ON_DISK_ID
    disk_file_id: int = 0
    volume_id: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> QueryOnDiskIdResponse:
        return cls(*unpack(_DISK_ID, data, 0, "QFid response")[:2])

    def pack(self) -> bytes:
        return _DISK_ID.pack(self.disk_file_id, self.volume_id, bytes(16))

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class AllocationSize(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.13.2.6."""

    NAME: ClassVar[bytes] = ALLOCATION_SIZE
    allocation_size: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> AllocationSize:
        return cls(unpack(_U64, data, 0, "AlSi")[0])

    def pack(self) -> bytes:
        return _U64.pack(self.allocation_size)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class EaBuffer(msgspec.Struct):
    """Extended attributes of the file to create.

    Reference: [MS-SMB2] 2.2.13.2.1.
    """

    NAME: ClassVar[bytes] = EA_BUFFER
    eas: list[FullEa] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> EaBuffer:
        return cls(parse_full_eas(data, count_max=EAS_MAX))

    def pack(self) -> bytes:
        return pack_full_eas(self.eas)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class SdBuffer(msgspec.Struct):
    """A self-relative security descriptor; `frevo.wire.dtyp.SecurityDescriptor.parse` reads it.

    Reference: [MS-SMB2] 2.2.13.2.2.
    """

    NAME: ClassVar[bytes] = SD_BUFFER
    security_descriptor: bytes = b""

    @classmethod
    def parse(cls, data: Buffer) -> SdBuffer:
        return cls(bytes(data))

    def pack(self) -> bytes:
        return self.security_descriptor

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class TimewarpToken(msgspec.Struct):
    """The snapshot to open, as a FILETIME.

    Reference: [MS-SMB2] 2.2.13.2.7.
    """

    NAME: ClassVar[bytes] = TIMEWARP_TOKEN
    timestamp: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> TimewarpToken:
        return cls(unpack(_U64, data, 0, "TWrp")[0])

    def pack(self) -> bytes:
        return _U64.pack(self.timestamp)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class Lease(msgspec.Struct):
    """RqLs of request and response, version 1 (32 bytes) or 2 (52 bytes).

    Reference: [MS-SMB2] 2.2.13.2.8, 2.2.13.2.10, 2.2.14.2.10 and 2.2.14.2.11.
    """

    NAME: ClassVar[bytes] = REQUEST_LEASE
    lease_key: bytes = bytes(16)
    lease_state: int = 0
    lease_flags: int = 0
    parent_lease_key: bytes = bytes(16)
    epoch: int = 0
    version: int = 1  #: not on the wire: follows from the length

    @classmethod
    def parse(cls, data: Buffer) -> Lease:
        if len(data) == _LEASE_V1.size:
            key, state, flags, _duration = unpack(_LEASE_V1, data, 0, "RqLs")
            return cls(key, state, flags)
        if len(data) != _LEASE_V2.size:
            raise WireError(f"RqLs: {len(data)} bytes")
        key, state, flags, _duration, parent, epoch, _reserved = unpack(_LEASE_V2, data, 0, "RqLs")
        return cls(key, state, flags, parent, epoch, 2)

    def pack(self) -> bytes:
        if self.version == 1:
            return _LEASE_V1.pack(self.lease_key, self.lease_state, self.lease_flags, 0)
        return _LEASE_V2.pack(
            self.lease_key, self.lease_state, self.lease_flags, 0, self.parent_lease_key, self.epoch, 0
        )

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleRequest(msgspec.Struct):
    """DHnQ, 16 reserved bytes; its response has 8.

    Reference: [MS-SMB2] 2.2.13.2.3.
    """

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleRequest:
        slice_of(data, 0, 16, "DHnQ")
        return cls()

    def pack(self) -> bytes:
        return bytes(16)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.14.2.3."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleResponse:
        slice_of(data, 0, 8, "DHnQ response")
        return cls()

    def pack(self) -> bytes:
        return bytes(8)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleReconnect(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.13.2.4."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_RECONNECT
    file_id: FileId = (0, 0)

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleReconnect:
        persistent, volatile = unpack(_FILE_ID, data, 0, "DHnC")
        return cls((persistent, volatile))

    def pack(self) -> bytes:
        return _FILE_ID.pack(*self.file_id)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleRequestV2(msgspec.Struct):
    """*timeout* in milliseconds, 0 for the server's default.

    Reference: [MS-SMB2] 2.2.13.2.11.
    """

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST_V2
    timeout: int = 0
    flags: int = 0
    create_guid: bytes = bytes(16)

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleRequestV2:
        timeout, flags, _reserved, guid = unpack(_DURABLE_V2, data, 0, "DH2Q")
        return cls(timeout, flags, guid)

    def pack(self) -> bytes:
        return _DURABLE_V2.pack(self.timeout, self.flags, 0, self.create_guid)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleResponseV2(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.14.2.12."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_REQUEST_V2
    timeout: int = 0
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleResponseV2:
        return cls(*unpack(_DURABLE_V2_RESPONSE, data, 0, "DH2Q response"))

    def pack(self) -> bytes:
        return _DURABLE_V2_RESPONSE.pack(self.timeout, self.flags)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())


class DurableHandleReconnectV2(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.13.2.12."""

    NAME: ClassVar[bytes] = DURABLE_HANDLE_RECONNECT_V2
    file_id: FileId = (0, 0)
    create_guid: bytes = bytes(16)
    flags: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> DurableHandleReconnectV2:
        persistent, volatile, guid, flags = unpack(_RECONNECT_V2, data, 0, "DH2C")
        return cls((persistent, volatile), guid, flags)

    def pack(self) -> bytes:
        return _RECONNECT_V2.pack(*self.file_id, self.create_guid, self.flags)

    def context(self) -> CreateContext:
        return CreateContext(self.NAME, self.pack())
