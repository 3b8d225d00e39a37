"""One-line calls for the tests of the file handlers: list, query, set, lock, control."""

from __future__ import annotations

from typing import Any

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DirectoryEntry, FileInfoClass, parse_directory
from frevo.wire.smb2 import (
    Command,
    CreateOptions,
    InfoType,
    IoctlRequest,
    IoctlResponse,
    LockElement,
    LockFlags,
    LockRequest,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
    QueryInfoRequest,
    QueryInfoResponse,
    SetInfoRequest,
)
from pair.client import Client, FileId, Reply

SHARED = int(LockFlags.SHARED_LOCK)
EXCLUSIVE = int(LockFlags.EXCLUSIVE_LOCK)
UNLOCK = int(LockFlags.UNLOCK)
NOW = int(LockFlags.FAIL_IMMEDIATELY)


def folder(client: Client, name: str = "", **fields: Any) -> FileId:
    """Opens a directory, which is made if it does not exist."""
    return client.open(name, create_options=CreateOptions.DIRECTORY_FILE, **fields)


def list_call(client: Client, file_id: FileId, pattern: str = "*", **fields: Any) -> Reply:
    """QUERY_DIRECTORY."""
    values = {
        "file_information_class": FileInfoClass.ID_BOTH_DIRECTORY,
        "output_buffer_length": 65536,
        **fields,
    }
    return client.call(
        Command.QUERY_DIRECTORY, QueryDirectoryRequest(file_id=file_id, file_name=pattern, **values).pack()
    )


def entries(reply: Reply, info_class: int = FileInfoClass.ID_BOTH_DIRECTORY) -> list[DirectoryEntry]:
    """The entries of a QUERY_DIRECTORY response that must be a success."""
    return list(parse_directory(info_class, reply.ok(QueryDirectoryResponse).buffer))


def names(client: Client, file_id: FileId, pattern: str = "*", **fields: Any) -> list[str]:
    """All names of a listing, to its end."""
    found: list[str] = []
    while True:
        reply = list_call(client, file_id, pattern, **fields)
        if reply.status in (NTStatus.NO_MORE_FILES, NTStatus.NO_SUCH_FILE):
            return found
        found += [entry.name for entry in entries(reply)]
        fields["flags"] = 0


def query(
    client: Client,
    file_id: FileId,
    info_class: int,
    info_type: int = InfoType.FILE,
    size: int = 65536,
    **fields: Any,
) -> Reply:
    """QUERY_INFO."""
    asked = QueryInfoRequest(int(info_type), int(info_class), size, file_id=file_id, **fields)
    return client.call(Command.QUERY_INFO, asked.pack())


def queried(client: Client, file_id: FileId, kind: Any, info_class: int, **fields: Any) -> Any:
    """The information of a QUERY_INFO that must succeed, parsed as *kind*."""
    return kind.parse(query(client, file_id, info_class, **fields).ok(QueryInfoResponse).buffer)


def put(
    client: Client,
    file_id: FileId,
    info_class: int,
    buffer: bytes,
    info_type: int = InfoType.FILE,
    **fields: Any,
) -> NTStatus:
    """SET_INFO; its status."""
    asked = SetInfoRequest(int(info_type), int(info_class), file_id=file_id, buffer=buffer, **fields)
    return client.call(Command.SET_INFO, asked.pack()).status


def lock_body(file_id: FileId, *locks: tuple[int, int, int]) -> bytes:
    """A LOCK request of (offset, length, flags)."""
    return LockRequest(file_id, [LockElement(*lock) for lock in locks]).pack()


def lock(client: Client, file_id: FileId, *locks: tuple[int, int, int]) -> NTStatus:
    """LOCK; its final status."""
    return client.call(Command.LOCK, lock_body(file_id, *locks)).status


def control(
    client: Client, file_id: FileId, code: int, data: bytes = b"", size: int = 65536, **fields: Any
) -> Reply:
    """IOCTL."""
    asked = IoctlRequest(int(code), file_id, data, max_output_response=size, **fields)
    return client.call(Command.IOCTL, asked.pack())


def output(reply: Reply) -> bytes:
    """The output buffer of an IOCTL response, whatever its status."""
    return bytes(IoctlResponse.parse(reply.message).output_buffer)
