"""Small files in one round trip: open, move the data and close in one compound ([MS-SMB2] 3.2.4.1.4)."""

from __future__ import annotations

import contextlib

from frevo.client.connection.messages import Element, Reply
from frevo.client.errors import remote_error
from frevo.client.tree import requests
from frevo.client.tree.tree import Tree, create_error
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileDispositionInformation, FileInfoClass
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    Command,
    WriteRequest,
    WriteResponse,
    pack_read_request,
    read_data,
)

#: The bytes that one credit covers; larger files need several requests.
SMALL_BYTES = 65536
_CLOSE = Element(Command.CLOSE, CloseRequest(0, ANY_FILE_ID).pack())


async def read_small(tree: Tree, path: str, size: int) -> bytes:
    """The first *size* bytes (at most SMALL_BYTES) of a file."""
    create = Element(Command.CREATE, requests.opening_for_mode(path, "r", requests.SHARE_ALL).pack())
    read = Element(Command.READ, pack_read_request(ANY_FILE_ID, 0, max(size, 1)))
    opened, answer, _ = await tree.call((create, read, _CLOSE))
    if opened.status or answer.status not in (0, NTStatus.END_OF_FILE):
        raise remote_error(opened.status or answer.status, path)
    return read_data(answer.message) if not answer.status else b""


async def write_small(tree: Tree, path: str, data: bytes, modified_ns: int | None) -> None:
    """Creates or replaces a file of at most SMALL_BYTES, with its modification time.

    If it was opened but its data could not be written, it is removed, as its old content is already gone.
    """
    request = requests.opening_for_mode(path, "w", requests.SHARE_ALL)
    elements = [Element(Command.CREATE, request.pack())]
    if data:
        elements.append(Element(Command.WRITE, WriteRequest(ANY_FILE_ID, 0, data).pack()))
    if modified_ns is not None:
        basic = FileBasicInformation(0, 0, from_unix_ns(modified_ns), 0, 0).pack()
        elements.append(requests.set_file(FileInfoClass.BASIC, basic))
    elements.append(_CLOSE)
    replies = await tree.call(elements)
    if replies[0].status:
        raise create_error(replies[0].status, path, request)
    failed = next((reply.status for reply in replies if reply.status), 0)
    if not failed and data and _written(replies[1]) != len(data):
        failed = int(NTStatus.DISK_FULL)
    if failed:
        if data:
            await _remove(tree, path)
        raise remote_error(failed, path)


def _written(reply: Reply) -> int:
    return WriteResponse.parse(reply.message).count


async def _remove(tree: Tree, path: str) -> None:
    request = requests.opening(path, requests.DELETE, options=requests.NOT_DIRECTORY)
    disposition = requests.set_file(FileInfoClass.DISPOSITION, FileDispositionInformation(True).pack())
    with contextlib.suppress(OSError):
        await tree.with_open(request, path, disposition)
