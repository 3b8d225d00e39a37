"""A disk of a real server that is slow: its share leaves the event loop by itself, and then delays nobody."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pair.client import create_request
from peers.stuck_fuse import overlay, stuck_fuse

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command
from integration.live import Live
from integration.test_serve import FREVO
from integration.test_stuck_filesystem import logged_on, served

#: Operations on another disk while this one does not answer.
OPERATIONS = 200


def where(config: Path) -> dict[str, tuple[str, str]]:
    """By share: where its calls are made, and why, according to `frevo status`."""
    command = [*FREVO, "status", "--json", "-c", str(config)]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        tree["service"]: (tree["calls"]["where"], tree["calls"]["reason"]) for tree in shown["tcons"].values()
    }


def test_a_slow_disk_leaves_the_loop(tmp_path: Path) -> None:
    """Goal: calls to a disk that has been slow no longer delay others, and the status says so. Method: look-ups that
    take 30 ms, on what the mount table calls local, until the share has left the loop; then one that does not end,
    during which another share is used."""
    lower, slow = tmp_path / "lower", tmp_path / "stuck"
    lower.mkdir()
    slow.mkdir()
    with stuck_fuse(lower, remembered_s=0) as fuse, overlay(lower, slow), served(tmp_path) as (_, live):
        config = tmp_path / "smb.conf"
        client, other = logged_on(live, "stuck"), logged_on(live, "good")
        assert where(config) == dict.fromkeys(("stuck", "good"), ("loop", "local and fast"))
        fuse.look_up_s = 0.03
        for number in range(60):
            answer = client.create(f"missing{number}", create_disposition=1)
            assert answer.status == NTStatus.OBJECT_NAME_NOT_FOUND
            if number >= 4 and where(config)["stuck"] == ("threads", "overlay is slow"):
                break
        assert where(config) == {"stuck": ("threads", "overlay is slow"), "good": ("loop", "local and fast")}
        fuse.stuck.set()
        message_id = client.send(Command.CREATE, create_request("x", create_disposition=1).pack())
        assert fuse.asked.wait(10)
        use(live, "good", OPERATIONS)
        other.close(other.open("new"))
        assert not [reply for reply in client.answers(message_id) if reply.status != NTStatus.PENDING]
        fuse.let_go()
        assert client.wait(message_id).status == NTStatus.OBJECT_NAME_NOT_FOUND


def use(live: Live, share: str, count: int) -> None:
    """A new client makes, writes, reads and closes files."""
    client = logged_on(live, share)
    for number in range(count // 4):
        file_id = client.open(f"file{number}")
        assert client.write(file_id, 0, b"data").status == NTStatus.SUCCESS
        assert client.read(file_id, 0, 4) == b"data"
        client.close(file_id)
