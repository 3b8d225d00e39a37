"""A server that is stopped at once: nothing is waited for, and what is due at close is still done."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from peers.in_process import in_process

import frevo
from frevo.client.tree import requests
from frevo.wire.smb2 import CreateDisposition, CreateOptions


@pytest.mark.each_transport
async def test_delete_on_close_is_done(tmp_path: Path) -> None:
    """A file to be deleted on close, when Ctrl-C comes twice: run_server is cancelled."""
    async with in_process(tmp_path / "server") as server:
        with pytest.raises(ConnectionError):
            async with frevo.connect(server.url(), reconnect=0) as share:
                request = requests.opening(
                    "doomed",
                    requests.DELETE,
                    disposition=int(CreateDisposition.CREATE),
                    options=int(CreateOptions.DELETE_ON_CLOSE),
                )
                await share.tree.create(request, "doomed")
                assert (server.folder() / "doomed").exists()
                server.serving.cancel()
                await asyncio.wait([server.serving])
                await share.stat("")
        assert server.serving.cancelled()
        assert not (server.folder() / "doomed").exists() and not server.running.server.connections
