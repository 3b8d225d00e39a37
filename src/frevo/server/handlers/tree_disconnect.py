"""TREE_DISCONNECT: disconnects a share and closes its opens ([MS-SMB2] 3.3.5.8)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.server.core.request import Request
from frevo.server.lifecycle import all_closed, disconnect_tree
from frevo.wire.smb2 import TreeDisconnectRequest, TreeDisconnectResponse

_RESPONSE = TreeDisconnectResponse().pack()


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Closes all opens of the tree first."""
    TreeDisconnectRequest.parse(request.message)
    disconnect_tree(request.server, request.tree)
    return _when_closed(request) if request.tree.opens or request.session.closing else _RESPONSE


async def _when_closed(request: Request) -> bytes:
    """Answers once every open of the tree is closed and no operation on them is under way."""
    while request.tree.opens:
        await request.server.turns.next(request.connection.party)
    await all_closed(request.session)
    return _RESPONSE
