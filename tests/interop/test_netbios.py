"""The NetBIOS session service on its own port 139, where clients begin with a session request."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from impacket.smbconnection import SMBConnection
from peers import programs
from peers.frevo_server import frevo_server
from peers.smbclient import smbclient
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.tcp_only("NetBIOS is TCP")]

#: A separate loopback address, so that port 139 is free whatever else runs here.
HOST = "127.0.0.139"
PORT = 139


@pytest.fixture(scope="module")
def netbios_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with the nbt transport on port 139 and nothing else."""
    try:
        with socket.socket() as probe:
            probe.bind((HOST, PORT))
    except OSError as error:
        programs.missing(f"port {PORT} cannot be had: {error.strerror}")
    with frevo_server(tmp_path_factory.mktemp("nbt"), {"server smb transports": "nbt"}, host=HOST) as server:
        assert (server.nbt_port, server.port) == (PORT, 0)
        yield server


@pytest.mark.parametrize("dialect", ["SMB2_02", "SMB3_02", "SMB3_11"])
def test_smbclient(netbios_server: Target, tmp_path: Path, dialect: str) -> None:
    """smbclient on port 139: session request, then a file there and back."""
    (tmp_path / "file").write_bytes(bytes(100_000))
    smbclient(netbios_server, "put file", "get file copy", dialect=dialect, port=PORT, cwd=tmp_path).ok()
    assert (tmp_path / "copy").read_bytes() == bytes(100_000)


def test_impacket(netbios_server: Target) -> None:
    """impacket on port 139 calls the server by its NetBIOS name."""
    connection = SMBConnection("FREVOTEST", HOST, myName="TESTER", sess_port=PORT, timeout=30)
    connection.login(netbios_server.user, netbios_server.password)
    connection.putFile("share", "netbios.txt", io.BytesIO(b"content").read)
    assert (netbios_server.folder() / "netbios.txt").read_bytes() == b"content"
    connection.close()
