"""The asynchronous client against smbd and frevo: every dialect, signed and encrypted, every operation, faults."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.altering import AlteringRelay, only_changed
from peers.target import Target

import frevo
from frevo.client import ConnectionLost, LogonError, RemoteError, Share
from frevo.client.connect import Connecting
from frevo.errors import RemoteProtocolError
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAttributes

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]

DIALECTS = ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11")
Connect = Callable[..., Connecting[Share]]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def connect(target: Target, folder: Path) -> Connect:
    """connect(**options) opens that folder."""

    def with_options(share: str = "share", port: int = 0, **options: Any) -> Connecting[Share]:
        url = f"{target.scheme}://{target.host}:{port or target.port}/{share}"
        url += f"/{folder.name}" if share == "share" else ""
        return frevo.connect(url, user=target.user, password=target.password, **options)

    return with_options


@pytest.mark.parametrize("target", ["unsigned", "samba"], indirect=True)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("protection", ["plain", "signed", "encrypted"])
async def test_every_dialect(connect: Connect, folder: Path, dialect: str, protection: str) -> None:
    """Data of odd sizes up and down with each dialect and protection; what was negotiated is what was requested."""
    encrypted = protection == "encrypted"
    if encrypted and dialect < "SMB3":
        with pytest.raises(RemoteError, match="without a cipher"):
            await connect(maximum=dialect, encryption=True)
        return
    async with connect(maximum=dialect, signing=protection != "plain", encryption=encrypted) as share:
        agreed, session = share.tree.connection.negotiated, share.tree.session.protection
        assert agreed is not None and agreed.dialect.name == dialect
        assert (session.sign, session.encrypt) == (protection != "plain", encrypted)
        for size in (0, 1, 65536, 65537, 3_000_001):
            data = os.urandom(size)
            assert await share.write_bytes("data", data) == size
            assert (folder / "data").read_bytes() == data
            assert await share.read_bytes("data") == data


@pytest.mark.tcp_only("NetBIOS is TCP")
@pytest.mark.parametrize("target", ["frevo", "samba"], indirect=True)
async def test_netbios(connect: Connect, target: Target, folder: Path) -> None:
    """Over the NetBIOS session service, whose frames are small."""
    data = os.urandom(1_000_000)
    async with connect(port=target.nbt_port, transports="nbt") as share:
        await share.write_bytes("data", data)
        assert await share.read_bytes("data") == data


async def test_a_big_file(connect: Connect, folder: Path) -> None:
    """300 MB up and down through one buffer with many requests in flight; the checksums agree."""
    size, step = 300_000_000, 20_000_000
    data = os.urandom(step)
    wanted = hashlib.sha256()
    async with connect() as share, share.open("big", "x+b") as file:
        for _ in range(size // step):
            wanted.update(data)
            await file.write(data)
        assert (await file.stat()).size == size
        got, buffer = hashlib.sha256(), bytearray(step)
        await file.seek(0)
        while count := await file.readinto(buffer):
            got.update(memoryview(buffer)[:count])
    assert got.digest() == wanted.digest()
    with (folder / "big").open("rb") as local:
        assert hashlib.file_digest(local, "sha256").digest() == wanted.digest()


async def test_a_file_object(connect: Connect, folder: Path) -> None:
    """Positions, truncation, append, exclusive creation, modes; like Python's own files."""
    async with connect() as share:
        async with share.open("file", "w+b") as file:
            assert await file.write(b"0123456789") == 10 and file.tell() == 10
            assert await file.seek(-3, os.SEEK_END) == 7
            assert await file.read() == b"789"
            assert await file.pread(4, 2) == b"2345"
            assert await file.pwrite(b"XY", 4) == 2
            buffer = bytearray(20)
            assert await file.preadinto(buffer, 3) == 7 and buffer[:7] == b"3XY6789"
            assert await file.truncate(5) == 5
            await file.flush()
            assert await file.pread(10, 5) == b""
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            await file.pread(1, 0)
        async with share.open("file", "ab") as file:
            await file.write(b"!")
        assert (folder / "file").read_bytes() == b"0123X!"
        with pytest.raises(FileExistsError):
            await share.open("file", "xb")
        with pytest.raises(PermissionError):
            async with share.open("file") as file:
                await file.write(b"no")
        with pytest.raises(ValueError, match="mode"):
            share.open("file", "rt")


