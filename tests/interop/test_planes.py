"""The data plane of this run is the one that was asked for, so that its repetition of other tests proves something."""

from __future__ import annotations

import pytest
from peers import transports
from peers.frevo_server import status_of
from peers.target import Serve

import frevo
from frevo.aio.features import choose, choose_data_plane


async def test_engine_and_fast_path_of_this_run(request: pytest.FixtureRequest, serve: Serve) -> None:
    """Goal: `--engine` and `--fast-path` reach servers, clients and programs. Method: a file is written and read twice
    by a client of this process; the server's status."""
    server = serve()
    place = server.over_quic() if transports.over_quic() else server
    async with frevo.connect(f"{place.url}/share", user=server.user, password=server.password) as share:
        await share.write_bytes("plane", b"data")
        async with share.open("plane") as file:
            assert await file.read(2) + await file.read(2) == b"data"
        await share.remove("plane")
    status = status_of(server.log.parent / "smb.conf")["frevo"]
    asked = request.config.getoption("--engine")
    wanted = choose_data_plane("auto")[0] if asked == "auto" else asked
    assert status["engine"] == choose_data_plane()[0] == wanted
    if asked != "auto":
        assert choose()[0] == ("uring" if asked == "uring" else "threads")
    fast = status["statistics"]["fast_reads"] > 0
    assert fast == (request.config.getoption("--fast-path") == "yes")
