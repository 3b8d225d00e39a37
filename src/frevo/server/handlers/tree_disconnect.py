"""TREE_DISCONNECT: closes what is open in a share and leaves it ([MS-SMB2] 3.3.5.8)."""

from __future__ import annotations

from frevo.server.lifecycle import disconnect_tree
from frevo.server.request import Request
from frevo.wire.smb2 import TreeDisconnectRequest, TreeDisconnectResponse


def handle(request: Request) -> bytes:
    """Everything open in the tree is closed first."""
    TreeDisconnectRequest.parse(request.message)
    disconnect_tree(request.server, request.tree)
    return TreeDisconnectResponse().pack()
