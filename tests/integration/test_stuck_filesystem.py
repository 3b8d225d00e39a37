"""A real file system that does not respond, below one share of a real server: the others still work, and it can be
ended."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pair.client import Client, create_request
from peers import transports
from peers.programs import missing
from peers.stuck_fuse import stuck_fuse
from peers.target import PASSWORD, USER, section

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, CreateOptions
from integration.live import Live, live_server, until
from integration.test_serve import FREVO


@contextmanager
def served(
    base: Path,
    options: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
    acting: str = "",
) -> Iterator[tuple[subprocess.Popen[str], Live]]:
    """Shares "stuck" (the folder of that name) and "good", both with *settings*. *options* are for [global]. A server
    of root acts as the Unix user *acting*, if given."""
    settings = {**(settings or {}), **({"force user": acting} if acting else {})}
    shares = ""
    for name in ("stuck", "good"):
        (base / name).mkdir(exist_ok=True)
        shares += section(name, {"path": str(base / name), "read only": "no", **settings})
    options = {
        "private dir": str(base / "private"),
        "interfaces": "lo",
        "bind interfaces only": "yes",
        "frevo:unix users": "auto" if acting else "no",
        **transports.server_options(),
        **(options or {}),
    }
    config = base / "smb.conf"
    config.write_text(section("global", options) + "\n" + shares)
    add = [*FREVO, "user", "add", USER, "--password-stdin", "-c", str(config)]
    subprocess.run(add, input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    with live_server(config) as (process, live):
        yield process, live


def logged_on(live: Live, share: str) -> Client:
    client = live.connect()
    client.negotiate()
    client.log_on()
    client.connect_tree(share)
    return client


def listening(live: Live) -> bool:
    try:
        socket.create_connection((live.host, live.tcp_port), timeout=5).close()
    except OSError:
        return False
    return True


def thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def in_a_lane(client: Client, name: str, pid: int, threads: int) -> bool:
    """Looks up a missing name; whether that was done in a new thread. The server learns of a mount a moment after it
    was made."""
    assert client.create(name, create_disposition=1).status == NTStatus.OBJECT_NAME_NOT_FOUND
    return thread_count(pid) > threads


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_the_others_go_on(tmp_path: Path, when: str) -> None:
    """Goal: a share on a file system that does not respond delays nobody else, whether it was mounted at the share's
    folder before the start or below a share in use. Method: a lookup that hangs; another share, a new log-on; then it
    responds; at last it hangs again, and the server is told to stop and stops."""
    (tmp_path / "stuck" / "below").mkdir(parents=True)
    with served(tmp_path) as (process, live):
        client = logged_on(live, "stuck") if when == "meanwhile" else None
        threads = thread_count(process.pid)
        folder = tmp_path / "stuck" / ("below" if when == "meanwhile" else "")
        with stuck_fuse(folder) as fuse:
            client = client or logged_on(live, "stuck")
            prefix = "below\\" if when == "meanwhile" else ""
            until(lambda: in_a_lane(client, prefix + "y", process.pid, threads))
            fuse.stuck.set()
            message_id = client.send(
                Command.CREATE, create_request(prefix + "x", create_disposition=1).pack()
            )
            assert fuse.asked.wait(10)
            other = logged_on(live, "good")
            other.close(other.open("new"))
            assert not [reply for reply in client.answers(message_id) if reply.status != NTStatus.PENDING]
            fuse.let_go()
            assert client.wait(message_id).status == NTStatus.OBJECT_NAME_NOT_FOUND
            fuse.asked.clear()
            fuse.stuck.set()
            client.send(Command.CREATE, create_request(prefix + "z", create_disposition=1).pack())
            assert fuse.asked.wait(10)
            process.send_signal(signal.SIGINT)
            until(lambda: not listening(live), 15.0)
            fuse.let_go()  # on Linux no process ends before its system calls do
            _, errors = process.communicate(timeout=20)
            assert process.returncode == 0, errors


def test_the_user_in_a_lane() -> None:
    """Goal: calls in threads are made with the rights of the user, also of one that comes in between. Method: a share
    with a lane and `force user`; what is made belongs to that user, root's own files stay closed."""
    if os.geteuid() != 0:
        missing("acting as somebody else needs root")
    base = Path(tempfile.mkdtemp())
    try:
        base.chmod(0o755)
        daemon = pwd.getpwnam("daemon").pw_uid
        with served(base, settings={"frevo:inline metadata": "no"}, acting="daemon") as (_, live):
            (base / "stuck").chmod(0o777)
            secret = base / "stuck" / "secret"
            secret.write_text("root's")
            secret.chmod(0o600)
            client = logged_on(live, "stuck")
            assert client.create("secret", create_disposition=1).status == NTStatus.ACCESS_DENIED
            file_id = client.open("new", create_options=CreateOptions.DELETE_ON_CLOSE)
            client.write(file_id, 0, b"data")
            assert (base / "stuck" / "new").stat().st_uid == daemon
            client.close(file_id)
            assert not (base / "stuck" / "new").exists()
    finally:
        shutil.rmtree(base)
