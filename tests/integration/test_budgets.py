"""A user who takes as much as the process may have leaves enough for the others: descriptors and connections."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pair.client import Client, Disconnected
from pair.machine import OTHER_PASSWORD, OTHER_USER
from peers import transports
from peers.target import PASSWORD, USER, section

import frevo
from frevo.aio.features import choose_data_plane
from frevo.wire.erref import NTStatus
from integration.live import Live, descriptors, live_server
from integration.test_serve import FREVO

#: Descriptors of the server; a quarter of them, less a hundred, is for connections.
LIMIT = 1024


@contextmanager
def served(base: Path, limit: int = LIMIT, **keys: str) -> Iterator[tuple[Live, int]]:
    """A server with two users and *limit* descriptors, and its process id."""
    (base / "share").mkdir()
    (base / "share" / "file").write_text("data")
    options = {
        "private dir": str(base / "private"), "interfaces": "lo", "bind interfaces only": "yes",
        "frevo:unix users": "no",
        **transports.server_options(), **keys,
    }  # fmt: skip
    config = base / "smb.conf"
    share = section("share", {"path": str(base / "share"), "read only": "no"})
    config.write_text(section("global", options) + "\n" + share)
    for user, password in ((USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD)):
        add = [*FREVO, "user", "add", user, "--password-stdin", "-c", str(config)]
        subprocess.run(add, input=password + "\n", text=True, check=True, capture_output=True)
    with live_server(config, descriptors_max=limit) as (process, live):
        yield live, process.pid


def other_works(live: Live) -> None:
    """The other user logs on, opens and reads."""
    client = live.connect()
    client.negotiate()
    client.log_on(OTHER_USER, OTHER_PASSWORD)
    client.connect_tree("share")
    file_id = client.open("file", desired_access=1, create_disposition=1)
    assert client.read(file_id, 0, 4) == b"data"


def test_descriptors_of_one_user(tmp_path: Path) -> None:
    """Goal: opens are refused before the process runs out of descriptors, and one user does not get all of them.
    Method: a user opens files until one is refused; another logs on and reads; the first one closes a file and can
    open again."""
    with served(tmp_path) as (live, pid):
        client = live.logged_on()
        opened = []
        for _ in range(LIMIT):
            reply = client.create("file", desired_access=1, create_disposition=1)
            if reply.status != NTStatus.SUCCESS:
                break
            opened.append(client.open("file", desired_access=1, create_disposition=1))
        assert reply.status == NTStatus.INSUFFICIENT_RESOURCES
        assert descriptors(pid) <= LIMIT * 3 // 4
        other_works(live)
        client.close(opened[0])
        client.close(opened[1])
        client.open("file", desired_access=1, create_disposition=1)


@pytest.mark.each_transport
def test_connections_of_one_user(tmp_path: Path) -> None:
    """Goal: a user's connections leave room for other users'. Method: one logs on again and again until it is refused;
    another one works."""
    with served(tmp_path) as (live, _):
        refused = False
        for _ in range(LIMIT):
            client: Client = live.connect()
            try:
                client.negotiate()
                _, reply = client.try_log_on()
            except Disconnected:
                refused = True
                break
            refused = reply.status != NTStatus.SUCCESS
            if refused:
                break
        assert refused and len(live.links) > 10
        other_works(live)


@pytest.mark.tcp_only("QUIC has datagrams; pipes are for a TCP socket")
@pytest.mark.parametrize("engine", ["uring", "epoll"])
async def test_pipes_that_nobody_uses_leave_room_for_files(engine: str, tmp_path: Path) -> None:
    """Goal: the pipes that the data plane keeps do not keep clients from opening files. Method: few descriptors;
    unsigned WRITEs that are spliced, then a client opens as many files as its budget has room for."""
    if engine == "uring" and choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    limit = 44
    keys = {"frevo:engine": engine, "frevo:data plane threads": "1", "server signing": "disabled"}
    with served(tmp_path, limit, **keys) as (live, pid):
        before = descriptors(pid)
        url = f"smb://127.0.0.1:{live.tcp_port}/share"
        connecting = frevo.connect(url, user=USER, password=PASSWORD, signing=False, ciphers=())
        async with connecting as share, share.open("large", "wb") as file:
            for place in range(3):
                assert await file.pwrite(bytes(8 << 20), place) == 8 << 20
        pipes = descriptors(pid) - before
        assert pipes >= 8, "pipes are kept"
        client = live.logged_on()
        for _ in range(limit):
            reply = client.create("file", desired_access=1, create_disposition=1)
            if reply.status != NTStatus.SUCCESS:
                break
        assert reply.status == NTStatus.INSUFFICIENT_RESOURCES
