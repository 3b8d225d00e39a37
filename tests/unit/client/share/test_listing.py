"""Listings page by page, walking and globbing, on a server that says what a test makes it say."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from unit.client.scripted import OPENED, ScriptedConnection, lasting, opened, scripted

from frevo.client.errors import ConnectionLost, PeerFault, RemoteError, lost
from frevo.client.lasting.tree import LastingTree
from frevo.client.share.listing import DirEntry, UnusableNames, glob, scandir, walk
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DirectoryEntry, DirectoryPacker, FileInfoClass
from frevo.wire.smb2 import Command, FileAttributes, QueryDirectoryRequest, QueryDirectoryResponse

DIRECTORY = int(FileAttributes.DIRECTORY)
LINK = int(FileAttributes.REPARSE_POINT)


def page(*names: str, attributes: int = 0) -> bytes:
    """The body of a QUERY_DIRECTORY response with these names."""
    packer = DirectoryPacker(FileInfoClass.ID_BOTH_DIRECTORY, 1 << 20)
    for name in names:
        assert packer.append(DirectoryEntry(name, attributes, end_of_file=len(name)))
    return QueryDirectoryResponse(packer.finish()).pack()


def on(*pages: bytes | int | Exception) -> tuple[LastingTree, ScriptedConnection]:
    """A share with one directory, whose listing has these *pages* and then ends."""
    left = list(pages)

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.CREATE:
            return opened()
        found = left.pop(0) if left else int(NTStatus.NO_MORE_FILES)
        if isinstance(found, Exception):
            raise found
        return found

    tree, connection = scripted(answer)
    return lasting(tree), connection


async def names(share: LastingTree, path: str = "", pattern: str = "*") -> list[str]:
    return [entry.name async for entry in scandir(share, path, pattern)]


async def test_pages() -> None:
    """All pages in order, without "." and ".."; the directory is closed and the pattern goes to the server."""
    share, connection = on(page(".", "..", "a"), page("b", "c"))
    assert await names(share, "dir", "*.txt") == ["a", "b", "c"]
    assert connection.closed == [OPENED]
    asked = [QueryDirectoryRequest.parse(m) for c, m in connection.sent if c == Command.QUERY_DIRECTORY]
    assert {one.file_name for one in asked} == {"*.txt"} and [one.name for one in connection.creates()] == [
        "dir"
    ]


async def test_entries() -> None:
    """An entry knows its path, its kind and what the listing said, without another request."""
    share, _ = on(page("sub", attributes=DIRECTORY), page("link", attributes=LINK), page("file"))
    sub, link, file = [entry async for entry in scandir(share, "dir")]
    assert (sub.path, sub.is_dir(), sub.is_symlink(), sub.is_file()) == ("dir/sub", True, False, False)
    assert (link.is_dir(), link.is_symlink(), link.is_file()) == (False, True, False)
    assert file.is_file() and file.stat().size == 4


async def test_an_empty_or_refused_directory() -> None:
    """Nothing, or the server's error; opened directories are closed all the same."""
    share, connection = on(int(NTStatus.NO_SUCH_FILE))
    assert await names(share) == [] and connection.closed == [OPENED]
    share, connection = on(page("a"), int(NTStatus.ACCESS_DENIED))
    with pytest.raises(PermissionError):
        await names(share)
    assert connection.closed == [OPENED]


async def test_left_early() -> None:
    """The page that was requested ahead is abandoned and the directory closed."""
    share, connection = on(page("a", "b"), page("c"))
    async with aclosing(scandir(share, "")) as entries:
        async for _ in entries:
            break
    assert connection.closed == [OPENED] and len(connection.abandoned) == 1


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a\0b", ""])
async def test_names_that_cannot_be(name: str) -> None:
    """They are left out and told after the others, so that no path leads elsewhere."""
    share, _ = on(page("a", name, "b"))
    seen: list[str] = []
    with pytest.raises(UnusableNames, match="invalid names"):
        async for entry in scandir(share, ""):
            seen.append(entry.name)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("second", [page("a"), page()])
