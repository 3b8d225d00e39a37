"""Small files in one round trip: open, move the data and close in one compound ([MS-SMB2] 3.2.4.1.4)."""

from __future__ import annotations

from frevo.client import requests
from frevo.client.connection import Element
from frevo.client.file import request_for
from frevo.client.tree import Tree
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileInfoClass
from frevo.wire.smb2 import ANY_FILE_ID, Command, ReadRequest, ReadResponse, WriteRequest

#: What one credit pays for.
SMALL_BYTES = 65536


async def read_small(tree: Tree, path: str, size: int) -> bytes:
    """The first *size* bytes (at most SMALL_BYTES) of a file."""
    body = ReadRequest(ANY_FILE_ID, 0, max(size, 1)).pack()
    read = Element(Command.READ, body)
    request = request_for(path, "r", requests.SHARE_ALL)
    _, (reply,) = await tree.with_open(request, path, read, allow=(NTStatus.END_OF_FILE,))
    if reply.status == NTStatus.END_OF_FILE:
        return b""
    return bytes(ReadResponse.parse(reply.message).data)


async def write_small(tree: Tree, path: str, data: bytes, modified_ns: int | None) -> None:
    """Makes or replaces a file of at most SMALL_BYTES, with its time of modification."""
    middle = [Element(Command.WRITE, WriteRequest(ANY_FILE_ID, 0, data).pack())] if data else []
    if modified_ns is not None:
        basic = FileBasicInformation(0, 0, from_unix_ns(modified_ns), 0, 0).pack()
        middle.append(requests.set_file(FileInfoClass.BASIC, basic))
    await tree.with_open(request_for(path, "w", requests.SHARE_ALL), path, *middle)