async def test_names(connect: Connect, folder: Path) -> None:
    """Names with emoji, trailing dots, 255 letters, many at once: made, listed, read, removed."""
    names = ["emoji 😀", "Grüße", "x" * 255, "-dash", "#hash%41", "a;b,c=d"]
    async with connect() as share:
        for name in names:
            await share.write_bytes(name, name.encode())
        assert sorted(await share.listdir()) == sorted(names)
        for name in names:
            assert await share.read_bytes(name) == name.encode()
            await share.remove(name)
        assert await share.listdir() == []
        for name in ("trailing dot.", "trailing space "):  # listed under other names, for Windows' sake
            await share.write_bytes(name, name.encode())
            assert (folder / name).read_bytes() == await share.read_bytes(name) == name.encode()
            await share.remove(name)
        with pytest.raises(OSError):
            await share.write_bytes("x" * 256, b"")
        with pytest.raises(ValueError, match="outside the share"):
            await share.read_bytes("../../secret")


async def test_a_large_directory(connect: Connect, folder: Path) -> None:
    """3,000 names come in several pages, each with its size, without a request per entry."""
    for index in range(3000):
        (folder / f"file number {index:05}").write_bytes(b"x" * (index % 7))
    async with connect() as share:
        found = {entry.name: entry.stat().size async for entry in share.scandir()}
        assert len(found) == 3000 and all(size == int(name[-5:]) % 7 for name, size in found.items())
        assert len([entry async for entry in share.scandir(pattern="*0007?")]) == 10
        async for _ in share.scandir():  # left early: the listing ends, the connection goes on
            break
        assert await share.exists("file number 00000")


async def test_the_tree(connect: Connect, folder: Path) -> None:
    """makedirs, walk, glob, rename onto free and taken names, rmdir, rmtree."""
    async with connect() as share:
        await share.makedirs("a/b/c")
        await share.makedirs("a/b/c", exist_ok=True)
        with pytest.raises(FileExistsError):
            await share.makedirs("a/b/c")
        for name in ("a/1.txt", "a/b/2.txt", "a/b/c/3.bin"):
            await share.write_bytes(name, b"x")
        walked = [
            (top, [d.name for d in dirs], [f.name for f in files]) async for top, dirs, files in share.walk()
        ]
        assert walked == [
            ("", ["a"], []),
            ("a", ["b"], ["1.txt"]),
            ("a/b", ["c"], ["2.txt"]),
            ("a/b/c", [], ["3.bin"]),
        ]
        assert sorted([entry.path async for entry in share.glob("**/*.TXT")]) == ["a/1.txt", "a/b/2.txt"]
        assert [entry.path async for entry in share.glob("a/?.txt")] == ["a/1.txt"]
        await share.rename("a/1.txt", "a/one.txt")
        with pytest.raises(FileExistsError):
            await share.rename("a/one.txt", "a/b/2.txt")
        await share.rename("a/one.txt", "a/b/2.txt", replace=True)
        with pytest.raises(OSError) as caught:
            await share.rmdir("a/b")
        assert caught.value.ntstatus == NTStatus.DIRECTORY_NOT_EMPTY  # type: ignore[attr-defined]
        with pytest.raises(IsADirectoryError):
            await share.remove("a/b")
        await share.rmtree("a")
        assert names_in(folder) == []


