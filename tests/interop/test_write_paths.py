"""Foreign clients write through each way in which the data of large WRITEs come."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from interop import test_impacket, test_smbprotocol
from peers.frevo_server import frevo_server, status_of
from peers.smbclient import smbclient
from peers.target import Target
from smbprotocol.connection import Dialects

from frevo.aio.features import choose_data_plane

pytestmark = [pytest.mark.interop, pytest.mark.tcp_only("these are ways to receive from a TCP socket")]

CONTENT = os.urandom(20 * 1024 * 1024 + 4321)


def by_smbclient(target: Target, folder: Path) -> None:
    (folder / "local").write_bytes(CONTENT)
    options = ("--option=client signing=disabled", "--option=client ipc signing=disabled")
    smbclient(target, "put local by_smbclient", cwd=folder, options=options).ok()


def by_impacket(target: Target, _: Path) -> None:
    connection = test_impacket.connect(target, test_impacket.DIALECTS["2.1"])  # 3.x signs
    connection.putFile("share", "by_impacket", io.BytesIO(CONTENT).read)
    connection.close()


def by_smbprotocol(target: Target, _: Path) -> None:
    client = test_smbprotocol.Client(target, Dialects.SMB_3_0_2, signing=False)
    file = client.open("by_smbprotocol")
    for start in range(0, len(CONTENT), 1 << 20):
        file.write(CONTENT[start : start + (1 << 20)], start)
    file.close()
    client.close()


@pytest.mark.parametrize("path", ["plain", "fixed", "splice"])
@pytest.mark.parametrize("engine", ["uring", "epoll"])
def test_foreign_clients_write(engine: str, path: str, tmp_path: Path) -> None:
    """Goal: what three independent clients write, none of which signs, is what they have. Method: each way forced."""
    if engine == "uring" and choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    keys = {"frevo:engine": engine, "frevo:write path": path, "server signing": "disabled"}
    with frevo_server(tmp_path, keys) as server:
        spliced = 0
        for write in (by_smbclient, by_impacket, by_smbprotocol):
            write(server, tmp_path)
            assert (server.folder() / write.__name__).read_bytes() == CONTENT, write.__name__
            statistics = status_of(tmp_path / "smb.conf")["frevo"]["statistics"]
            before, spliced = spliced, statistics["written_spliced"]
            assert (spliced - before > 4_000_000) == (path == "splice"), write.__name__
