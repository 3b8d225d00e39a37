"""What the RPC services know about the server and the caller: RpcContext and ShareInfo, which it gives."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

#: Share types of [MS-SRVS] 2.2.2.4.
STYPE_DISKTREE = 0x00000000
STYPE_PRINTQ = 0x00000001
STYPE_IPC = 0x00000003
STYPE_SPECIAL = 0x80000000
#: shi*_max_uses of a share without a limit ([MS-SRVS] 2.2.4.24).
UNLIMITED_USES = 0xFFFFFFFF


class ShareInfo(msgspec.Struct, frozen=True):
    """One exported share as the browsing services show it.

    `path` is shown to administrators only. `security_descriptor` is self-relative, None when the share has
    none. A share that is not `browseable` is left out of enumerations; asked for by name it is described.
    """

    name: str
    type: int = STYPE_DISKTREE
    comment: str = ""
    path: str = ""
    max_uses: int = UNLIMITED_USES
    current_uses: int = 0
    security_descriptor: bytes | None = None
    browseable: bool = True


class RpcContext(msgspec.Struct, frozen=True):
    """The server and the caller when a pipe is opened. `now` is a FILETIME (100 ns since 1601, UTC)."""

    server_name: str
    domain: str = "WORKGROUP"
    comment: str = ""
    shares: Sequence[ShareInfo] = ()
    is_admin: bool = False
    now: int = 0
    version_major: int = 6
    version_minor: int = 1
    logged_on_users: int = 0
