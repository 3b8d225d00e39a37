"""QUERY_DIRECTORY: lists a directory, one buffer at a time ([MS-SMB2] 3.3.5.18, [MS-FSA] 2.1.5.6.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.server.core.turns import Slice
from frevo.server.rules.visibility import hides, visible
from frevo.server.rules.wildcards import Matcher, has_wildcards, is_too_long, matcher
from frevo.vfs.base import DirectoryItem, Handle
from frevo.vfs.names import disk_to_wire
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DIRECTORY_CLASSES, DirectoryEntry, DirectoryPacker, entry_fixed_size
from frevo.wire.smb2 import (
    DirectoryAccess,
    QueryDirectoryFlags,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
)

if TYPE_CHECKING:
    from frevo.server.core.server import Server

_LIST = int(DirectoryAccess.LIST_DIRECTORY)
_RESTART = int(QueryDirectoryFlags.RESTART_SCANS)
_REOPEN = int(QueryDirectoryFlags.REOPEN)
_SINGLE = int(QueryDirectoryFlags.RETURN_SINGLE_ENTRY)
#: The clock is read after this many names (a power of two minus one), as that costs as much as one name.
_LOOK = 15


class Enumeration:
    """The progress of an open in its listing. The pattern is that of the first request, until REOPEN changes it."""

    __slots__ = ("found_any", "items", "matches", "pattern", "pushed_back")

    def __init__(self, pattern: str, items: Iterator[DirectoryItem]) -> None:
        self.pattern = pattern
        self.matches: Matcher = matcher(pattern)
        self.items = items
        #: An item taken from `items` that did not fit into the last response.
        self.pushed_back: DirectoryItem | None = None
        self.found_any = False


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Answers with as many entries as fit; the next request continues after them."""
    fields = QueryDirectoryRequest.parse(request.message)
    opened = request.open
    handle = opened.handle
    if fields.output_buffer_length > request.connection.max_transact:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"OutputBufferLength {fields.output_buffer_length}")
    if handle is None or not opened.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "only directories can be listed")
    if fields.file_information_class not in DIRECTORY_CLASSES:
        raise SMBError(NTStatus.INVALID_INFO_CLASS, f"directory class {fields.file_information_class}")
    if fields.output_buffer_length < entry_fixed_size(fields.file_information_class):
        raise SMBError(NTStatus.INFO_LENGTH_MISMATCH, f"OutputBufferLength {fields.output_buffer_length}")
    if not opened.granted_access & _LIST:
        raise SMBError(NTStatus.ACCESS_DENIED, "listing needs FILE_LIST_DIRECTORY")
    listing = _enumeration(request.server, opened, handle, fields)
    packer = DirectoryPacker(fields.file_information_class, fields.output_buffer_length)
    entries_max = 1 if fields.flags & _SINGLE else -1
    if _fill(packer, listing, entries_max, request.server.turns.slice()):
        return _answer(packer, listing)
    return _go_on(request, packer, listing, entries_max)


def _enumeration(server: Server, opened: Open, handle: Handle, fields: QueryDirectoryRequest) -> Enumeration:
    """The listing of the open, started or restarted if necessary."""
    listing: Enumeration | None = opened.directory
    pattern = fields.file_name
    if listing is not None and not fields.flags & _REOPEN:
        if not fields.flags & _RESTART:
            return listing
        pattern = listing.pattern
    if "\\" in pattern or "/" in pattern:
        raise SMBError(NTStatus.OBJECT_NAME_INVALID, f"search pattern {pattern!r}")
    if is_too_long(pattern):
        raise SMBError(NTStatus.OBJECT_NAME_INVALID, f"a search pattern of {len(pattern)} characters")
    pattern = pattern or "*"
    if has_wildcards(pattern) or pattern in (".", ".."):
        if not opened.lists:  # a listing has its own descriptor
            server.budgets.descriptors.reserve(opened.session.user)
            opened.descriptors += 1
            opened.lists = True
        items = handle.list_directory()
    else:
        items = _one_name(opened, handle, pattern)
    if hides(opened.tree.share.config):
        items = visible(opened, handle, items)
    listing = opened.directory = Enumeration(pattern, items)
    return listing


def _one_name(opened: Open, handle: Handle, name: str) -> Iterator[DirectoryItem]:
    """The listing of a single name, found without reading the directory."""
    backend = opened.tree.backend
    if backend is None or ":" in name:
        return iter(())
    directory = handle.wire_path
    try:
        resolved = backend.resolve(f"{directory}\\{name}" if directory else name)
    except (OSError, SMBError):
        return iter(())
    if resolved.stat is None:
        return iter(())
    known = disk_to_wire(resolved.name)
    if not matcher(name)(known):
        known = name  # a name like `dot.`, which the mapping would change: it is listed as the client spells it
    return iter((DirectoryItem(known, resolved.stat),))


def _fill(packer: DirectoryPacker, listing: Enumeration, entries_max: int, piece: Slice) -> bool:
    """Packs entries until the buffer is full, *entries_max* are in it or the directory ends: True.

    False when *piece* is over and there are more names.
    """
    matches, append, items = listing.matches, packer.append, listing.items
    names = 0
    while True:
        names += 1
        if not names & _LOOK and piece.over():
            return False
        item = listing.pushed_back
        if item is None:
            item = next(items, None)
            if item is None:
                return True
            if not matches(item.name):
                continue
        if not append(_entry(item)):
            listing.pushed_back = item
            return True
        listing.pushed_back = None
        entries_max -= 1
        if not entries_max:
            return True


def _entry(item: DirectoryItem) -> DirectoryEntry:
    name, stat = item
    return DirectoryEntry(
        name, stat.attributes, stat.creation_time, stat.last_access_time, stat.last_write_time, stat.change_time,
        stat.end_of_file, stat.allocation_size, stat.file_id, 0, "", 0, stat.reparse_tag,
    )  # fmt: skip


async def _go_on(request: Request, packer: DirectoryPacker, listing: Enumeration, entries_max: int) -> bytes:
    """The rest of a long response, with turns for other requests in between."""
    turns, party = request.server.turns, request.connection.party
    while True:
        piece = await turns.next(party)
        left = entries_max - packer.count if entries_max > 0 else -1
        if _fill(packer, listing, left, piece):
            return _answer(packer, listing)


def _answer(packer: DirectoryPacker, listing: Enumeration) -> bytes:
    """The response, or the status that says why it would be empty."""
    if packer.count:
        listing.found_any = True
        return QueryDirectoryResponse(packer.finish()).pack()
    if listing.pushed_back is not None:
        raise SMBError(NTStatus.INFO_LENGTH_MISMATCH, "the buffer is too small for one entry")
    if listing.found_any:
        raise SMBError(NTStatus.NO_MORE_FILES, "the listing has ended")
    listing.found_any = True
    raise SMBError(NTStatus.NO_SUCH_FILE, f"nothing matches {listing.pattern!r}")
