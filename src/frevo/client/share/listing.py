"""Directories: entries with their attributes page by page, walking and globbing ([MS-SMB2] 3.3.5.18)."""

from __future__ import annotations

import errno
import fnmatch
import re
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from frevo.client.address import join
from frevo.client.connection.messages import Element, FileId, Pending
from frevo.client.errors import RemoteError, remote_error
from frevo.client.lasting.retry import Attempts
from frevo.client.lasting.tree import LastingTree
from frevo.client.tree import requests
from frevo.client.tree.stat import Stat
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DirectoryEntry as RawEntry
from frevo.wire.fscc import FileInfoClass, parse_directory
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    Command,
    CreateResponse,
    FileAttributes,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
)

#: Bytes of one page of a listing.
PAGE_BYTES = 512 * 1024
_FIRST_PAGE_BYTES = 65536
_CLASS = int(FileInfoClass.ID_BOTH_DIRECTORY)
_DIRECTORY = int(FileAttributes.DIRECTORY)
_REPARSE = int(FileAttributes.REPARSE_POINT)
#: Invalid names that an error lists.
_UNUSABLE_NAMED = 3
#: Most levels that a pattern searches; no real directory tree is deeper.
_LEVELS_MAX = 400
_END = (NTStatus.NO_MORE_FILES, NTStatus.NO_SUCH_FILE)


class UnusableNames(RemoteError):
    """The server lists names that no file can have. Raised after all other entries."""

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        listed = ", ".join(map(repr, names))
        text = f"the server listed invalid names such as {listed[:200]}: they were skipped"
        super().__init__(errno.EILSEQ, text, directory)
        self.ntstatus = NTStatus.OBJECT_NAME_INVALID


class DirEntry(msgspec.Struct):
    """One name in a directory with its metadata from the listing; `stat` needs no request."""

    name: str
    directory: str
    raw: RawEntry

    @property
    def path(self) -> str:
        """The path within the share."""
        return join(self.directory, self.name)

    def is_dir(self) -> bool:
        """A directory."""
        return bool(self.raw.file_attributes & _DIRECTORY)

    def is_symlink(self) -> bool:
        """A symbolic link or another reparse point."""
        return bool(self.raw.file_attributes & _REPARSE)

    def is_file(self) -> bool:
        """Neither."""
        return not self.raw.file_attributes & (_DIRECTORY | _REPARSE)

    def stat(self) -> Stat:
        """The metadata from the listing."""
        raw = self.raw
        return Stat(
            raw.end_of_file, raw.file_attributes, raw.creation_time, raw.last_access_time,
            raw.last_write_time, raw.change_time, raw.allocation_size, raw.file_id,
        )  # fmt: skip


def _page_request(tree: Tree, file_id: FileId, pattern: str, size: int) -> Element:
    body = QueryDirectoryRequest(_CLASS, 0, 0, file_id, size, pattern).pack()
    return Element(Command.QUERY_DIRECTORY, body, tree.connection.charge_of(size))


async def scandir(lasting: LastingTree, path: str, pattern: str = "*") -> AsyncGenerator[DirEntry, None]:
    """The entries of *path* whose names match the server-side *pattern*, without "." and "..".

    After a lost connection, the listing starts again and omits the entries already returned.
    """
    given = array("q")  # hashes of the names: eight bytes per entry
    attempts, known = Attempts(), set[int]()
    while True:
        tree = lasting.tree
        try:
            async with aclosing(_pages(tree, path, pattern)) as pages:
                async for page in pages:
                    fresh = [entry for entry in page if hash(entry.name) not in known] if known else page
                    for entry in fresh:
                        yield entry
                    given.extend([hash(entry.name) for entry in fresh])
            return
        except (WireError, RemoteError) as error:
            await attempts.renew(error, lasting, tree, progress=len(given))
        known = set(given)


