"""Pumps against smbd and frevo: every protection, files and buffers, cancelled at any point, beside other work."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.target import Target

import frevo
from frevo.client import Share
from frevo.client.connect import Connecting
from frevo.client.share.file import File
from frevo.client.transfer.pump import Pump, new_pump, start_pump
from frevo.client.tree.requests import SHARE_ALL, opening_for_mode
from frevo.transport.base import WRONG_DATA, PumpSettings, bucket_floor, bucket_of

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]

#: Name to options: nothing, the three ways to sign, encrypted.
PROTECTIONS: dict[str, dict[str, Any]] = {
    "plain": {"signing": False},
    "gmac": {},
    "cmac": {"maximum": "SMB3_02"},
    "hmac": {"maximum": "SMB2_10"},
    "single-credit": {"maximum": "SMB2_02"},
    "encrypted": {"encryption": True},
}
Connect = Callable[..., Connecting[Share]]


@pytest.fixture
def connect(target: Target) -> Connect:
    def with_options(**options: Any) -> Connecting[Share]:
        url = f"{target.url}/share"
        return frevo.connect(url, user=target.user, password=target.password, **options)

    return with_options


@pytest.fixture
async def share(connect: Connect, target: Target) -> AsyncIterator[Share]:
    folder = target.folder() / "pump"
    folder.mkdir()
    async with connect() as share:
        yield share
    shutil.rmtree(folder)


def on(file: File, kind: str, **settings: Any) -> Pump:
    return start_pump(file.tree, PumpSettings(kind, files=[file.file_id], **settings))


def test_buckets() -> None:
    """Each latency is in a bucket that begins at most 3.2 % below it. Method: around every power of two."""
    for shift in range(63):
        for ns in ((1 << shift) - 1, 1 << shift, (3 << shift) >> 1):
            floor = bucket_floor(bucket_of(ns))
            assert bucket_of(floor) == bucket_of(ns) and floor <= ns <= max(floor * 33 // 32, floor), ns


@pytest.mark.parametrize("target", ["unsigned", "samba"], indirect=True)
@pytest.mark.parametrize("protection", sorted(PROTECTIONS))
async def test_transfers(connect: Connect, target: Target, tmp_path: Path, protection: str) -> None:
    """Up and down, from and to descriptors and buffers, at odd positions. Method: compare with the server's disk."""
    if transports.over_quic() and "maximum" in PROTECTIONS[protection]:
        pytest.skip("over TCP only: QUIC carries 3.1.1 alone")
    data = os.urandom(3_000_001)
    local = tmp_path / "local"
    local.write_bytes(b"head" + data)
    async with connect(**PROTECTIONS[protection]) as share, share.open("pumped", "w+") as file:
        with local.open("rb") as source:
            assert await file.copy_from(source.fileno(), 5, 1 << 30, local_offset=4) == len(data)
        assert (target.folder() / "pumped").read_bytes() == bytes(5) + data
        with (tmp_path / "back").open("w+b") as sink:
            told: list[int] = []
            count = await file.copy_to(sink.fileno(), 3, 1 << 30, local_offset=7, progress=told.append)
            assert count == told[-1] == len(data) + 2
        assert (tmp_path / "back").read_bytes() == bytes(9) + data
        buffer = bytearray(len(data) + 100)
        assert await file.preadinto(buffer, 5) == len(data) and buffer[: len(data)] == data
        assert await file.pwrite(memoryview(data)[1:], 5) == len(data) - 1
        assert (target.folder() / "pumped").read_bytes() == bytes(5) + data[1:] + data[-1:]
        buffer.clear()  # it is no longer exported
    (target.folder() / "pumped").unlink()