async def test_what_is_known_of_a_file(connect: Connect, folder: Path) -> None:
    """Times, attributes, security descriptor, EAs, streams and free space are set and read back."""
    async with connect() as share:
        await share.write_bytes("file", b"12345")
        when = 1_600_000_000_123_456_700
        await share.set_times("file", modified_ns=when, created_ns=when - 10**12)
        await share.set_attributes("file", int(FileAttributes.READONLY | FileAttributes.HIDDEN))
        known = await share.stat("file")
        assert (known.size, known.st_mtime_ns, known.links) == (5, when, 1)
        assert known.attributes & 3 == 3 and known.is_file() and not known.is_dir()
        assert known.st_birthtime == pytest.approx(when / 1e9 - 1000)
        await share.set_attributes("file", 0)
        descriptor = await share.security("file")
        assert descriptor.owner is not None and descriptor.dacl is not None
        await share.set_security("file", descriptor, 4)
        assert (await share.security("file")).dacl == descriptor.dacl
        await share.set_eas("file", {"COLOUR": b"blue", "EMPTY": b""})
        assert {name.upper(): value for name, value in (await share.eas("file")).items()} == {
            "COLOUR": b"blue"
        }
        await share.write_bytes("file:notes", b"in a stream")
        assert await share.read_bytes("file:notes") == b"in a stream"
        assert sorted((one.name, one.size) for one in await share.streams("file")) == [
            ("::$DATA", 5),
            (":notes:$DATA", 11),
        ]
        room = await share.statvfs()
        assert 0 < room.available <= room.free <= room.total


async def test_copies_on_the_server(connect: Connect, folder: Path) -> None:
    """A file larger than one request's chunks is copied by the server; progress is reported."""
    data = os.urandom(40_000_123)
    (folder / "from").write_bytes(data)
    told: list[int] = []
    async with connect() as share:
        assert await share.copy("from", "to", progress=told.append) == len(data)
        assert await share.copy("from", "to") == len(data)
        with pytest.raises(FileExistsError):
            await share.copy("from", "to", overwrite=False)
    assert (folder / "to").read_bytes() == data and told[-1] == len(data) and len(told) > 1


async def test_watching(connect: Connect, folder: Path) -> None:
    """Changes made by another connection arrive while the watching one does other things."""
    async with connect() as share, connect() as other:
        changes = share.watch(recursive=True)

        async def added() -> str:
            return await anext(change.path async for change in changes if change.action == "added")

        first = asyncio.create_task(added())
        await share.stat()
        await share.stat()
        for index in range(100):  # smbd begins to watch some time after the request
            await other.write_bytes(f"new{index}", b"x")
            if (await asyncio.wait({first}, timeout=0.1))[0]:
                break
        assert "new" in await asyncio.wait_for(first, 10)
        await changes.aclose()  # type: ignore[attr-defined]
        assert await share.exists("new0")


async def test_listing_shares(target: Target) -> None:
    """The server's list has the browseable shares with their comments."""
    url = target.url
    async with frevo.connect_server(url, user=target.user, password=target.password) as server:
        found = {one.name: one for one in await server.shares()}
        assert found["share"].comment == "read and write" and found["share"].kind == "disk"
        assert found["IPC$"].special and "hidden" not in found


async def test_wrong_credentials(connect: Connect, target: Target) -> None:
    """A wrong password and a forbidden share are PermissionErrors that say so, with the status."""
    with pytest.raises(LogonError) as caught:
        await frevo.connect(f"{target.url}/share", user=target.user, password="wrong")
    assert caught.value.ntstatus == NTStatus.LOGON_FAILURE and isinstance(caught.value, PermissionError)
    with pytest.raises(PermissionError) as denied:
        await connect("others")
    assert denied.value.ntstatus == NTStatus.ACCESS_DENIED  # type: ignore[attr-defined]
    with pytest.raises(FileNotFoundError, match="no such share"):
        await connect("not-a-share")


@pytest.mark.parametrize("operation", ["read", "write", "listing", "open", "watch"])
async def test_cancelled_work(connect: Connect, folder: Path, operation: str) -> None:
    """Work cancelled at every turn of the loop: the caller's buffer is free, nothing stays open, the rest
    continues."""
    (folder / "data").write_bytes(bytes(range(256)) * 80_000)
    async with connect() as share, share.open("data", "r+b") as file:
        for turns in range(12):
            buffer = bytearray(8_000_000)

            async def work(operation: str = operation, buffer: bytearray = buffer) -> None:
                if operation == "read":
                    await file.preadinto(buffer, 0)
                elif operation == "write":
                    await file.pwrite(buffer, 30_000_000)
                elif operation == "listing":
                    await share.listdir()
                elif operation == "open":
                    await (await share.open("data")).close()
                else:
                    await anext(share.watch())  # type: ignore[arg-type]

            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            buffer.clear()  # BufferError when a view of it were still alive
            assert await file.pread(4, 256) == b"\0\1\2\3"
        connection = share.tree.connection
        while connection._pending or connection.credits.free != connection.credits_held:
            await share.stat()  # meanwhile the responses to abandoned requests arrive
        assert not connection._waiting
        await file.close()
        await share.remove("data")  # nobody has it open any more
        assert not (folder / "data").exists()


