"""The requests that most operations consist of: opens for a purpose, queries and settings ([MS-SMB2] 2.2)."""

from __future__ import annotations

import functools

from frevo.client.address import in_snapshot, wire_path
from frevo.client.connection.messages import Element
from frevo.wire.dtyp.access import FILE_GENERIC_READ, FILE_GENERIC_WRITE
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    Command,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    FileAccess,
    InfoType,
    QueryInfoRequest,
    SetInfoRequest,
    ShareAccess,
    TimewarpToken,
)

SHARE_ALL = int(ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE)
READ_ATTRIBUTES = int(FileAccess.READ_ATTRIBUTES | FileAccess.SYNCHRONIZE)
WRITE_ATTRIBUTES = int(FileAccess.WRITE_ATTRIBUTES | FileAccess.SYNCHRONIZE)
LIST = int(FileAccess.READ_DATA | FileAccess.READ_ATTRIBUTES | FileAccess.SYNCHRONIZE)
DELETE = int(FileAccess.DELETE | FileAccess.READ_ATTRIBUTES | FileAccess.SYNCHRONIZE)
DIRECTORY = int(CreateOptions.DIRECTORY_FILE)
NOT_DIRECTORY = int(CreateOptions.NON_DIRECTORY_FILE)
THE_LINK_ITSELF = int(CreateOptions.OPEN_REPARSE_POINT)

_QUERY_BYTES = 65536


def opening(
    path: str,
    access: int,
    *,
    disposition: int = int(CreateDisposition.OPEN),
    options: int = 0,
    share_access: int = SHARE_ALL,
    attributes: int = 0,
) -> CreateRequest:
    """A CREATE request for *path* (slashes), which may begin with the name of a snapshot."""
    name = wire_path(path)
    contexts = []
    if name.startswith("@GMT-"):
        name, moment = in_snapshot(name)
        contexts = [TimewarpToken(moment).context()] if moment else []
    return CreateRequest(
        desired_access=access,
        file_attributes=attributes,
        share_access=share_access,
        create_disposition=int(disposition),
        create_options=options,
        name=name,
        contexts=contexts,
    )


#: The letter of a mode to its CreateDisposition; see `opening_for_mode`.
_DISPOSITIONS = {
    "r": CreateDisposition.OPEN,
    "w": CreateDisposition.OVERWRITE_IF,
    "x": CreateDisposition.CREATE,
    "a": CreateDisposition.OPEN_IF,
}


@functools.lru_cache(64)
def _access_and_disposition(mode: str) -> tuple[int, int]:
    letters = set(mode) - {"b"}
    kind = letters - {"+"}
    if len(kind) != 1 or not kind <= set(_DISPOSITIONS) or len(mode) != len(set(mode)):
        raise ValueError(f"mode {mode!r}: expected r, w, x or a, optionally with b and + (no text mode)")
    letter = kind.pop()
    read, write = letter == "r" or "+" in letters, letter != "r" or "+" in letters
    access = int(FileAccess.READ_ATTRIBUTES)
    access |= FILE_GENERIC_READ if read else 0
    access |= FILE_GENERIC_WRITE if write else 0
    return int(access), int(_DISPOSITIONS[letter])


def opening_for_mode(path: str, mode: str, share_access: int) -> CreateRequest:
    """CREATE for a mode of the built-in open(): r, w, x or a, with b and + if you like. ValueError for others."""
    access, disposition = _access_and_disposition(mode)
    return opening(path, access, disposition=disposition, options=NOT_DIRECTORY, share_access=share_access)


def query_file(info_class: int, file_id: tuple[int, int] = ANY_FILE_ID, size: int = _QUERY_BYTES) -> Element:
    """QUERY_INFO of a file information class."""
    body = QueryInfoRequest(int(InfoType.FILE), int(info_class), size, file_id=file_id).pack()
    return Element(Command.QUERY_INFO, body)


def query_file_system(info_class: int) -> Element:
    """QUERY_INFO of a file system information class, in a compound."""
    body = QueryInfoRequest(int(InfoType.FILESYSTEM), int(info_class), 4096, file_id=ANY_FILE_ID).pack()
    return Element(Command.QUERY_INFO, body)


def query_security(what: int) -> Element:
    """QUERY_INFO of the security descriptor's parts *what*, in a compound."""
    body = QueryInfoRequest(
        int(InfoType.SECURITY), 0, _QUERY_BYTES, additional_information=what, file_id=ANY_FILE_ID
    ).pack()
    return Element(Command.QUERY_INFO, body)


def set_file(info_class: int, data: bytes, file_id: tuple[int, int] = ANY_FILE_ID) -> Element:
    """SET_INFO of a file information class."""
    body = SetInfoRequest(int(InfoType.FILE), int(info_class), 0, file_id, data).pack()
    return Element(Command.SET_INFO, body)


def set_security(what: int, data: bytes) -> Element:
    """SET_INFO of the security descriptor's parts *what*, in a compound."""
    body = SetInfoRequest(int(InfoType.SECURITY), 0, what, ANY_FILE_ID, data).pack()
    return Element(Command.SET_INFO, body)