async def test_the_pattern(share: Share) -> None:
    """What write writes, read verifies, in order and at random; other data is detected. Several run at a time."""
    async with share.open("pump/pattern", "w+") as file:
        written = await on(file, "write", io_size=65536, window=4, length=1_000_000, seed=3).finished()
        assert written == ("done", 0, 0, 1_000_000)
        tasks = [
            on(file, "read", io_size=4096, window=8, length=999_424, seed=3, verify=True, **how)
            for how in ({}, {"random": True, "operations": 500}, {"loop": True, "operations": 500})
        ]
        while not tasks[1].statistics()["read"].operations:
            await share.stat("pump/pattern")  # ordinary requests still work
        for pump in tasks:
            assert (await pump.finished()).reason == "done"
            measured = pump.statistics()["read"]
            assert measured.operations == sum(count for _, count in measured.histogram)
            assert measured.bytes == 4096 * measured.operations and not measured.statuses
            assert 0 < measured.min_ns <= measured.sum_ns / measured.operations <= measured.max_ns
        assert tasks[0].contiguous == 999_424
        await file.pwrite(b"?", 500_000)
        end = await on(
            file, "read", io_size=65536, window=2, length=1_000_000, seed=3, verify=True
        ).finished()
        assert (end.reason, end.offset) == ("data", 500_000 // 65536 * 65536)
        pump = on(file, "read", io_size=65536, window=2, length=1 << 20, seed=3, verify=True, keep_going=True)
        assert (await pump.finished()).reason == "done"
        assert dict(pump.statistics()["read"].statuses)[WRONG_DATA] >= 1


async def test_other_kinds(share: Share, target: Target) -> None:
    """ECHO, FLUSH, and opens that leave nothing open; a status ends a pump or is counted."""
    async with share.open("pump/file", "w") as file:
        for kind in ("echo", "flush"):
            pump = on(file, kind, window=4, operations=100)
            assert (await pump.finished()).reason == "done" and pump.statistics()[kind].operations == 100
    tree = share.tree
    bodies = [opening_for_mode(f"pump/new {index}", "w", SHARE_ALL).pack() for index in range(3)]
    pump = start_pump(tree, PumpSettings("open", bodies=bodies, window=2, operations=50))
    assert (await pump.finished()).reason == "done"
    assert {name: one.operations for name, one in pump.statistics().items()} == {"create": 50, "close": 50}
    for index in range(3):
        await share.remove(f"pump/new {index}")
    assert sorted(path.name for path in (target.folder() / "pump").iterdir()) == ["file"]
    missing = [opening_for_mode("pump/missing", "r", SHARE_ALL).pack()]
    end = await start_pump(tree, PumpSettings("open", bodies=missing, operations=5)).finished()
    assert (end.reason, end.code) == ("status", 0xC0000034)
    pump = start_pump(tree, PumpSettings("open", bodies=missing, operations=5, keep_going=True))
    assert (await pump.finished()).reason == "done"
    assert pump.statistics()["create"].statuses == [(0xC0000034, 5)]


async def test_many_begin_together_and_are_counted_together(share: Share) -> None:
    """Before they begin, nothing is sent; the sums of all are the sums of each."""
    async with share.open("pump/file", "w+") as file:
        await file.pwrite(bytes(8192), 0)
        again = {"length": 8192, "loop": True, "operations": 30}
        read = PumpSettings("read", files=[file.file_id], io_size=4096, **again)
        echo = PumpSettings("echo", operations=20)
        pumps = [new_pump(file.tree, settings) for settings in (read, echo, read)]
        await share.stat("pump/file")
        assert Pump.sums([]) == {} and [pump.operations for pump in pumps] == [0, 0, 0]
        Pump.begin(pumps)
        Pump.begin(pumps)  # once is enough
        for pump in pumps:
            assert (await pump.finished()).reason == "done"
        assert [pump.operations for pump in pumps] == [30, 20, 30]
        sums, each = Pump.sums(pumps), [pump.statistics() for pump in pumps]
        reads = [each[0]["read"], each[2]["read"]]
        assert sums["echo"] == each[1]["echo"]
        assert (sums["read"].operations, sums["read"].bytes) == (60, 60 * 4096)
        assert sums["read"].sum_ns == sum(one.sum_ns for one in reads)
        assert sums["read"].min_ns == min(one.min_ns for one in reads)
        assert sums["read"].max_ns == max(one.max_ns for one in reads)
        assert sum(count for _, count in sums["read"].histogram) == 60


async def test_stopped_and_abandoned(share: Share) -> None:
    """A stopped pump is drained, an abandoned one ends at once; credits come back, the connection still works."""
    async with share.open("pump/file", "w+") as file:
        await file.pwrite(bytes(1 << 20), 0)
        for turns in range(20):
            buffer = bytearray(1 << 20)
            pump = on(file, "read", io_size=4096 << turns % 5, window=16, length=1 << 20, buffer=buffer)
            echo = on(file, "echo", window=4)
            for _ in range(turns):
                await asyncio.sleep(0)
            assert (await pump.abandon()).reason in ("abandoned", "done")
            buffer.clear()  # BufferError were it still exported
            echo.stop()
            assert (await echo.finished()).reason == "done"
        connection = share.tree.connection
        while connection.credits.free != connection.credits_held:
            await share.stat("pump/file")
        assert not connection.pumps


async def test_local_errors(share: Share, tmp_path: Path) -> None:
    """A full or unreadable local file is an OSError with its name; the connection still works."""
    async with share.open("pump/file", "w+") as file:
        await file.pwrite(bytes(2 << 20), 0)
        with Path("/dev/full").open("wb") as full, pytest.raises(OSError, match="No space left") as caught:
            await file.copy_to(full.fileno(), 0, 2 << 20, local="/dev/full")
        assert caught.value.filename == "/dev/full"
        with (tmp_path / "f").open("wb") as unreadable, pytest.raises(OSError, match="Bad file descriptor"):
            await file.copy_from(unreadable.fileno(), 0, 1 << 20)
        assert await file.size() == 2 << 20


async def test_a_lost_connection(connect: Connect, target: Target) -> None:
    """Pumps end with their connection, and a later one is refused. Method: close it under them."""
    async with connect(reconnect=0) as share:
        tree = share.tree
        pump = start_pump(tree, PumpSettings("echo", window=2))
        await tree.connection.close(abort=True)
        assert (await pump.finished()).reason == "lost"
        with pytest.raises(ConnectionError):
            start_pump(tree, PumpSettings("echo", window=2))


async def test_settings_that_make_no_sense(share: Share) -> None:
    """They are refused before anything is sent."""
    file = [(1, 2)]
    for settings in (
        {"kind": "read", "files": file, "io_size": 0},
        {"kind": "read", "files": file, "io_size": 1 << 30},
        {"kind": "read", "io_size": 4096, "length": 4096},
        {"kind": "read", "files": file, "io_size": 4096, "length": 100, "random": True},
        {"kind": "read", "files": file, "io_size": 4096, "length": 4096, "buffer": bytes(4096)},
        {"kind": "open"},
        {"kind": "echo", "window": 0},
        {"kind": "nothing"},
    ):
        with pytest.raises(ValueError):
            start_pump(share.tree, PumpSettings(**settings))  # type: ignore[arg-type]


async def test_interrupted_download_has_no_wrong_bytes(share: Share, tmp_path: Path) -> None:
    """A cancelled download leaves a part that `get` completes to the right file."""
    from frevo.client import batch

    data = os.urandom(24 << 20)
    await share.write_bytes("pump/large", data)

    class Report:
        def found(self, size: int) -> None: ...
        def advanced(self, size: int) -> None: ...
        def finished(self, path: str) -> None: ...
        def failed(self, path: str, error: OSError) -> None: ...

    for turns in (1, 30, 100, 300):
        task = asyncio.create_task(
            batch.download(share, "pump/large", str(tmp_path / "large"), batch.Plan(), Report())
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await batch.download(share, "pump/large", str(tmp_path / "large"), batch.Plan(), Report())
    found = (tmp_path / "large").read_bytes()
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()
