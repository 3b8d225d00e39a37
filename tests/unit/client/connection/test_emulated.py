"""Emulated RDMA connections: to this machine only, by the socket of the port."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from frevo.client.connection import emulated as client
from frevo.transport.emulated import bind_port
from frevo.transport.smbdirect import SmbDirectSettings


def connect(folder: Path, host: str, port: int) -> str:
    """Connects, closes again, and says over which transport."""

    async def run() -> str:
        reached = await client.connect_emulated(SmbDirectSettings(directory=str(folder)), host, port, "smbdirect")
        await reached.close()
        return reached.transport

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_names_of_this_machine(tmp_path: Path, host: str) -> None:
    """Its names and addresses lead to the socket."""
    port = bind_port(tmp_path, 0)
    try:
        assert connect(tmp_path, host, port.port) == "smbdirect"
    finally:
        port.close()


def test_what_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, a port that nobody serves, a socket that this user may not use, one that is abandoned."""
    with pytest.raises(OSError, match=r"does not leave this machine, and 192\.0\.2\.7 is another one"):
        connect(tmp_path, "192.0.2.7", 5445)
    with pytest.raises(FileNotFoundError, match="no server listens"):
        connect(tmp_path, "localhost", 5445)
    port = bind_port(tmp_path, 5445)
    port.socket.close()
    with pytest.raises(ConnectionRefusedError):
        connect(tmp_path, "localhost", 5445)
    port.close()

    async def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    port = bind_port(tmp_path, 5445)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", forbidden)
    with pytest.raises(PermissionError, match=r"smbdirect\.5445\.sock: Permission denied"):
        connect(tmp_path, "localhost", 5445)
    port.close()