async def _pages(tree: Tree, path: str, pattern: str) -> AsyncGenerator[Sequence[DirEntry], None]:
    """The listing page by page; while one is read the next one is requested."""
    request = requests.opening(path, requests.LIST, options=requests.DIRECTORY)
    create = Element(Command.CREATE, request.pack(), on_abandoned=tree.close_abandoned)
    first = _page_request(tree, ANY_FILE_ID, pattern, _FIRST_PAGE_BYTES)
    opened, page = await tree.call([create, first])
    if opened.status != NTStatus.SUCCESS:
        raise remote_error(opened.status, path)
    file_id = CreateResponse.parse(opened.message).file_id
    following: Pending | None = None
    unusable: list[str] = []
    before: bytes | None = None
    try:
        while page.status not in _END:
            if page.status != NTStatus.SUCCESS:
                raise remote_error(page.status, path, "listing")
            size = max(_FIRST_PAGE_BYTES, min(PAGE_BYTES, tree.max_transact))
            following = await tree.post(_page_request(tree, file_id, pattern, size))
            buffer = bytes(QueryDirectoryResponse.parse(page.message).buffer)
            entries = _entries(buffer, before)
            before = buffer
            yield [DirEntry(raw.name, path, raw) for raw in entries if _usable(raw.name, unusable)]
            page = await following.future
            following = None
        if unusable:
            raise UnusableNames(path, unusable)
    finally:
        if following is not None:
            tree.connection.abandon([following])
        tree.close_later(file_id)


def _entries(buffer: bytes, before: bytes | None) -> list[RawEntry]:
    """The entries of a page. WireError if the listing makes no progress: an empty page, or the page *before* again."""
    found = list(parse_directory(_CLASS, buffer))
    if before is not None and (not found or buffer == before):
        raise WireError("the server does not continue the listing of a directory")
    return found


def _usable(name: str, unusable: list[str]) -> bool:
    """Whether a file can have this name; the first few that cannot are added to *unusable*."""
    if name in (".", ".."):
        return False
    if not name or "/" in name or "\\" in name or "\0" in name:
        if len(unusable) < _UNUSABLE_NAMED:
            unusable.append(name)
        return False
    return True


Walked = tuple[str, list[DirEntry], list[DirEntry]]


async def walk(
    lasting: LastingTree, top: str, onerror: Callable[[str, OSError], object] | None = None
) -> AsyncGenerator[Walked, None]:
    """(directory, its directories, its other entries) of the tree below *top*, parents first.

    Names taken out of the list of directories are not entered. Links are not followed. For a directory that cannot be
    read, *onerror* is called, and the entries that could be read are returned; without it, the error is raised.
    """
    pending = [top]
    while pending:
        directory = pending.pop()
        directories: list[DirEntry] = []
        others: list[DirEntry] = []
        try:
            async with aclosing(scandir(lasting, directory)) as entries:
                async for entry in entries:
                    (directories if entry.is_dir() and not entry.is_symlink() else others).append(entry)
        except OSError as error:
            if onerror is None:
                raise
            onerror(directory, error)
            if not (directories or others):
                continue
        yield directory, directories, others
        pending += [join(directory, entry.name) for entry in reversed(directories)]


async def glob(lasting: LastingTree, pattern: str) -> AsyncGenerator[DirEntry, None]:
    """Entries whose paths match: `*`, `?`, `[abc]` within a name, `**` for any number of directories.

    Ignores case, as the server does.
    """
    parts = [part for part in pattern.strip("/").split("/") if part]
    fixed = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    async for entry in _matching(lasting, "/".join(parts[:fixed]), parts[fixed:]):
        yield entry


async def _matching(
    lasting: LastingTree, directory: str, parts: list[str], level: int = 0
) -> AsyncGenerator[DirEntry, None]:
    if not parts:
        return
    if level > _LEVELS_MAX:
        raise RemoteError(errno.ELOOP, f"directories are more than {_LEVELS_MAX} levels deep", directory)
    first, rest = parts[0], parts[1:]
    deep = first == "**"
    if deep and rest:
        async for entry in _matching(lasting, directory, rest, level):
            yield entry
    matches = re.compile(fnmatch.translate("*" if deep else first), re.IGNORECASE).match
    below: list[DirEntry] = []
    async with aclosing(scandir(lasting, directory)) as entries:
        async for entry in entries:
            if matches(entry.name):
                if not rest:
                    yield entry
                if entry.is_dir() and not entry.is_symlink() and (deep or rest):
                    below.append(entry)
    for entry in below:
        async for found in _matching(lasting, entry.path, parts if deep else rest, level + 1):
            yield found
