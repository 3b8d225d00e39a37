"""A lost connection against smbd and frevo: what is repeated, what is not, and what can be trusted afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.relay import Relay
from peers.target import Target

from frevo.client import ConnectionLost, Share, batch
from frevo.client.connect import Connecting

pytestmark = pytest.mark.interop

Connect = Callable[..., Connecting[Share]]


async def test_idle(connect: Connect, relay: Relay, folder: Path) -> None:
    """Cut while idle: everything works afterwards, changes too; the same negotiation."""
    async with connect() as share:
        before = share.tree
        for work in (
            lambda: share.stat(),
            lambda: share.mkdir("made"),
            lambda: share.rename("made", "moved"),
            lambda: share.rmdir("moved"),
            lambda: share.write_bytes("file", b"data"),
            lambda: share.remove("file"),
            lambda: share.listdir(),
        ):
            relay.cut()
            await share.tree.connection.closed
            await work()
        assert share.tree is not before and relay.accepted == 8
        was, now = before.connection.negotiated, share.tree.connection.negotiated
        assert was is not None and now is not None
        assert (was.dialect, was.cipher, was.signing) == (now.dialect, now.cipher, now.signing)
        assert list(folder.iterdir()) == []


async def test_reads_go_on(connect: Connect, relay: Relay, folder: Path) -> None:
    """Cut in the middle of several reads of two files: each returns the right bytes, over one new connection."""
    data = os.urandom(30_000_000)
    (folder / "a").write_bytes(data)
    (folder / "b").write_bytes(data[::-1])
    async with connect() as share, share.open("a") as file:
        relay.cut_after(down=20_000_000)
        results = await asyncio.gather(
            *(file.pread(4_000_000, at) for at in range(0, len(data), 4_000_000)), share.read_bytes("b")
        )
        assert b"".join(results[:-1]) == data and results[-1] == data[::-1]
        assert relay.accepted == 2
        assert await file.pread(10, 5) == data[5:15] and (await file.stat()).size == len(data)


async def test_a_changed_file_is_not_read_on(connect: Connect, relay: Relay, folder: Path) -> None:
    """Replaced or removed while the connection was lost: the open file reports it, and does not silently become
    another file."""
    for name in ("replaced", "removed"):
        (folder / name).write_bytes(b"first " * 1000)
    async with connect() as share, share.open("replaced") as file, share.open("removed") as other:
        assert await file.pread(5, 0) == b"first"
        relay.cut()
        (folder / "new").write_bytes(b"other " * 1000)
        (folder / "new").replace(folder / "replaced")
        (folder / "removed").unlink()
        with pytest.raises(ConnectionLost, match="changed or replaced"):
            await file.pread(5, 0)
        with pytest.raises(FileNotFoundError):
            await other.pread(5, 0)
        assert (await share.stat("replaced")).size == 6000


async def test_a_file_that_is_written(connect: Connect, relay: Relay, folder: Path) -> None:
    """Cut while a file is written: the write, and every later one, reports that the outcome is unknown; nothing goes
    elsewhere."""
    async with connect() as share:
        async with share.open("other", "wb") as other:
            file = await share.open("file", "wb")
            await file.write(b"x" * 1000)
            relay.cut_after(up=2_000_000)
            with pytest.raises(ConnectionLost, match="may be missing: open it again"):
                await file.write(bytes(20_000_000))
            with pytest.raises(ConnectionLost, match="open it again"):
                await file.pwrite(b"y", 0)
            assert await share.exists("file")
            async with share.open("third", "wb") as third:  # may have the FileId of one that was lost
                with pytest.raises(ConnectionLost):
                    await other.pwrite(b"misplaced", 0)
                with pytest.raises(ConnectionLost):
                    await file.close()
                await third.write(b"third")
            with pytest.raises(ConnectionLost):
                await other.close()
        assert (folder / "third").read_bytes() == b"third" and (folder / "other").read_bytes() == b""


async def test_what_must_not_be_done_twice(connect: Connect, relay: Relay, folder: Path) -> None:
    """The response to a change is lost: an error says that the outcome is unknown; the share stays usable."""
    async with connect() as share:
        await share.write_bytes("a", b"")
        for work in (
            lambda: share.rename("a", "b"),
            lambda: share.remove("b"),
            lambda: share.mkdir("c"),
            lambda: share.open("d", "xb").__aenter__(),
        ):
            await share.stat()  # connected again, and nothing is under way
            relay.cut_after(down=1)
            with pytest.raises(ConnectionLost, match="check before you repeat it"):
                await work()
        assert sorted(await share.listdir()) == ["c", "d"]


async def test_a_listing_goes_on(connect: Connect, relay: Relay, folder: Path) -> None:
    """Cut between two pages of a listing and of a walk: every name comes once."""
    for index in range(1500):
        (folder / f"a rather long file name {index:05}").touch()
    async with connect() as share:
        names = []
        async for entry in share.scandir():
            names.append(entry.name)
            if len(names) in (1, 1000):
                relay.cut()
        assert sorted(names) == sorted(path.name for path in folder.iterdir())
        assert relay.accepted >= 2


async def test_watching_goes_on(connect: Connect, relay: Relay, folder: Path) -> None:
    """Cut while a directory is watched: a change of kind "missed" says so, then changes are reported again."""
    async with connect() as share:
        changes = share.watch()
        first = asyncio.create_task(anext(changes))  # type: ignore[arg-type]
        await share.stat()
        relay.cut()
        assert (await first).action == "missed"
        watching = asyncio.create_task(anext(changes))  # type: ignore[arg-type]
        number = 0
        while not watching.done():  # smbd begins to watch some time after the request
            await share.write_bytes(f"new {number}", b"")
            number += 1
        assert "new " in (await watching).path
        await changes.aclose()  # type: ignore[attr-defined]


async def test_the_server_comes_back(connect: Connect, relay: Relay, folder: Path) -> None:
    """Nobody listens for a while: everybody waits for the same new connection."""
    (folder / "file").write_bytes(b"data")
    async with connect() as share:
        relay.refuse()
        work = [asyncio.create_task(share.read_bytes("file")) for _ in range(20)]
        await asyncio.sleep(0.3)  # a few tries are refused
        assert not any(task.done() for task in work)
        relay.accept()
        assert await asyncio.gather(*work) == [b"data"] * 20
        assert relay.accepted == 2


async def test_the_server_does_not_come_back(connect: Connect, relay: Relay) -> None:
    """Nobody listens: after the time given, and at once for the next request, an error that says why."""
    # The foreign QUIC server still shakes hands, and ends the connection then.
    why = "without a response" if transports.over_quic() else "refused"
    async with connect(reconnect=0.5) as share:
        relay.refuse()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=f"could not be restored.*{why}"):
                await share.stat()
        relay.accept()
        await share.stat()
    async with connect(reconnect=0) as share:
        relay.cut()
        with pytest.raises(ConnectionLost):
            await share.stat()
        with pytest.raises(ConnectionLost):
            await share.stat()


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
async def test_a_downgrade_is_refused(connect: Connect, relay: Relay, target: Target) -> None:
    """The server that responds after the loss offers an older dialect: it is not used."""
    async with connect() as share, connect(maximum="SMB3_00") as older:

        async def reach() -> Any:
            return older.lasting.link.current

        share.lasting.link._connect = reach
        relay.cut()
        await older.stat()
        with pytest.raises(ConnectionLost, match="now uses SMB3_00"):
            await share.stat()


async def test_cancelled_and_closed(connect: Connect, relay: Relay) -> None:
    """One of those waiting for the new connection is cancelled: the others get it; closing meanwhile ends all at
    once."""
    async with connect() as share:
        relay.refuse()
        first, second = (asyncio.create_task(share.stat()) for _ in range(2))
        await asyncio.sleep(0.2)
        first.cancel()
        relay.accept()
        assert (await second).is_dir()
        with pytest.raises(asyncio.CancelledError):
            await first
        relay.refuse()
        third = asyncio.create_task(share.stat())
        await asyncio.sleep(0.2)
        await share.close()
        with pytest.raises(ConnectionLost):
            await third


class Report:
    """Counts what is reported."""

    def __init__(self) -> None:
        self.expected = self.done = 0

    def found(self, size: int) -> None:
        self.expected += size

    def advanced(self, size: int) -> None:
        self.done += size

    def finished(self, path: str) -> None:
        pass

    def failed(self, path: str, error: OSError) -> None:
        raise error


async def test_folders_go_on(connect: Connect, relay: Relay, folder: Path, tmp_path: Path) -> None:
    """Cut in the middle of an upload and a download of a folder: the same files, and the progress adds up."""
    source = tmp_path / "source"
    source.mkdir()
    for index in range(40):
        (source / f"small {index}").write_bytes(os.urandom(5000))
    for index in range(3):
        (source / f"large {index}").write_bytes(os.urandom(12_000_000))
    plan = batch.Plan(recursive=True, parallel=4)
    async with connect() as share:
        relay.cut_after(up=20_000_000)
        report = Report()
        totals = await batch.upload(share, str(source), "copy", plan, report)
        assert (totals.files, totals.errors) == (43, []) and report.done == report.expected
        relay.cut_after(down=20_000_000)
        report = Report()
        totals = await batch.download(share, "copy", str(tmp_path / "back"), plan, report)
        assert (totals.files, totals.errors) == (43, []) and report.done == report.expected
        assert relay.accepted == 3
    for path in source.iterdir():
        assert (folder / "copy" / path.name).read_bytes() == path.read_bytes()
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()
    assert len(list((folder / "copy").iterdir())) == len(list((tmp_path / "back").iterdir())) == 43
