"""The client: `connect` to a share and work with the files there."""

from __future__ import annotations

from frevo.client.address import Location
from frevo.client.connect import Options, connect, connect_server
from frevo.client.credentials import Credentials
from frevo.client.errors import ConnectionLost, LogonError, RemoteError
from frevo.client.server import Server
from frevo.client.share.file import File
from frevo.client.share.listing import DirEntry
from frevo.client.share.share import Share
from frevo.client.share.watch import Change
from frevo.client.tree.stat import FileSystemSpace, ShareEntry, Stat

__all__ = [
    "Change",
    "ConnectionLost",
    "Credentials",
    "DirEntry",
    "File",
    "FileSystemSpace",
    "Location",
    "LogonError",
    "Options",
    "RemoteError",
    "Server",
    "Share",
    "ShareEntry",
    "Stat",
    "connect",
    "connect_server",
]
