"""ACE and ACL: access control entries and lists ([MS-DTYP] 2.4.4 and 2.4.5)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Bits, Buffer, OpenEnum, padding, slice_of, unpack
from frevo.wire.dtyp.sid import NULL_SID, SID

_ACE = struct.Struct("<BBH")
_MASK = struct.Struct("<I")
_ACL = struct.Struct("<BxHH2x")


class AceType(OpenEnum):
    """Reference: [MS-DTYP] 2.4.4.1."""

    ACCESS_ALLOWED = 0x00
    ACCESS_DENIED = 0x01
    SYSTEM_AUDIT = 0x02
    SYSTEM_ALARM = 0x03
    ACCESS_ALLOWED_COMPOUND = 0x04
    ACCESS_ALLOWED_OBJECT = 0x05
    ACCESS_DENIED_OBJECT = 0x06
    SYSTEM_AUDIT_OBJECT = 0x07
    ACCESS_ALLOWED_CALLBACK = 0x09
    ACCESS_DENIED_CALLBACK = 0x0A
    ACCESS_ALLOWED_CALLBACK_OBJECT = 0x0B
    ACCESS_DENIED_CALLBACK_OBJECT = 0x0C
    SYSTEM_AUDIT_CALLBACK = 0x0D
    SYSTEM_AUDIT_CALLBACK_OBJECT = 0x0F
    SYSTEM_MANDATORY_LABEL = 0x11
    SYSTEM_RESOURCE_ATTRIBUTE = 0x12
    SYSTEM_SCOPED_POLICY_ID = 0x13


class AceFlags(Bits):
    """Reference: [MS-DTYP] 2.4.4.1."""

    OBJECT_INHERIT = 0x01
    CONTAINER_INHERIT = 0x02
    NO_PROPAGATE_INHERIT = 0x04
    INHERIT_ONLY = 0x08
    INHERITED = 0x10
    SUCCESSFUL_ACCESS = 0x40
    FAILED_ACCESS = 0x80


#: Types whose body is an access mask and a SID, perhaps followed by application data.
_MASK_AND_SID = frozenset({0x00, 0x01, 0x02, 0x03, 0x09, 0x0A, 0x0D, 0x0E, 0x11, 0x12, 0x13})


class ACE(msgspec.Struct, frozen=True):
    """One entry. For types that consist of mask and SID, *data* is what follows them; for all others it is everything
    after the 4-byte header, and mask and sid mean nothing.

    Reference: [MS-DTYP] 2.4.4.
    """

    ace_type: int = 0
    flags: int = 0
    mask: int = 0
    sid: SID = NULL_SID
    data: bytes = b""

    @classmethod
    def parse(cls, data: Buffer, offset: int = 0) -> tuple[ACE, int]:
        """The entry at *offset* and its AceSize."""
        ace_type, flags, size = unpack(_ACE, data, offset, "ACE")
        if size < _ACE.size:
            raise WireError(f"ACE at {offset}: AceSize {size}")
        body = slice_of(data, offset + _ACE.size, size - _ACE.size, "ACE")
        if ace_type not in _MASK_AND_SID:
            return cls(ace_type, flags, data=bytes(body)), size
        (mask,) = unpack(_MASK, body, 0, "ACE mask")
        sid = SID.parse(body, _MASK.size)
        return cls(ace_type, flags, mask, sid, bytes(body[_MASK.size + sid.size :])), size

    def pack(self) -> bytes:
        """The entry, its size a multiple of 4."""
        body = self.data
        if self.ace_type in _MASK_AND_SID:
            body = _MASK.pack(self.mask) + self.sid.pack() + self.data
        body += padding(len(body), 4)
        return _ACE.pack(self.ace_type, self.flags, _ACE.size + len(body)) + body


class ACL(msgspec.Struct):
    """A list of entries in the order in which they are evaluated.

    Reference: [MS-DTYP] 2.4.5.
    """

    aces: list[ACE] = msgspec.field(default_factory=list)
    revision: int = 2

    @classmethod
    def parse(cls, data: Buffer, offset: int = 0) -> ACL:
        """The ACL at *offset*; unused space after the last entry is dropped."""
        revision, size, count = unpack(_ACL, data, offset, "ACL")
        if size < _ACL.size or revision not in (2, 4):
            raise WireError(f"ACL at {offset}: revision {revision}, AclSize {size}")
        body = slice_of(data, offset, size, "ACL")
        aces = []
        position = _ACL.size
        for _ in range(count):
            ace, ace_size = ACE.parse(body, position)
            aces.append(ace)
            position += ace_size
        return cls(aces, revision)

    def pack(self) -> bytes:
        """The list; WireError if its size does not fit into 16 bits."""
        body = b"".join(ace.pack() for ace in self.aces)
        if _ACL.size + len(body) > 0xFFFF:
            raise WireError(f"ACL: {len(body)} bytes of entries")
        return _ACL.pack(self.revision, _ACL.size + len(body), len(self.aces)) + body
