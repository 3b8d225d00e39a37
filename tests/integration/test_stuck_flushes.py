"""FLUSHes that do not end: others still use the same file system."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pair.client import Client, FileId
from peers.frevo_server import FREVO
from peers.stuck_fuse import FSYNC

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, FlushRequest
from integration.test_stuck_filesystem import logged_on
from integration.test_stuck_reads import CONTENT, PAGE, Scene, made


def opened(client: Client) -> FileId:
    """An open whose FLUSHes the data plane answers."""
    file_id = client.open("file", create_disposition=1, desired_access=0x0012019F)
    assert client.read(file_id, 0, PAGE) == CONTENT[:PAGE]
    return file_id


def of_user_2(scene: Scene, config: Path) -> Client:
    add = [*FREVO, "user", "add", "user2", "--password-stdin", "-c", str(config)]
    subprocess.run(add, input="0therPassw0rd\n", text=True, check=True, capture_output=True)
    client = scene.live.connect()
    client.negotiate()
    client.log_on("user2", "0therPassw0rd")
    client.connect_tree("stuck")
    return client


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_flushes_of_one_user_stop_nobody_else(tmp_path: Path, engine: str) -> None:
    """Goal: a user's FLUSHes, on however many connections, leave threads for others on the same file system. Method:
    ten connections flush a file that FUSE does not write to disk, more than there are threads; another user reads it,
    and flushes it later."""
    with made(tmp_path, engine) as scene:
        scene.fuse.holds = {FSYNC}
        other = of_user_2(scene, tmp_path / "smb.conf")
        other_id = opened(other)
        clients = [logged_on(scene.live, "stuck") for _ in range(10)]
        files = [opened(client) for client in clients]
        scene.fuse.stuck.set()
        asked = []
        for client, file_id in zip(clients, files, strict=True):
            while client.granted < 4:
                client.echo()
            asked += [(client, client.send(Command.FLUSH, FlushRequest(file_id).pack())) for _ in range(4)]
        assert scene.fuse.asked.wait(10)
        for page in range(2, 40):
            assert other.read(other_id, page * PAGE, PAGE) == CONTENT[page * PAGE :][:PAGE]
        flush = other.send(Command.FLUSH, FlushRequest(other_id).pack())
        scene.fuse.let_go()
        assert other.wait(flush).status == NTStatus.SUCCESS
        for client, message_id in asked:
            assert client.wait(message_id).status == NTStatus.SUCCESS
