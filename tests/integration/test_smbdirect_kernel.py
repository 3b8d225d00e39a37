"""Provider `kernel`: sockets that are streams of messages, as Linux' patches publish SMB Direct. No kernel has them for
programs yet, so that TCP's stand in for them here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from peers.in_process import in_process
from peers.target import USER

from frevo import connect
from frevo.transport import smbdirect
from frevo.transport.smbdirect import SmbDirectSettings

pytestmark = pytest.mark.once("a server of its own")


async def test_messages_over_sockets_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files travel in messages; the dialects are those of SMB Direct."""
    monkeypatch.setattr(smbdirect, "IPPROTO_SMBDIRECT", socket.IPPROTO_TCP)
    smbdirect.sockets_missing.cache_clear()
    try:
        options = {"frevo:smbdirect provider": "kernel", "interfaces": "127.0.0.1"}
        async with in_process(tmp_path / "server", options, transport="smbdirect") as served:
            url = f"smb+rdma://{USER}@127.0.0.1:{served.port}/share"
            async with connect(url, smb_direct=SmbDirectSettings(provider="kernel")) as share:
                data = os.urandom(3_000_000)
                await share.write_bytes("data.bin", data)
                assert (served.folder() / "data.bin").read_bytes() == data == await share.read_bytes("data.bin")
                [connection] = served.running.server.connections.values()
                assert connection.transport == "smbdirect"
                assert served.running.server.transport.smb_direct(connection.id) is None
    finally:
        smbdirect.sockets_missing.cache_clear()
