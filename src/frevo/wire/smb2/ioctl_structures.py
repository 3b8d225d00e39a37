"""The IOCTL structures that [MS-SMB2] itself defines: server-side copy, network interfaces, negotiate validation.

Each class parses and packs the InputBuffer or OutputBuffer alone ([MS-SMB2] 2.2.31.1 to 2.2.32.6).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TypeAlias

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Bits, Buffer, Cursor, encode_utf16, unpack
from frevo.wire.fscc.ea import chain

_COPY_HEAD = struct.Struct("<24sII")
_CHUNK = struct.Struct("<QQII")
_COPY_RESPONSE = struct.Struct("<III")
_RESUME_KEY = struct.Struct("<24sI")
_VALIDATE_REQUEST = struct.Struct("<I16sHH")
_VALIDATE_RESPONSE = struct.Struct("<I16sHH")
_INTERFACE = struct.Struct("<IIIIQ128s")
_SNAPSHOTS = struct.Struct("<III")
_RESILIENCY = struct.Struct("<II")
_IPV4 = struct.Struct("<HH4s8s")
_IPV6 = struct.Struct("<HHI16sI")
_READ_HASH = struct.Struct("<IIIIQ")

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class SrvCopychunk(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.31.1.1."""

    source_offset: int = 0
    target_offset: int = 0
    length: int = 0


