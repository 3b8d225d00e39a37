"""TREE_DISCONNECT: closes what is open in a share and leaves it ([MS-SMB2] 3.3.5.8)."""

from __future__ import annotations

from collections.abc import Awaitable

from frevo.server.core.request import Request
from frevo.server.lifecycle import all_closed, disconnect_tree
from frevo.wire.smb2 import TreeDisconnectRequest, TreeDisconnectResponse

_RESPONSE = TreeDisconnectResponse().pack()


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Everything open in the tree is closed first."""
    TreeDisconnectRequest.parse(request.message)
    disconnect_tree(request.server, request.tree)
    return _when_closed(request) if request.tree.opens or request.session.closing else _RESPONSE


async def _when_closed(request: Request) -> bytes:
    """Answers once every open of the tree is closed and no operation on them is under way."""
    while request.tree.opens:
        await request.server.turns.next(request.connection.party)
    await all_closed(request.session)
    return _RESPONSE
