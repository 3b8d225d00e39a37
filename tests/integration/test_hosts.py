"""`hosts allow` with real sockets: a loopback address that is not in the list is disconnected, 127.0.0.1 is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from peers.in_process import in_process

import frevo


@pytest.mark.each_transport
def test_a_real_address_is_refused(tmp_path: Path) -> None:
    """Goal: the address reported by the kernel decides. Method: connect from 127.0.0.2 and from 127.0.0.1."""

    async def run() -> None:
        async with in_process(tmp_path / "server", {"hosts allow": "192.0.2. 2001:db8::/32"}) as server:
            with server.way_in("127.0.0.2") as port:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=("127.0.0.2", 0)
                )
                writer.write(bytes(200))
                try:
                    assert await asyncio.wait_for(reader.read(), 10) == b""
                except ConnectionResetError:
                    pass
                writer.close()
            async with await frevo.connect(server.url()) as share:
                assert [entry async for entry in share.scandir()] == []
            assert not any(
                one.peer.startswith("127.0.0.2") for one in server.running.server.connections.values()
            )

    asyncio.run(run())
