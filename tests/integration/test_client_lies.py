"""Single lies of a server that signs them correctly: what the client's fuzzer has found, one by one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import transports
from peers.altering import command_of, elements, frame
from peers.lying_server import LyingRelay, ServerThread
from peers.target import PASSWORD, USER

import frevo
from frevo.client import RemoteError, batch
from frevo.wire.fscc import DirectoryEntry, FileInfoClass, pack_entry
from frevo.wire.smb2 import Command, QueryDirectoryResponse

_OPTIONS = {"user": USER, "password": PASSWORD, "reconnect": 0, "answer_timeout": 0.2}


class NoReport:
    def found(self, size: int) -> None: ...
    def advanced(self, size: int) -> None: ...
    def finished(self, path: str) -> None: ...
    def failed(self, path: str, error: OSError) -> None: ...


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[LyingRelay]:
    """A server with a file and a folder, behind a relay that is honest at first."""
    with (
        ServerThread(tmp_path / "server") as thread,
        LyingRelay(thread) as relay,
        transports.reaching(relay.port) as place,
    ):
        relay.url = f"{place}/share"
        (thread.folder() / "file").write_bytes(b"x" * 100_000)
        (thread.folder() / "folder").mkdir()
        (thread.folder() / "folder" / "good").write_bytes(b"good")
        yield relay


def lies(relay: LyingRelay, command: int, change: Callable[[bytes], bytes | None]) -> str:
    """From now on the responses to *command* are changed, or left out; the URL to connect to."""

    def lie(message: bytes) -> list[bytes | float | None]:
        parts = [change(one) if command_of(one) == command else one for one in elements(message)]
        return [] if None in parts else [frame(relay.thread.signed(b"".join(filter(None, parts))))]

    relay.lie = lie  # type: ignore[method-assign]
    return relay.url


def listing(*names: str) -> Callable[[bytes], bytes]:
    """The first page of a listing has these directories, some of them with impossible names."""

    def change(message: bytes) -> bytes:
        if message[8:12] != bytes(4):
            return message
        made = b""
        for name in names:
            packed = pack_entry(FileInfoClass.ID_BOTH_DIRECTORY, DirectoryEntry(name, 0x10))
            packed += bytes(-len(packed) % 8)
            made += (0 if name is names[-1] else len(packed)).to_bytes(4, "little") + packed[4:]
        return message[:20] + bytes(4) + message[24:64] + QueryDirectoryResponse(made).pack()

    return change


async def test_names_that_lead_out(relay: LyingRelay, tmp_path: Path) -> None:
    """`get -r` of names with slashes, "..", NUL or nothing: reported as an error, and nothing is made anywhere."""
    url = lies(relay, Command.QUERY_DIRECTORY, listing("../out", "..\\out", "a/b", "", "a\0b", ".."))
    target = tmp_path / "local" / "target"
    target.parent.mkdir()
    async with frevo.connect(url, None, **_OPTIONS) as share:
        totals = await batch.download(share, "folder", str(target), batch.Plan(recursive=True), NoReport())
    assert [str(error) for _, error in totals.errors if "the server listed invalid names" in str(error)]
    assert [one for one in target.parent.rglob("*") if one != target] == []


async def test_a_local_link_in_the_way(relay: LyingRelay, tmp_path: Path) -> None:
    """A directory whose name is a symbolic link here: the server does not choose where files go."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "folder").symlink_to(tmp_path / "elsewhere")
    async with frevo.connect(relay.url, None, **_OPTIONS) as share:
        plan = batch.Plan(recursive=True)
        totals = await batch.download(share, "", str(tmp_path / "target"), plan, NoReport())
    assert "symbolic link" in str(totals.errors[0][1]) and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
async def test_an_impossible_size(relay: LyingRelay, size: int) -> None:
    """EndOfFile with its highest bit set: malformed, and no memory is allocated."""
    url = lies(relay, Command.CREATE, lambda one: one[:112] + size.to_bytes(8, "little") + one[120:])
    async with frevo.connect(url, None, **_OPTIONS) as share:
        with pytest.raises(ConnectionError, match="malformed"):
            await share.read_bytes("file")


async def test_an_answer_that_never_comes(relay: LyingRelay) -> None:
    """The server lives but ignores one request: an error after ten times the time that it may be silent."""
    url = lies(relay, Command.QUERY_INFO, lambda _: None)
    async with frevo.connect(url, None, **_OPTIONS) as share, asyncio.timeout(20), share.open("file") as file:
        with pytest.raises(ConnectionError, match="no response to a request for 2 s"):
            await file.stat()


async def test_another_command(relay: LyingRelay) -> None:
    """A response that claims to answer another command."""
    wrong = int(Command.WRITE).to_bytes(2, "little")
    url = lies(relay, Command.READ, lambda one: one[:12] + wrong + one[14:])
    async with frevo.connect(url, None, **_OPTIONS) as share:
        with pytest.raises(ConnectionError, match="malformed"):
            await share.read_small("file", 10)


async def test_a_token_of_noise(relay: LyingRelay) -> None:
    """SESSION_SETUP with noise as its token: a clear error."""
    rng = random.Random(1)
    url = lies(relay, Command.SESSION_SETUP, lambda one: one[:72] + rng.randbytes(len(one) - 72))
    for _ in range(10):
        with pytest.raises(RemoteError):
            await frevo.connect(url, None, **_OPTIONS)
