"""DCE/RPC over named pipes, as far as a file server needs it: srvsvc and wkssvc for browsing, lsarpc and samr for
names and SIDs.

No I/O and no clock: the server opens a pipe with open_pipe(), writes the client's data to it and reads the responses.
[MS-RPCE], [MS-SRVS], [MS-WKST], [MS-LSAT], [MS-SAMR].
"""

from __future__ import annotations

from frevo.dcerpc.context import (
    STYPE_DISKTREE,
    STYPE_IPC,
    STYPE_SPECIAL,
    UNLIMITED_USES,
    RpcContext,
    ShareInfo,
)
from frevo.dcerpc.endpoint import PipeEndpoint
from frevo.dcerpc.interface import Interface
from frevo.dcerpc.lsarpc import LSARPC
from frevo.dcerpc.samr import SAMR
from frevo.dcerpc.srvsvc import SRVSVC
from frevo.dcerpc.wkssvc import WKSSVC

#: The supported pipes by lower-case name.
PIPES: dict[str, Interface] = {interface.name: interface for interface in (SRVSVC, WKSSVC, LSARPC, SAMR)}


def open_pipe(name: str, context: RpcContext) -> PipeEndpoint | None:
    """The pipe *name* (any case, with or without a leading backslash or PIPE\\); None if there is no such pipe."""
    plain = name.replace("/", "\\").lstrip("\\").casefold().removeprefix("pipe\\")
    interface = PIPES.get(plain)
    return None if interface is None else PipeEndpoint(interface, context)


__all__ = [
    "PIPES",
    "STYPE_DISKTREE",
    "STYPE_IPC",
    "STYPE_SPECIAL",
    "UNLIMITED_USES",
    "PipeEndpoint",
    "RpcContext",
    "ShareInfo",
    "open_pipe",
]