class SrvCopychunkCopy(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.31.1."""

    source_key: bytes = bytes(24)
    chunks: list[SrvCopychunk] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> SrvCopychunkCopy:
        cursor = Cursor(data, "SRV_COPYCHUNK_COPY")
        key, count, _reserved = cursor.unpack(_COPY_HEAD)
        elements = _CHUNK.iter_unpack(cursor.view(count * _CHUNK.size))
        return cls(key, [SrvCopychunk(source, target, length) for source, target, length, _ in elements])

    def pack(self) -> bytes:
        head = _COPY_HEAD.pack(self.source_key, len(self.chunks), 0)
        return head + b"".join(
            _CHUNK.pack(c.source_offset, c.target_offset, c.length, 0) for c in self.chunks
        )


class SrvCopychunkResponse(msgspec.Struct):
    """With INVALID_PARAMETER, the three fields are the limits of the server instead.

    Reference: [MS-SMB2] 2.2.32.1.
    """

    chunks_written: int = 0
    chunk_bytes_written: int = 0
    total_bytes_written: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> SrvCopychunkResponse:
        return cls(*unpack(_COPY_RESPONSE, data, 0, "SRV_COPYCHUNK_RESPONSE"))

    def pack(self) -> bytes:
        return _COPY_RESPONSE.pack(self.chunks_written, self.chunk_bytes_written, self.total_bytes_written)


class SrvRequestResumeKeyResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.32.3."""

    resume_key: bytes = bytes(24)

    @classmethod
    def parse(cls, data: Buffer) -> SrvRequestResumeKeyResponse:
        return cls(unpack(_RESUME_KEY, data, 0, "SRV_REQUEST_RESUME_KEY")[0])

    def pack(self) -> bytes:
        # Context is empty, but Windows and Samba send four bytes for it.
        return _RESUME_KEY.pack(self.resume_key, 0) + bytes(4)


class SrvSnapshotArray(msgspec.Struct):
    """*snapshots* are "@GMT-YYYY.MM.DD-HH.MM.SS" tokens; *size* is the size of all of them, if they did not fit.

    Reference: [MS-SMB2] 2.2.32.2.
    """

    number_of_snapshots: int = 0
    snapshots: list[str] = msgspec.field(default_factory=list)
    size: int | None = None

    @classmethod
    def parse(cls, data: Buffer) -> SrvSnapshotArray:
        cursor = Cursor(data, "SRV_SNAPSHOT_ARRAY")
        total, returned, size = cursor.unpack(_SNAPSHOTS)
        text = cursor.utf16(size) if returned else ""
        return cls(total, [name for name in text.split("\0") if name][:returned], size)

    def pack(self) -> bytes:
        raw = encode_utf16("".join(name + "\0" for name in self.snapshots)) + bytes(2)
        size = len(raw) if self.size is None else self.size
        return _SNAPSHOTS.pack(self.number_of_snapshots, len(self.snapshots), size) + raw


class NetworkResiliencyRequest(msgspec.Struct):
    """*timeout* in milliseconds.

    Reference: [MS-SMB2] 2.2.31.3.
    """

    timeout: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> NetworkResiliencyRequest:
        return cls(unpack(_RESILIENCY, data, 0, "NETWORK_RESILIENCY_REQUEST")[0])

    def pack(self) -> bytes:
        return _RESILIENCY.pack(self.timeout, 0)


class ValidateNegotiateInfoRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.31.4."""

    capabilities: int = 0
    guid: bytes = bytes(16)
    security_mode: int = 0
    dialects: list[int] = msgspec.field(default_factory=list)

    @classmethod
    def parse(cls, data: Buffer) -> ValidateNegotiateInfoRequest:
        cursor = Cursor(data, "VALIDATE_NEGOTIATE_INFO request")
        capabilities, guid, mode, count = cursor.unpack(_VALIDATE_REQUEST)
        return cls(capabilities, guid, mode, list(struct.unpack(f"<{count}H", cursor.view(2 * count))))

    def pack(self) -> bytes:
        count = len(self.dialects)
        head = _VALIDATE_REQUEST.pack(self.capabilities, self.guid, self.security_mode, count)
        return head + struct.pack(f"<{count}H", *self.dialects)


class ValidateNegotiateInfoResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.32.6."""

    capabilities: int = 0
    guid: bytes = bytes(16)
    security_mode: int = 0
    dialect: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> ValidateNegotiateInfoResponse:
        return cls(*unpack(_VALIDATE_RESPONSE, data, 0, "VALIDATE_NEGOTIATE_INFO response"))

    def pack(self) -> bytes:
        return _VALIDATE_RESPONSE.pack(self.capabilities, self.guid, self.security_mode, self.dialect)


class InterfaceCapability(Bits):
    """Reference: [MS-SMB2] 2.2.32.5."""

    RSS_CAPABLE = 0x00000001
    RDMA_CAPABLE = 0x00000002


class NetworkInterfaceInfo(msgspec.Struct):
    """One address of one interface; *address* is None if the family is neither IPv4 nor IPv6.

    Reference: [MS-SMB2] 2.2.32.5.
    """

    if_index: int = 0
    capability: int = 0
    link_speed: int = 0  #: bits per second
    address: IPAddress | None = None
    port: int = 0


def pack_network_interfaces(interfaces: list[NetworkInterfaceInfo]) -> bytes:
    """The OutputBuffer of QUERY_NETWORK_INTERFACE_INFO."""
    return chain([_pack_interface(interface) for interface in interfaces], 8)


def parse_network_interfaces(data: Buffer) -> list[NetworkInterfaceInfo]:
    """The interfaces in that buffer; an empty buffer is an empty list."""
    found: list[NetworkInterfaceInfo] = []
    position = 0
    while len(data):
        next_offset, index, capability, _reserved, speed, storage = unpack(
            _INTERFACE, data, position, "NETWORK_INTERFACE_INFO"
        )
        found.append(NetworkInterfaceInfo(index, capability, speed, *_parse_socket_address(storage)))
        if next_offset == 0:
            break
        if next_offset < _INTERFACE.size:
            raise WireError(f"NETWORK_INTERFACE_INFO: Next {next_offset} at {position}")
        position += next_offset
    return found


def _pack_interface(interface: NetworkInterfaceInfo) -> bytes:
    address, storage = interface.address, b""
    # Family is little-endian and port big-endian ([MS-SMB2] 2.2.32.5.1).
    port = int.from_bytes(interface.port.to_bytes(2, "big"), "little")
    if isinstance(address, ipaddress.IPv4Address):
        storage = _IPV4.pack(2, port, address.packed, bytes(8))
    elif isinstance(address, ipaddress.IPv6Address):
        storage = _IPV6.pack(0x17, port, 0, address.packed, 0)
    return _INTERFACE.pack(0, interface.if_index, interface.capability, 0, interface.link_speed, storage)


def _parse_socket_address(storage: bytes) -> tuple[IPAddress | None, int]:
    family = int.from_bytes(storage[:2], "little")
    port = int.from_bytes(storage[2:4], "big")
    if family == 2:
        return ipaddress.IPv4Address(storage[4:8]), port
    if family == 0x17:
        return ipaddress.IPv6Address(storage[8:24]), port
    return None, port


class SrvReadHashRequest(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.31.2."""

    hash_type: int = 1
    hash_version: int = 1
    hash_retrieval_type: int = 1
    length: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> SrvReadHashRequest:
        return cls(*unpack(_READ_HASH, data, 0, "SRV_READ_HASH"))

    def pack(self) -> bytes:
        return _READ_HASH.pack(
            self.hash_type, self.hash_version, self.hash_retrieval_type, self.length, self.offset
        )
