"""A session that the server lets expire or ends: a new log-on on the same session, or on a new connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from peers.in_process import in_process

import frevo
from frevo.server.lifecycle import end_session


@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
@pytest.mark.parametrize("dialect", ["SMB2_10", "SMB3_11"])
async def test_an_expired_session(tmp_path: Path, dialect: str, encrypted: bool) -> None:
    """Expired with open files: one new log-on for all, the same session and opens; a write is repeated as well."""
    if encrypted and dialect < "SMB3":
        pytest.skip("no encryption before SMB 3")
    async with in_process(tmp_path / "server") as server:
        (server.folder() / "data").write_bytes(b"some data" * 100_000)
        async with (
            frevo.connect(server.url(), maximum=dialect, encryption=encrypted) as share,
            share.open("data") as file,
            share.open("new", "wb") as new,
        ):
            (session,) = server.running.server.sessions.values()
            for _ in range(3):
                session.expires_at = asyncio.get_running_loop().time()
                results = await asyncio.gather(
                    share.stat("data"), file.pread(4, 5), share.listdir(), share.read_bytes("data"),
                    new.pwrite(b"written", 0),
                )  # fmt: skip
                assert results[0].size == len(results[3]) == 900_000
                assert results[1] == b"data" and results[4] == 7
            assert list(server.running.server.sessions) == [session.id]
            assert len(server.running.server.connections) == 1
        assert (server.folder() / "new").read_bytes() == b"written"


@pytest.mark.each_transport
async def test_a_session_that_is_gone(tmp_path: Path) -> None:
    """The server no longer knows the session: a new connection, and reads continue."""
    async with in_process(tmp_path / "server") as server:
        (server.folder() / "data").write_bytes(b"some data")
        async with frevo.connect(server.url()) as share, share.open("data") as file:
            (session,) = server.running.server.sessions.values()
            end_session(server.running.server, session)
            assert await file.pread(4, 5) == b"data"
            assert (await share.stat("data")).size == 9
            assert [one.id for one in server.running.server.sessions.values()] != [session.id]