async def test_a_listing_without_an_end(second: bytes) -> None:
    """The same page again, or an empty one, breaks the protocol: the client does not go round in circles."""
    share, connection = on(page("a"), *[second] * 50)
    with pytest.raises(PeerFault, match="does not continue"):
        await asyncio.wait_for(names(share), 5)
    assert connection.faults and connection.closed == [OPENED]


async def test_a_connection_lost_in_between() -> None:
    """The listing begins again and leaves out what was given; nothing comes twice and nothing is missing."""
    share, _ = on(page("a", "b"), lost("cut"), page("a", "b", "c"), page("d"))
    renewed: list[RemoteError] = []

    async def again(gone: Any, error: RemoteError) -> Any:
        renewed.append(error)
        return share.tree

    share.renewed = again  # type: ignore[method-assign]
    assert await names(share) == ["a", "b", "c", "d"] and len(renewed) == 1


async def test_a_connection_that_stays_lost() -> None:
    """The error is the caller's."""
    share, _ = on(page("a"), lost("cut"))
    with pytest.raises(ConnectionLost):
        await names(share)


class Tree:
    """Directories by path: name to its attributes; one that is an exception cannot be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directories: dict[str, Any]) -> None:
        self.directories, self.read = directories, list[str]()
        monkeypatch.setattr("frevo.client.share.listing.scandir", self.scandir)

    async def scandir(self, share: Any, path: str, pattern: str = "*") -> Any:
        self.read.append(path)
        found = self.directories[path]
        if isinstance(found, Exception):
            raise found
        for name, attributes in found.items():
            yield DirEntry(name, path, DirectoryEntry(name, attributes))


SMALL: dict[str, Any] = {
    "": {"b": DIRECTORY, "a.txt": 0, "link": DIRECTORY | LINK},
    "b": {"c": DIRECTORY, "B.TXT": 0},
    "b/c": {"deep.txt": 0},
}


async def test_walking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parents first; links are among the others and are not entered; what is taken out of the list is left out."""
    tree = Tree(monkeypatch, SMALL)
    seen = []
    async for directory, inner, others in walk(tree, ""):  # type: ignore[arg-type]
        seen.append((directory, [e.name for e in inner], [e.name for e in others]))
        if directory == "b":
            inner.clear()
    assert seen == [("", ["b"], ["a.txt", "link"]), ("b", ["c"], ["B.TXT"])]


async def test_walking_past_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With *onerror* the rest goes on, without it the error is raised."""
    tree = Tree(monkeypatch, {**SMALL, "b": PermissionError(13, "no")})
    told: list[str] = []
    found = [one[0] async for one in walk(tree, "", lambda path, error: told.append(path))]  # type: ignore[arg-type]
    assert found == [""] and told == ["b"]
    with pytest.raises(PermissionError):
        _ = [one async for one in walk(tree, "")]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "found", "read"),
    [
        ("*.txt", ["a.txt"], [""]),
        ("b/*.txt", ["b/B.TXT"], ["b"]),  # case is one; what has no pattern is not listed
        ("**/*.txt", ["a.txt", "b/B.TXT", "b/c/deep.txt"], None),
        ("b/**", ["b/c", "b/B.TXT", "b/c/deep.txt"], None),
        ("?", ["b"], [""]),
        ("[ab]*", ["b", "a.txt"], [""]),
        ("link/*", [], None),
        ("a.txt", ["a.txt"], [""]),
        ("", [], []),
    ],
)
async def test_patterns(
    monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str], read: list[str] | None
) -> None:
    """`*`, `?` and `[...]` within a name, `**` for any depth; directories without a match are not read."""
    tree = Tree(monkeypatch, {**SMALL, "link": {}})
    assert [entry.path async for entry in glob(tree, pattern)] == found  # type: ignore[arg-type]
    assert read is None or tree.read == read


async def test_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose directories contain each other for ever gets an error instead of a full stack."""

    async def endless(share: Any, path: str, pattern: str = "*") -> Any:
        yield DirEntry("d", path, DirectoryEntry("d", DIRECTORY))

    monkeypatch.setattr("frevo.client.share.listing.scandir", endless)
    with pytest.raises(RemoteError, match="400 levels"):
        async for _ in glob(None, "**/x"):  # type: ignore[arg-type]
            pass
