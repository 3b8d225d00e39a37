"""A share: paths below its base, what may be repeated, and its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from unit.client.scripted import ScriptedConnection, lasting, opened, queried, scripted

from frevo.client.errors import ConnectionLost, lost
from frevo.client.share.share import Share
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DirectoryEntry, DirectoryPacker, FileAllInformation, FileInfoClass
from frevo.wire.smb2 import Command, CreateDisposition, FileAttributes, QueryDirectoryResponse, ShareAccess


def on(
    answer: Any, base: str = "", patience_s: float = 0.0, **options: Any
) -> tuple[Share, ScriptedConnection]:
    tree, connection = scripted(answer)
    share = lasting(tree, patience_s)
    return Share(share, base, **options), connection


def fine(command: Command, message: bytes) -> Any:
    if command == Command.QUERY_INFO:
        return queried(FileAllInformation.parse(bytes(104)).pack())
    return opened() if command == Command.CREATE else 0


@pytest.mark.parametrize(
    ("base", "path", "full"),
    [
        ("", "a/b", "a/b"),
        ("top", "a", "top/a"),
        ("/top/sub/", "a", "top/sub/a"),
        ("top", "", "top"),
        ("", "/a/", "a"),
    ],
)
async def test_paths(base: str, path: str, full: str) -> None:
    """They are relative to what stands behind the share in the URL."""
    share, connection = on(fine, base)
    assert share.full_path(path) == full
    await share.stat(path)
    assert connection.creates()[0].name == full.replace("/", "\\")


@pytest.mark.parametrize("path", ["..", "a/../..", "a\0b"])
async def test_paths_that_lead_out(path: str) -> None:
    """Nothing above the base can be named."""
    share, _ = on(fine, "top")
    with pytest.raises(ValueError):
        await share.stat(path)


def listing(*names: str) -> Any:
    """A directory with these; those that end with a slash are directories, which are empty."""
    packer = DirectoryPacker(FileInfoClass.ID_BOTH_DIRECTORY, 1 << 20)
    for name in names:
        packer.append(
            DirectoryEntry(name.strip("/"), int(FileAttributes.DIRECTORY) if name.endswith("/") else 0)
        )
    left = [QueryDirectoryResponse(packer.finish()).pack()]

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.QUERY_DIRECTORY:
            return left.pop() if left else int(NTStatus.NO_MORE_FILES)
        return fine(command, message)

    return answer


async def test_names_below_the_base() -> None:
    """Listings, walks and patterns give paths as the caller writes them."""
    share, _ = on(listing("a", "sub/"), "top")
    assert [entry.path async for entry in share.scandir("dir")] == ["dir/a", "dir/sub"]
    share, _ = on(listing("a", "sub/"), "top")
    assert [one[0] async for one in share.walk("")] == ["", "sub"]
    share, connection = on(listing("a", "b"), "top")
    assert [entry.path async for entry in share.glob("dir/[ab]")] == ["dir/a", "dir/b"]
    assert connection.creates()[0].name == "top\\dir"
    share, _ = on(listing("a"), "top")
    assert await share.listdir() == ["a"]


async def test_opening() -> None:
    """Whoever excludes others waits for closes under way; await gives a file, `async with` closes it."""
    share, connection = on(fine)
    async with share.open("a", share_write=False) as file:
        assert file.mode == "rb"
    assert connection.settled == 1
    assert connection.creates()[0].share_access == ShareAccess.READ | ShareAccess.DELETE
    file = await share.open("a", "x")
    assert connection.creates()[1].create_disposition == CreateDisposition.CREATE
    await file.close()


@pytest.mark.parametrize(
    "work",
    [
        lambda share: share.mkdir("a"),
        lambda share: share.rmdir("a"),
        lambda share: share.remove("a"),
        lambda share: share.rename("a", "b"),
        lambda share: share.write_small("a", b"x"),
        lambda share: share.open("a", "xb"),
        lambda share: share.makedirs("a"),
        lambda share: share.copy("a", "b", overwrite=False),
    ],
)
async def test_what_is_done_once(work: Any) -> None:
    """What may have been done already is not done again: the caller has to look."""
    share, _ = on(lambda command, message: (_ for _ in ()).throw(lost("cut")), patience_s=9.0)
    with pytest.raises(ConnectionLost, match="may not have"):
        await work(share)


@pytest.mark.parametrize(
    "work",
    [
        lambda share: share.stat("a"),
        lambda share: share.set_times("a", modified_ns=1),
        lambda share: share.read_small("a", 1),
        lambda share: share.makedirs("a", exist_ok=True),
    ],
)
async def test_what_is_repeated(work: Any) -> None:
    """What does no harm a second time is done again."""
    cuts = [lost("cut")]

    def answer(command: Command, message: bytes) -> Any:
        if cuts:
            raise cuts.pop()
        return fine(command, message) if command != Command.READ else int(NTStatus.END_OF_FILE)

    share, _ = on(answer, patience_s=9.0)
    lasting_tree: Any = share.lasting

    async def renewed(gone: Any, error: Any) -> Any:
        return lasting_tree.tree

    lasting_tree.renewed = renewed
    await work(share)
    assert cuts == []


async def test_renaming_onto_another() -> None:
    """The error names the new name: it is the one that is taken."""
    share, _ = on(
        lambda command, message: (
            int(NTStatus.OBJECT_NAME_COLLISION) if command == Command.SET_INFO else fine(command, message)
        )
    )
    with pytest.raises(FileExistsError) as caught:
        await share.rename("old", "dir/new")
    assert caught.value.filename == "dir/new"


async def test_copying_onto_itself() -> None:
    """It would be emptied first; upper and lower case are one."""
    share, connection = on(fine)
    with pytest.raises(OSError, match="onto itself"):
        await share.copy("Dir/A", "dir/a")
    assert connection.sent == []


async def test_small_files() -> None:
    """What one credit pays for; the limit is the caller's to keep when writing."""
    share, _ = on(fine)
    with pytest.raises(ValueError, match="not small"):
        await share.write_small("a", bytes(65537))
    assert await share.exists("a")
    share, _ = on(lambda command, message: int(NTStatus.OBJECT_NAME_NOT_FOUND))
    assert not await share.exists("a")


async def test_the_end() -> None:
    """TREE_DISCONNECT once, and what else was asked for; a connection that is lost needs no farewell."""
    closed: list[int] = []

    async def on_close() -> None:
        closed.append(1)

    share, connection = on(fine, on_close=on_close)
    await share.close()
    await share.close()
    assert connection.commands() == [Command.TREE_DISCONNECT] and closed == [1]
    share, connection = on(fine, on_close=on_close)
    connection.lost = True
    async with share:
        pass
    assert connection.sent == [] and closed == [1, 1]


async def test_further_connections() -> None:
    """Number 0 is the share's own; one that cannot be had is None."""
    share, _ = on(fine, "top")
    own = await share.on_connection(0)
    assert own is not None and own.lasting is share.lasting and own.base == "top"
    share.connections.first.link = SimpleNamespace(before_end=set())  # type: ignore[assignment]
    assert await share.on_connection(1) is None
