"""frevo: an SMB 3.1.1 file server and client for Linux. Python decides, a small Rust data plane moves the bytes.

`frevo.connect("smb://host/share", …)` opens a share; `frevo.client` has the rest of the client, loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # not `from frevo.client`, where type checkers may take `connect` for the module
    from frevo.client.connect import connect as connect
    from frevo.client.connect import connect_server as connect_server

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The client's names: a server does not load them."""
    if name in ("connect", "connect_server"):
        from frevo import client

        return getattr(client, name)
    raise AttributeError(f"module 'frevo' has no attribute {name!r}")
