"""SMB over the NetBIOS session service ([RFC 1002] 4.3): TCP sockets, another framing.

The data plane answers SESSION REQUEST and ignores keepalives; a client that starts with a message is served
too, as other servers do.
"""

from __future__ import annotations

from frevo.transport.tcp import bind_listeners

__all__ = ["FRAMING", "bind_listeners"]

#: Framing of the data plane for this transport.
FRAMING = "nbt"
