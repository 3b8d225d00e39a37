"""Large files over several connections, against smbd and frevo: complete, the same file everywhere, any connection may
fail."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from peers import frevo_server
from peers.relay import Relay
from peers.target import Target

import frevo
from frevo.client import Share, batch
from frevo.client.transfer import data as transfer
from frevo.client.transfer.spread import SPREAD_BYTES, gaps_bytes

pytestmark = pytest.mark.interop

SIZE = SPREAD_BYTES + 12_345_678
SECRET = "Passw0rd!"


class Quiet:
    """Counts bytes."""

    def __init__(self) -> None:
        self.done = 0
        self.failures: list[tuple[str, OSError]] = []

    def found(self, size: int) -> None:
        pass

    def advanced(self, size: int) -> None:
        self.done += size

    def finished(self, path: str) -> None:
        pass

    def failed(self, path: str, error: OSError) -> None:
        self.failures.append((path, error))


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(1 << 20) * (SIZE >> 20) + os.urandom(SIZE & 0xFFFFF)


@pytest.fixture
async def share(target: Target, through: str, folder: Path) -> AsyncIterator[Share]:
    """The folder of this test through the relay, with up to three connections."""
    url = f"{through}/share/{folder.name}"
    async with frevo.connect(url, user=target.user, password=target.password, connections=3, reconnect=1.0) as made:
        yield made


class Moved(dict[int, int]):
    """Bytes that transfers have moved, by connection. No connection begins a second range before *wanted* have begun
    one."""

    wanted = 1

    def __init__(self) -> None:
        super().__init__()
        self.all_there = asyncio.Event()

    async def begins(self, number: int) -> None:
        first = number not in self
        self.setdefault(number, 0)
        if len(self) >= self.wanted:
            self.all_there.set()
        if not first:
            await asyncio.wait_for(self.all_there.wait(), 30)

    def again(self, wanted: int) -> None:
        self.clear()
        self.all_there.clear()
        self.wanted = wanted


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    counts = Moved()
    original = transfer.stream

    async def counted(tree: Any, *arguments: Any, **options: Any) -> int:
        await counts.begins(tree.connection.number)
        count = await original(tree, *arguments, **options)
        counts[tree.connection.number] += count
        return count

    monkeypatch.setattr(transfer, "stream", counted)
    return counts


async def test_down_and_up(share: Share, folder: Path, data: bytes, moved: Moved, tmp_path: Path) -> None:
    """A file goes down and up over three connections: each moves some of it, bytes and progress are right."""
    (folder / "large").write_bytes(data)
    moved.again(3)
    report = Quiet()
    await batch.download(share, "large", str(tmp_path / "large"), batch.Plan(), report)
    assert (tmp_path / "large").read_bytes() == data and report.done == len(data)
    assert len(moved) == 3 and sum(moved.values()) == len(data)
    moved.again(3)
    report = Quiet()
    await batch.upload(share, str(tmp_path / "large"), "again", batch.Plan(verify=True), report)
    assert (folder / "again").read_bytes() == data and report.done == len(data)
    assert len(moved) == 3
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


async def test_from_and_to_memory(share: Share, folder: Path, data: bytes, moved: Moved) -> None:
    """read_bytes, readinto and write use the same: also in pieces, once one open has moved much."""
    moved.again(3)
    async with share.open("large", "x+b") as file:
        assert await file.write(data) == len(data)
        assert len(moved) == 3
        buffer = bytearray(len(data) + 100)
        assert await file.preadinto(buffer, 0) == len(data) and buffer[: len(data)] == data
    assert await share.read_bytes("large") == data
    moved.again(1)
    piece, place = bytearray(16 << 20), 0
    async with share.open("large") as file:
        while count := await file.readinto(piece):
            assert piece[:count] == data[place : place + count]
            place += count
    assert place == len(data)


async def test_another_file_is_noticed(share: Share, folder: Path, data: bytes, moved: Moved) -> None:
    """Before the further opens the file is replaced by one of the same size and time: they are not used."""
    place = folder / "large"
    place.write_bytes(data)
    await share.connections.nth(2)
    buffer = bytearray(len(data))
    async with share.open("large") as file:
        other = folder / "other"
        other.write_bytes(bytes(len(data)))
        os.utime(other, ns=(place.stat().st_atime_ns, place.stat().st_mtime_ns))
        other.rename(place)
        assert await file.preadinto(buffer, 0) == len(data)
    assert buffer == data and list(moved) == [share.tree.connection.number]


async def test_one_connection_only(
    share: Share, relay: Relay, folder: Path, data: bytes, moved: Moved, tmp_path: Path
) -> None:
    """The server takes no second connection: nothing is reported, and one does everything."""
    relay.most = 1
    (folder / "large").write_bytes(data)
    totals = await batch.download(share, "large", str(tmp_path / "large"), batch.Plan(), Quiet())
    assert totals.errors == [] and (tmp_path / "large").read_bytes() == data
    assert list(moved) == [share.tree.connection.number]
    assert relay.accepted == 2 and len(share.connections.trees) == 1


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_further_connection_breaks(
    share: Share, relay: Relay, folder: Path, data: bytes, way: str, tmp_path: Path
) -> None:
    """One of the further connections is cut in the middle: others complete its ranges."""
    local = tmp_path / "large"
    (folder / "large" if way == "down" else local).write_bytes(data)
    await share.connections.nth(2)
    if way == "down":
        relay.cut_newest_after(down=30_000_000)
        totals = await batch.download(share, "large", str(local), batch.Plan(), Quiet())
    else:
        relay.cut_newest_after(up=30_000_000)
        totals = await batch.upload(share, str(local), "large", batch.Plan(), Quiet())
    assert totals.errors == []
    assert local.read_bytes() == data == (folder / "large").read_bytes()


async def test_all_break_and_come_back(
    share: Share, relay: Relay, folder: Path, data: bytes, tmp_path: Path
) -> None:
    """All connections are cut in the middle of a download and of an upload: both continue with new ones."""
    (folder / "large").write_bytes(data)
    relay.cut_after(down=30_000_000)
    await batch.download(share, "large", str(tmp_path / "large"), batch.Plan(), Quiet())
    assert (tmp_path / "large").read_bytes() == data
    relay.cut_after(up=30_000_000)
    await batch.upload(share, str(tmp_path / "large"), "again", batch.Plan(), Quiet())
    assert (folder / "again").read_bytes() == data


@pytest.mark.parametrize("way", ["get", "put"])
def test_killed_and_resumed(
    target: Target, relay: Relay, through: str, folder: Path, data: bytes, way: str, tmp_path: Path
) -> None:
    """The command is killed in the middle: its part file can have gaps only at its end, and it is continued."""
    local, url = tmp_path / "large", f"{through}/share/{folder.name}/large"
    (folder / "large" if way == "get" else local).write_bytes(data)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"username = {target.user}\npassword = {target.password}\n")
    places = [url, str(local)] if way == "get" else [str(local), url]
    command = [*frevo_server.FREVO, way, "--connections", "3", "--credentials", str(credentials), *places]
    with subprocess.Popen(command) as running:
        relay.when(running.kill, **{"down" if way == "get" else "up": 50_000_000})
        running.wait(60)
    (part,) = (tmp_path if way == "get" else folder).glob(".frevo-*.part")
    sure = max(0, part.stat().st_size - gaps_bytes(len(data)))
    assert part.read_bytes()[:sure] == data[:sure]
    relay.passed = 0
    subprocess.run(command, check=True, timeout=60)
    assert local.read_bytes() == data == (folder / "large").read_bytes()
    assert relay.passed < len(data) - sure + 1_000_000
    assert not part.exists()


@pytest.mark.parametrize("way", ["down", "up"])
async def test_cancelled(
    share: Share, relay: Relay, folder: Path, data: bytes, way: str, tmp_path: Path
) -> None:
    """Cancelled in the middle: the part file is as it should be, the buffers are free, the share can be used."""
    local = tmp_path / "large"
    (folder / "large" if way == "down" else local).write_bytes(data)
    await share.connections.nth(2)
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    strike: Callable[[], Any] = lambda: loop.call_soon_threadsafe(reached.set)  # noqa: E731
    relay.when(strike, **{way: 30_000_000})
    if way == "down":
        work = batch.download(share, "large", str(local), batch.Plan(), Quiet())
    else:
        work = batch.upload(share, str(local), "large", batch.Plan(), Quiet())
    task = asyncio.create_task(work)
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (part,) = (tmp_path if way == "down" else folder).glob(".frevo-*.part")
    sure = max(0, part.stat().st_size - gaps_bytes(len(data)))
    assert part.read_bytes()[:sure] == data[:sure]
    assert await share.exists("large") == (way == "down")
