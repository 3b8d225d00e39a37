"""Oplock and lease breaks: notification, acknowledgment and response ([MS-SMB2] 2.2.23 to 2.2.25).

The command is the same for both kinds; StructureSize tells them apart: 24 for oplocks, 44 (notification) or
36 for leases. `parse_break_acknowledgment` and `parse_break_notification` choose.
"""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed

_OPLOCK = struct.Struct("<HBBIQQ")
_LEASE_NOTIFICATION = struct.Struct("<HHI16sIIIII")
_LEASE = struct.Struct("<HHI16sIQ")


class OplockBreakNotification(msgspec.Struct):
    """Sent by the server with MessageId 0xFFFFFFFFFFFFFFFF.

    Reference: [MS-SMB2] 2.2.23.1.
    """

    oplock_level: int = 0
    file_id: FileId = (0, 0)

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> OplockBreakNotification:
        _, level, _reserved, _reserved2, persistent, volatile = fixed(
            _OPLOCK, message, offset, 24, "OPLOCK_BREAK"
        )
        return cls(level, (persistent, volatile))

    def pack(self) -> bytes:
        return _OPLOCK.pack(24, self.oplock_level, 0, 0, *self.file_id)


class OplockBreakAcknowledgment(OplockBreakNotification):
    """Reference: [MS-SMB2] 2.2.24.1."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> OplockBreakAcknowledgment:
        found = OplockBreakNotification.parse(message, offset)
        return cls(found.oplock_level, found.file_id)


class OplockBreakResponse(OplockBreakNotification):
    """Reference: [MS-SMB2] 2.2.25.1."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> OplockBreakResponse:
        found = OplockBreakNotification.parse(message, offset)
        return cls(found.oplock_level, found.file_id)


class LeaseBreakNotification(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.23.2."""

    new_epoch: int = 0
    flags: int = 0
    lease_key: bytes = bytes(16)
    current_lease_state: int = 0
    new_lease_state: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LeaseBreakNotification:
        _, epoch, flags, key, current, new, _reason, _access_hint, _share_hint = fixed(
            _LEASE_NOTIFICATION, message, offset, 44, "lease break notification"
        )
        return cls(epoch, flags, key, current, new)

    def pack(self) -> bytes:
        return _LEASE_NOTIFICATION.pack(
            44,
            self.new_epoch,
            self.flags,
            self.lease_key,
            self.current_lease_state,
            self.new_lease_state,
            0,
            0,
            0,
        )


class LeaseBreakAcknowledgment(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.24.2."""

    lease_key: bytes = bytes(16)
    lease_state: int = 0
    flags: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LeaseBreakAcknowledgment:
        _, _reserved, flags, key, state, _duration = fixed(
            _LEASE, message, offset, 36, "lease break acknowledgment"
        )
        return cls(key, state, flags)

    def pack(self) -> bytes:
        return _LEASE.pack(36, 0, self.flags, self.lease_key, self.lease_state, 0)


class LeaseBreakResponse(LeaseBreakAcknowledgment):
    """Reference: [MS-SMB2] 2.2.25.2."""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> LeaseBreakResponse:
        found = LeaseBreakAcknowledgment.parse(message, offset)
        return cls(found.lease_key, found.lease_state, found.flags)


def _structure_size(message: Buffer, offset: int) -> int:
    start = offset + HEADER_SIZE
    if start + 2 > len(message):
        raise WireError("OPLOCK_BREAK: no body")
    return message[start] | message[start + 1] << 8


def parse_break_acknowledgment(
    message: Buffer, offset: int = 0
) -> OplockBreakAcknowledgment | LeaseBreakAcknowledgment:
    """The acknowledgment that a client sent, of either kind."""
    if _structure_size(message, offset) == 36:
        return LeaseBreakAcknowledgment.parse(message, offset)
    return OplockBreakAcknowledgment.parse(message, offset)


def parse_break_notification(
    message: Buffer, offset: int = 0
) -> OplockBreakNotification | LeaseBreakNotification:
    """The notification that a server sent, of either kind."""
    if _structure_size(message, offset) == 44:
        return LeaseBreakNotification.parse(message, offset)
    return OplockBreakNotification.parse(message, offset)
