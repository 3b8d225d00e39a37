"""The client without async, for scripts and notebooks: the same names, run on one loop in a thread of its own."""

from __future__ import annotations

from frevo.client.blocking.share import BlockingFile, BlockingServer, BlockingShare, connect, connect_server

__all__ = ["BlockingFile", "BlockingServer", "BlockingShare", "connect", "connect_server"]
