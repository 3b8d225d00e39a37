"""Information about the server and the caller for the RPC services: RpcContext, with its ShareInfo and Names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from frevo.wire.dtyp import SID

#: Share types of [MS-SRVS] 2.2.2.4.
STYPE_DISKTREE = 0x00000000
STYPE_IPC = 0x00000003
STYPE_SPECIAL = 0x80000000
#: shi*_max_uses of a share without a limit ([MS-SRVS] 2.2.4.24).
UNLIMITED_USES = 0xFFFFFFFF


class ShareInfo(msgspec.Struct, frozen=True):
    """One share as shown by the browsing services.

    Only administrators see `path`. `security_descriptor` is self-relative, None if the share has none. A share that is
    not `browseable` is left out of enumerations, but can be queried by name.
    """

    name: str
    type: int = STYPE_DISKTREE
    comment: str = ""
    path: str = ""
    max_uses: int = UNLIMITED_USES
    current_uses: int = 0
    security_descriptor: bytes | None = None
    browseable: bool = True


class SidUse(IntEnum):
    """SID_NAME_USE: the type of account of a SID ([MS-LSAT] 2.2.13)."""

    USER = 1
    GROUP = 2
    DOMAIN = 3
    ALIAS = 4
    WELL_KNOWN_GROUP = 5
    UNKNOWN = 8


class Principal(msgspec.Struct, frozen=True):
    """An account or group with a name and a SID. *domain* is the domain of the name, "" for well-known ones."""

    sid: SID
    use: SidUse
    name: str
    domain: str = ""
    domain_sid: SID | None = None


class UserInfo(msgspec.Struct, frozen=True):
    """An account of this machine. Times are FILETIME."""

    rid: int
    name: str
    full_name: str = ""
    disabled: bool = False
    must_change: bool = False
    password_set: int = 0


class Names(Protocol):
    """The known accounts and groups."""

    @property
    def machine(self) -> str:
        """The name of this machine, which is the domain of its accounts."""

    @property
    def machine_sid(self) -> SID:
        """The SID that the SIDs of its accounts start with."""

    def of_sid(self, sid: SID) -> Principal | None:
        """The account or group with this SID."""

    def of_name(self, name: str) -> Principal | None:
        """The account or group with this name: NAME, DOMAIN\\NAME or NAME@DOMAIN, ignoring case."""

    def users(self) -> Sequence[UserInfo]:
        """The accounts of this machine, by RID."""

    def aliases(self) -> Sequence[Principal]:
        """The groups of BUILTIN, by RID."""

    def aliases_of(self, sid: SID) -> Sequence[int]:
        """The RIDs of the BUILTIN groups that contain the SID."""


class RpcContext(msgspec.Struct, frozen=True):
    """The server and the caller of an open pipe. `now` is a FILETIME (100 ns since 1601, UTC)."""

    server_name: str
    domain: str = "WORKGROUP"
    comment: str = ""
    shares: Sequence[ShareInfo] = ()
    is_admin: bool = False
    now: int = 0
    version_major: int = 6
    version_minor: int = 1
    logged_on_users: int = 0
    #: The accounts and groups; None for callers who may not look them up.
    names: Names | None = None
    #: Whether the caller may list them. Guests may only look up single ones.
    may_list: bool = False
    user: str = ""
    user_domain: str = ""
