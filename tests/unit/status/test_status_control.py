"""frevo.status.control: the socket, its limits, and who may use it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frevo.errors import FrevoError
from frevo.status import control
from frevo.status.control import ControlError, ControlServer, ask, find_servers, socket_path


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """The blocking client, beside the loop that serves it."""
    return await asyncio.to_thread(function, *args)


def broken() -> None:
    """A handler that refuses."""
    raise FrevoError("not now")


def buggy() -> None:
    """A handler with a bug."""
    raise RuntimeError("oops")


async def slow() -> str:
    """A handler that waits a turn of the loop."""
    await asyncio.sleep(0)
    return "done"


HANDLERS = {"status": lambda: {"sessions": {}}, "broken": broken, "buggy": buggy, "slow": slow}


async def test_requests_and_errors(tmp_path: Path) -> None:
    """Goal: results, refusals and bugs reach the client as such. Method: one request each."""
    server = ControlServer(tmp_path / "private", HANDLERS)
    await server.start()
    try:
        mode = server.path.stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        assert await in_thread(ask, server.path, "status") == {"sessions": {}}
        assert await in_thread(ask, server.path, "slow") == "done"
        for request, message in (
            ("broken", "not now"),
            ("buggy", "oops"),
            ("nothing", "expected one of the requests"),
        ):
            with pytest.raises(ControlError, match=message):
                await in_thread(ask, server.path, request)
    finally:
        await server.close()
    assert not server.path.exists()
    with pytest.raises(ControlError, match="No such file"):
        ask(server.path, "status")


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"request": []}\n', b"[" * 5000 + b"\n"]
)
async def test_bad_requests_get_an_answer(tmp_path: Path, line: bytes) -> None:
    """Goal: the response to an invalid request says what is valid. Method: raw bytes."""
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        writer.write(line)
        assert b'"ok": false' in await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await server.close()


async def test_an_oversized_request_is_dropped(tmp_path: Path) -> None:
    """Goal: an endless request takes no memory and hurts nobody. Method: send more than the limit."""
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        with pytest.raises((ConnectionError, EOFError)):
            for _ in range(100):
                writer.write(b"x" * control.REQUEST_SIZE_MAX)
                await writer.drain()
            if await reader.read() == b"":
                raise EOFError
        writer.close()
        assert await in_thread(ask, server.path, "slow") == "done"
    finally:
        await server.close()


async def test_silent_clients_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a client that says nothing is dropped. Method: a short limit, then wait for the end."""
    monkeypatch.setattr(control, "TIMEOUT_S", 0.05)
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        assert await reader.read() == b""
        writer.close()
    finally:
        await server.close()


async def test_close_cuts_clients_off(tmp_path: Path) -> None:
    """Goal: stopping does not wait for clients. Method: close while one is connected and silent."""
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await server.close()
        assert await reader.read() == b""
    writer.close()


async def test_long_paths_work(tmp_path: Path) -> None:
    """Goal: a private folder whose path exceeds sun_path is fine. Method: nest folders."""
    folder = tmp_path / ("x" * 60) / ("y" * 60)
    server = ControlServer(folder, HANDLERS)
    await server.start()
    try:
        assert await in_thread(ask, server.path, "slow") == "done"
        assert await in_thread(find_servers, folder) == {os.getpid(): server.path}
    finally:
        await server.close()


async def test_servers_are_found_and_dead_sockets_removed(tmp_path: Path) -> None:
    """Goal: `find_servers` lists the servers that respond. Method: one server, a dead socket, another file."""
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    try:
        dead = socket_path(tmp_path, 999999)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(dead))
        (tmp_path / "control.x.sock").touch()
        assert await in_thread(find_servers, tmp_path) == {os.getpid(): server.path}
        assert not dead.exists()
    finally:
        await server.close()
    assert find_servers(tmp_path) == {}
    assert find_servers(tmp_path / "missing") == {}


async def test_other_users_get_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: only root and our own user get a response. Method: pretend to be another user."""
    if os.getuid() == 0:
        monkeypatch.setattr(control, "_CREDENTIALS", _Forged())
    else:
        monkeypatch.setattr(control.os, "geteuid", lambda: os.getuid() + 1)
    server = ControlServer(tmp_path, HANDLERS)
    await server.start()
    try:
        with pytest.raises(ControlError, match="only root"):
            await in_thread(ask, server.path, "status")
    finally:
        await server.close()


class _Forged:
    """SO_PEERCRED of another user."""

    size = 12

    def unpack(self, raw: bytes) -> tuple[int, int, int]:
        assert len(raw) == 12
        return 1, 4242, 4242


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """Goal: no place for the socket is a clear error. Method: a file where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(ControlError, match="control socket"):
        await ControlServer(tmp_path / "file" / "x", HANDLERS).start()