async def test_many_at_a_time(connect: Connect, folder: Path) -> None:
    """Five hundred coroutines on one connection, more than there are credits: each gets its own response."""
    async with connect() as share:

        async def one(index: int) -> None:
            await share.write_bytes(f"f{index}", f"{index}".encode() * 100)
            assert await share.read_bytes(f"f{index}") == f"{index}".encode() * 100

        await asyncio.gather(*(one(index) for index in range(500)))
        assert len(names_in(folder)) == 500


async def test_a_lost_connection(connect: Connect, folder: Path) -> None:
    """Cut while working, without reconnecting: everything fails with ConnectionError, and closing still works."""
    (folder / "data").write_bytes(bytes(50_000_000))
    async with connect(reconnect=0) as share:
        reads = [asyncio.create_task(share.read_bytes("data")) for _ in range(3)]
        watching = asyncio.create_task(anext(share.watch()))  # type: ignore[arg-type]
        await share.stat()
        share.tree.connection.plane.transport.close(share.tree.connection.number, abort=True)
        results = await asyncio.gather(*reads, watching, return_exceptions=True)
        assert all(isinstance(result, ConnectionLost) for result in results), results
        with pytest.raises(ConnectionError):
            await share.stat()


@contextmanager
def between(target: Target, change: Callable[[bytes], bytes]) -> Iterator[int]:
    """The port of a link to the target on which *change* sees what the server sends; over QUIC, by somebody whom the
    client trusts."""
    alter = only_changed(lambda way, message: change(message) if way == "down" else message)
    with (
        AlteringRelay(target.host, target.tcp_port, alter) as relay,
        transports.reaching(relay.port) as place,
    ):
        yield int(place.rpartition(":")[2])


@pytest.mark.parametrize("target", ["frevo", "samba"], indirect=True)
@pytest.mark.parametrize("dialect", ["SMB3_02", "SMB3_11"])
async def test_a_changed_negotiation(connect: Connect, target: Target, dialect: str) -> None:
    """The negotiation is changed in transit: the client notices and disconnects."""

    def change(body: bytes) -> bytes:
        if body[:4] == b"\xfeSMB" and body[12:14] == b"\0\0":
            return body[:72] + bytes((body[72] ^ 1,)) + body[73:]  # a byte of ServerGuid
        return body

    with between(target, change) as port, pytest.raises((RemoteProtocolError, LogonError, ConnectionLost)):
        await connect(port=port, maximum=dialect)


@pytest.mark.parametrize("target", ["frevo", "samba"], indirect=True)
async def test_a_changed_answer(connect: Connect, target: Target, folder: Path) -> None:
    """A byte of data is changed in transit: the signature reveals it."""
    (folder / "data").write_bytes(b"honest data " * 1000)

    def change(body: bytes) -> bytes:
        return body.replace(b"honest", b"forged", 1)

    with between(target, change) as port:
        async with connect(port=port) as share:
            with pytest.raises(ConnectionLost, match="signature"):
                await share.read_bytes("data")


@pytest.mark.parametrize("target", ["unsigned", "samba"], indirect=True)
async def test_a_malformed_answer(connect: Connect, target: Target, folder: Path) -> None:
    """A READ response with a wrong length, unsigned: the read fails and the connection ends, nobody waits for ever."""
    (folder / "data").write_bytes(bytes(100_000))

    def change(body: bytes) -> bytes:
        if body[:4] == b"\xfeSMB" and body[12:14] == b"\x08\0" and len(body) > 1000:
            return body[:68] + b"\xff\xff\xff\x7f" + body[72:]
        return body

    with between(target, change) as port:
        async with connect(port=port, signing=False) as share:
            file = await share.open("data")
            for read in (file.preadinto(bytearray(100_000), 0), file.pread(100_000, 0)):
                with pytest.raises(ConnectionLost):
                    await asyncio.wait_for(read, 10)
