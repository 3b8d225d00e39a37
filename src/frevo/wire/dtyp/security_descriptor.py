"""SecurityDescriptor in its self-relative form ([MS-DTYP] 2.4.6)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Bits, Buffer, unpack
from frevo.wire.dtyp.acl import ACL
from frevo.wire.dtyp.sid import SID

_LAYOUT = struct.Struct("<BBHIIII")


class SecurityDescriptorControl(Bits):
    """Reference: [MS-DTYP] 2.4.6."""

    OWNER_DEFAULTED = 0x0001
    GROUP_DEFAULTED = 0x0002
    DACL_PRESENT = 0x0004
    DACL_DEFAULTED = 0x0008
    SACL_PRESENT = 0x0010
    SACL_DEFAULTED = 0x0020
    DACL_TRUSTED = 0x0040
    SERVER_SECURITY = 0x0080
    DACL_COMPUTED_INHERITANCE_REQUIRED = 0x0100
    SACL_COMPUTED_INHERITANCE_REQUIRED = 0x0200
    DACL_AUTO_INHERITED = 0x0400
    SACL_AUTO_INHERITED = 0x0800
    DACL_PROTECTED = 0x1000
    SACL_PROTECTED = 0x2000
    RM_CONTROL_VALID = 0x4000
    SELF_RELATIVE = 0x8000


_DACL_PRESENT = SecurityDescriptorControl.DACL_PRESENT.value
_SACL_PRESENT = SecurityDescriptorControl.SACL_PRESENT.value
_SELF_RELATIVE = SecurityDescriptorControl.SELF_RELATIVE.value


class SecurityDescriptor(msgspec.Struct):
    """Owner, group and lists; each may be absent. DACL_PRESENT in *control* with dacl None is the null DACL: everyone
    has full access. `pack` adds SELF_RELATIVE and the PRESENT bit of each list that exists.

    Reference: [MS-DTYP] 2.4.6.
    """

    owner: SID | None = None
    group: SID | None = None
    dacl: ACL | None = None
    sacl: ACL | None = None
    control: int = 0
    rm_control: int = 0  #: Sbz1, a byte for the resource manager when RM_CONTROL_VALID is set

    @classmethod
    def parse(cls, data: Buffer) -> SecurityDescriptor:
        """The descriptor in *data*; a list without its PRESENT bit is ignored."""
        revision, rm_control, control, owner, group, sacl, dacl = unpack(
            _LAYOUT, data, 0, "security descriptor"
        )
        if revision != 1:
            raise WireError(f"security descriptor: revision {revision}")
        for offset in (owner, group, sacl, dacl):
            if 0 < offset < _LAYOUT.size:
                raise WireError(f"security descriptor: offset {offset} points into its header")
        return cls(
            owner=SID.parse(data, owner) if owner else None,
            group=SID.parse(data, group) if group else None,
            dacl=ACL.parse(data, dacl) if dacl and control & _DACL_PRESENT else None,
            sacl=ACL.parse(data, sacl) if sacl and control & _SACL_PRESENT else None,
            control=control,
            rm_control=rm_control,
        )

    def pack(self) -> bytes:
        """Header, owner, group, SACL, DACL: the order of Windows' file systems."""
        control = self.control | _SELF_RELATIVE
        control |= _DACL_PRESENT if self.dacl is not None else 0
        control |= _SACL_PRESENT if self.sacl is not None else 0
        body = b""
        offsets = []
        for part in (self.owner, self.group, self.sacl, self.dacl):
            offsets.append(_LAYOUT.size + len(body) if part is not None else 0)
            body += part.pack() if part is not None else b""
        return _LAYOUT.pack(1, self.rm_control, control, *offsets) + body
