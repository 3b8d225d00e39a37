"""SID: parse, pack, its S-1-… form, and the well-known ones ([MS-DTYP] 2.4.2)."""

from __future__ import annotations

import struct

import msgspec

from frevo.errors import WireError
from frevo.wire.codec import Buffer

SUB_AUTHORITIES_MAX = 15


class SID(msgspec.Struct, frozen=True, order=True):
    """A security identifier; hashable, and ordered only so that lists of them can be sorted.

    Reference: [MS-DTYP] 2.4.2.2.
    """

    authority: int
    sub_authorities: tuple[int, ...] = ()

    @classmethod
    def parse(cls, data: Buffer, offset: int = 0) -> SID:
        """The SID at *offset*; more data may follow it, `size` bytes later."""
        if offset < 0 or offset + 8 > len(data):
            raise WireError(f"SID at {offset} of {len(data)}")
        revision, count = data[offset], data[offset + 1]
        if revision != 1 or count > SUB_AUTHORITIES_MAX or offset + 8 + 4 * count > len(data):
            raise WireError(f"SID at {offset} of {len(data)}: revision {revision}, {count} sub-authorities")
        authority = int.from_bytes(data[offset + 2 : offset + 8], "big")
        return cls(authority, struct.unpack_from(f"<{count}I", data, offset + 8))

    def pack(self) -> bytes:
        count = len(self.sub_authorities)
        head = bytes((1, count)) + self.authority.to_bytes(6, "big")
        return head + struct.pack(f"<{count}I", *self.sub_authorities)

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 8 + 4 * len(self.sub_authorities)

    @classmethod
    def from_string(cls, text: str) -> SID:
        """The SID with this text form; ValueError if it is not one."""
        parts = text.upper().split("-")
        if len(parts) < 3 or parts[:2] != ["S", "1"] or len(parts) > 3 + SUB_AUTHORITIES_MAX:
            raise ValueError(f"not a SID: {text!r}")
        authority = int(parts[2], 16 if parts[2].startswith("0X") else 10)
        subs = tuple(int(part) for part in parts[3:])
        if not 0 <= authority < 1 << 48 or not all(0 <= sub < 1 << 32 for sub in subs):
            raise ValueError(f"not a SID: {text!r}")
        return cls(authority, subs)

    def __str__(self) -> str:
        authority = f"0x{self.authority:012x}" if self.authority >= 1 << 32 else str(self.authority)
        return "-".join(("S-1", authority, *map(str, self.sub_authorities)))

    def child(self, rid: int) -> SID:
        """This SID with one more sub-authority: an account of this domain."""
        return SID(self.authority, (*self.sub_authorities, rid))


NULL_SID = SID(0, (0,))
EVERYONE = SID(1, (0,))
LOCAL = SID(2, (0,))
CREATOR_OWNER = SID(3, (0,))
CREATOR_GROUP = SID(3, (1,))
OWNER_RIGHTS = SID(3, (4,))
NETWORK = SID(5, (2,))
INTERACTIVE = SID(5, (4,))
ANONYMOUS = SID(5, (7,))
AUTHENTICATED_USERS = SID(5, (11,))
LOCAL_SYSTEM = SID(5, (18,))
BUILTIN_ADMINISTRATORS = SID(5, (32, 544))
BUILTIN_USERS = SID(5, (32, 545))
BUILTIN_GUESTS = SID(5, (32, 546))
BUILTIN_BACKUP_OPERATORS = SID(5, (32, 551))

#: Samba's convention for Unix IDs without an account: S-1-22-1-uid and S-1-22-2-gid.
UNIX_USERS = SID(22, (1,))
UNIX_GROUPS = SID(22, (2,))

#: The convention of Windows' NFS and macOS for Unix IDs and modes: S-1-5-88-{1,2,3}-n.
NFS_USERS = SID(5, (88, 1))
NFS_GROUPS = SID(5, (88, 2))
NFS_MODE = SID(5, (88, 3))
