"""SMB Direct as users see it: `frevo serve --rdma`, commands with smb+rdma:// URLs, status, and what goes wrong."""

from __future__ import annotations

import json
import os
import resource
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from peers.target import PASSWORD

from frevo import connect
from frevo.auth.accounts import AccountStore
from frevo.transport import smbdirect
from frevo.transport.emulated import bind_port
from frevo.transport.smbdirect import MESSAGE_SIZE, SmbDirectSettings
from integration.live import until
from integration.test_serve import FREVO, folder_arguments, serving, stop

pytestmark = pytest.mark.once("processes, and both providers of its own")

#: More than a message of SMB Direct carries, and than one of SMB.
DATA = bytes(range(256)) * (3 << 12)


@dataclass(slots=True)
class Served:
    """A server of a folder with the file hello.bin (DATA), for user eve with PASSWORD."""

    process: subprocess.Popen[str]
    config: Path
    port: int

    def url(self, path: str = "") -> str:
        return f"smb+rdma://eve@127.0.0.1:{self.port}/data{path}"

    def frevo(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of frevo's client, with the server's configuration."""
        environment = {**os.environ, "FREVO_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "frevo", *words, "-s", str(self.config)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    @property
    def provider(self) -> smbdirect.Provider:
        return "emulated" if "provider = emulated" in self.config.read_text() else "iwarp"

    def moved(self) -> tuple[int, int]:
        """Bytes that RDMA has moved to clients and from them, as the status says."""
        counters = json.loads(self.status("--json"))["frevo"]["statistics"]
        return counters["rdma_bytes_sent"], counters["rdma_bytes_received"]

    def status(self, *options: str) -> str:
        """`frevo status`."""
        command = [*FREVO, "status", "-c", str(self.config), *options]
        return subprocess.check_output(command, text=True, timeout=30, env={**os.environ, "COLUMNS": "300"})


def configured(tmp_path: Path, *lines: str) -> Path:
    """smb.conf for a server of the folder `data`, with *lines* in [global]."""
    first = (f"private dir = {tmp_path}/p", "interfaces = 127.0.0.1", "bind interfaces only = yes")
    directory = f"frevo:smbdirect directory = {tmp_path}/run"
    more = ("frevo:unix users = no", directory, *lines, "[data]", f"path = {tmp_path}/data", "read only = no")
    path = tmp_path / "smb.conf"
    path.write_text("\n".join(("[global]", *first, *more)) + "\n")
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "hello.bin").write_bytes(DATA)
    if not (tmp_path / "p").exists():
        AccountStore(tmp_path / "p").add("eve", PASSWORD)
    return path


@contextmanager
def served(tmp_path: Path, provider: str, *lines: str) -> Iterator[Served]:
    """`frevo serve -c smb.conf -p 0 --rdma=0`, stopped at the end."""
    config = configured(tmp_path, f"frevo:smbdirect provider = {provider}", *lines)
    with serving("-c", str(config), "-p", "0", "--rdma=0", "-q") as (process, ready):
        yield Served(process, config, int(ready["smbdirect"]))
        _, _, err = stop(process)
        assert process.returncode == 0 and "Traceback" not in err, err


@pytest.fixture(params=["iwarp", "emulated"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with each provider that needs no device."""
    with served(tmp_path, request.param) as found:
        yield found


def test_commands(server: Served, tmp_path: Path) -> None:
    """ls, get, put, cp and rm with URLs, whole and compared."""
    done = server.frevo("ls", "-l", server.url())
    assert done.returncode == 0 and "hello.bin" in done.stdout and str(len(DATA)) in done.stdout, done.stderr
    for words in (
        ("get", server.url("/hello.bin"), str(tmp_path / "got.bin")),
        ("put", str(tmp_path / "got.bin"), server.url("/put.bin")),
        ("cp", server.url("/put.bin"), server.url("/copied.bin")),
    ):
        done = server.frevo(*words)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "got.bin").read_bytes() == DATA
    assert (tmp_path / "data" / "put.bin").read_bytes() == DATA == (tmp_path / "data" / "copied.bin").read_bytes()
    assert server.frevo("rm", server.url("/copied.bin")).returncode == 0
    assert not (tmp_path / "data" / "copied.bin").exists()
    moved = server.moved()
    assert moved == (len(DATA), len(DATA))  # the copy was the server's own
    words = ("get", server.url("/hello.bin"), str(tmp_path / "again.bin"), "--option", "frevo:rdma threshold=0")
    assert server.frevo(*words).returncode == 0
    assert (tmp_path / "again.bin").read_bytes() == DATA and server.moved() == moved


def test_bench_stat_and_mount(server: Served, tmp_path: Path) -> None:
    """The bench says what carried the data and which process served them; stat says what has moved; a mount reads."""
    words = ("--time", "0.3", "--io-size", "64K", "--connections", "2", "-q", "--json", str(tmp_path / "r.json"))
    done = server.frevo("bench", "read", server.url(), *words)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["server"]["transport"], report["server"]["transport_provider"]) == ("smbdirect", server.provider)
    assert report["server"]["processes"] == [server.process.pid] and report["errors"] == 0
    done = server.frevo("stat", server.url(), "--json")
    assert json.loads(done.stdout)["rdma_provider"] == server.provider, done.stderr
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine has no FUSE")
    (tmp_path / "mnt").mkdir()
    done = server.frevo("mount", server.url(), str(tmp_path / "mnt"))
    assert done.returncode == 0, done.stderr
    try:
        assert (tmp_path / "mnt" / "hello.bin").read_bytes() == DATA
    finally:
        subprocess.run([*FREVO, "umount", str(tmp_path / "mnt")], timeout=30, check=False)


async def test_sizes_and_protections(tmp_path: Path) -> None:
    """Everything arrives with the least of everything, by RDMA and in messages, with and without RDMA transforms."""
    least = ("credits = 2", "message size = 128K", "receive size = 1K", "crc = yes")
    with served(tmp_path, "iwarp", *(f"frevo:smbdirect {line}" for line in least)) as server:
        options: list[dict[str, Any]] = [
            {}, {"rdma_threshold": 0}, {"encryption": True}, {"maximum": "SMB3_00"}, {"signing": False},
            {"encryption": True, "rdma_transforms": "none"},
        ]  # fmt: skip
        for one in options:
            async with connect(server.url(), password=PASSWORD, smbdirect_provider="iwarp", **one) as share:
                await share.write_bytes("new.bin", DATA)
                assert await share.read_bytes("new.bin") == DATA, one


def test_shares_and_wrong_passwords(server: Served) -> None:
    """Pipes work as over TCP; a wrong password is what is said to be wrong."""
    listed = server.frevo("shares", server.url().removesuffix("/data"))
    assert listed.stdout.split()[:2] == ["data", "disk"], listed.stderr
    environment = {**os.environ, "FREVO_PASSWORD": "wrong"}
    command = [*FREVO, "ls", server.url(), "-s", str(server.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 1 and "wrong user or password" in done.stderr


async def test_status_and_the_library(server: Served) -> None:
    """The library connects by URL; status tells provider, credits and sizes of the connection, to programs and
    people."""
    provider = server.provider
    settings = SmbDirectSettings(directory=str(server.config.parent / "run"))
    async with connect(
        server.url(), password=PASSWORD, smb_direct=settings, smbdirect_provider=provider
    ) as share:
        assert await share.read_bytes("hello.bin") == DATA
        until(lambda: rdma_of(server)["message_size"] > 0)  # it is up to a second old
        found = rdma_of(server)
        assert (found["provider"], found["direct"], found["message_size"]) == (provider, True, MESSAGE_SIZE)
        assert found["send_size"] == found["receive_size"] == 8192
        assert 0 < found["send_credits"] <= 255 and 0 < found["receive_credits"] <= 255
        text = server.status()
        assert f"smbdirect 127.0.0.1:{server.port}" in text or f"smbdirect localhost:{server.port}" in text
        [row] = [line for line in text.splitlines() if f" {provider} " in line]
        assert " / " in row and str(MESSAGE_SIZE) in row
    snapshot = json.loads(server.status("--json"))
    assert snapshot["frevo"]["transports"].get("smbdirect", 0) <= 1


def rdma_of(server: Served) -> dict[str, Any]:
    """What status says of SMB Direct on the only connection by it."""
    sessions = json.loads(server.status("--json"))["sessions"].values()
    [found] = [
        channel["rdma"] for one in sessions for channel in one["channels"].values() if "rdma" in channel
    ]
    return dict(found)


#: A client whose real user is nobody: files are opened as by root, but the memory of root's processes cannot be read.
AS_NOBODY = """
import asyncio, os, sys
from frevo import connect
from frevo._native import drop_capability
from frevo.transport.smbdirect import SmbDirectSettings

os.setresuid(65534, 0, 0)
drop_capability(19)  # CAP_SYS_PTRACE

async def work(url, directory, password):
    async with connect(url, password=password, smb_direct=SmbDirectSettings("emulated", directory)) as share:
        print(len(await share.read_bytes("hello.bin")), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(work(*sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_memory_that_may_not_be_read(tmp_path: Path) -> None:
    """Where one end may not read the other one's memory, the data go through the socket, and the status says so."""
    with served(tmp_path, "emulated") as server:
        command = [sys.executable, "-c", AS_NOBODY, server.url(), str(tmp_path / "run"), PASSWORD]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as client:  # type: ignore[call-overload]
            try:
                assert client.stdout.readline() == f"{len(DATA)}\n"
                until(lambda: rdma_of(server)["bytes_sent"] == len(DATA))  # it is up to a second old
                assert rdma_of(server)["direct"] is False
                assert "emulated (data in messages)" in server.status()
            finally:
                client.stdin.close()
                client.wait(20)
        assert client.returncode == 0


def test_the_line_that_is_printed_works(tmp_path: Path) -> None:
    """`frevo serve DIR --rdma` prints a line for frevo's client, and that runs as it stands."""
    AccountStore(tmp_path / "p").add("eve", PASSWORD)
    with serving(*folder_arguments(tmp_path, "--port", "0", "--rdma=0")) as (process, ready):
        (tmp_path / "data" / "hello.txt").write_text("hello")
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Stop with"):
            lines.append(process.stdout.readline())
        [line] = [line for line in lines if "smb+rdma://" in line]
        _, command, *words = shlex.split(line)
        assert command == "frevo" and f":{ready['smbdirect']}/data" in line
        environment = {**os.environ, "FREVO_PASSWORD": PASSWORD}
        done = subprocess.run(
            [*FREVO, *words], capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert (done.returncode, done.stdout.split()[-1]) == (0, "hello.txt"), done.stderr
        stop(process)


# -- what cannot be served


def refused(*words: str, **more: Any) -> str:
    """What `frevo serve` says that does not start."""
    done = subprocess.run([*FREVO, "serve", *words], capture_output=True, text=True, timeout=30, check=False, **more)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_ports_in_use(tmp_path: Path) -> None:
    """A port of TCP that another program has, and a socket that another server has: who may have it, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = configured(tmp_path, f"server smb transports = smbdirect:{port}", "frevo:smbdirect provider = iwarp")
        said = refused("-c", str(config))
        assert f"127.0.0.1:{port} is in use, perhaps by ksmbd or another frevo" in said and "--rdma=N" in said
    taken_port = bind_port(tmp_path / "run", 0)
    try:
        line = f"server smb transports = smbdirect:{taken_port.port}"
        said = refused("-c", str(configured(tmp_path, line, "frevo:smbdirect provider = emulated")))
        assert f"{taken_port.path} is in use" in said
    finally:
        taken_port.close()


def test_what_a_killed_server_leaves(tmp_path: Path) -> None:
    """Its socket stays; the next server takes its port over."""
    lines = ("server smb transports = smbdirect:5445", "frevo:smbdirect provider = emulated")
    config = configured(tmp_path, *lines)
    with serving("-c", str(config), "-q") as (process, _):
        process.kill()
        process.wait(20)
    assert (tmp_path / "run" / "smbdirect.5445.sock").is_socket()
    with serving("-c", str(config), "-q") as (process, ready):
        server = Served(process, config, int(ready["smbdirect"]))
        assert server.frevo("ls", server.url()).returncode == 0
        stop(process)
    assert not (tmp_path / "run" / "smbdirect.5445.sock").exists()


def test_providers_that_are_not_there(tmp_path: Path) -> None:
    """Server and client say that it was demanded, why it cannot be, and what can."""
    for provider in ("verbs", "kernel"):
        if not smbdirect.missing(provider):  # type: ignore[arg-type]
            pytest.skip(f"this machine has {provider}")
        lines = ("server smb transports = smbdirect:5445", f"frevo:smbdirect provider = {provider}")
        config = configured(tmp_path, *lines)
        said = refused("-c", str(config))
        assert f"frevo:smbdirect provider = {provider}, but" in said and "use auto or iwarp" in said
        checked = subprocess.run([*FREVO, "testparm", "-c", str(config)], capture_output=True, text=True, check=False)
        assert checked.returncode == 1 and f"provider = {provider}, but" in checked.stderr
        client = Served(None, config, 5445)  # type: ignore[arg-type]
        done = client.frevo("ls", client.url())
        assert done.returncode == 1 and f"provider = {provider}, but" in done.stderr, done.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Below a file, as not even root can write there."""
    (tmp_path / "file").touch()
    lines = (f"frevo:smbdirect directory = {tmp_path}/file/x", "frevo:smbdirect provider = emulated")
    said = refused("-c", str(configured(tmp_path, "server smb transports = smbdirect:5445", *lines)))
    assert f"{tmp_path}/file/x cannot be created in {tmp_path}/file: choose another folder" in said


def test_nobody_listens(tmp_path: Path) -> None:
    """A client finds no socket, or no port, and another machine is another one."""
    config = configured(tmp_path, "frevo:smbdirect provider = emulated")
    client = Served(None, config, 5445)  # type: ignore[arg-type]
    done = client.frevo("ls", client.url())
    assert done.returncode == 1 and f"there is no smbdirect.5445.sock in {tmp_path}/run" in done.stderr
    done = client.frevo("ls", "smb+rdma://eve@192.0.2.1/data")
    assert done.returncode == 1 and "emulated RDMA does not leave this machine" in done.stderr


def test_little_locked_memory(tmp_path: Path) -> None:
    """RLIMIT_MEMLOCK is for cards: without one, 64 KiB are enough to serve."""
    config = configured(tmp_path, "frevo:smbdirect provider = emulated")
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, before[1]))
    try:
        with serving("-c", str(config), "-p", "0", "--rdma=0", "-q") as (process, ready):
            server = Served(process, config, int(ready["smbdirect"]))
            done = server.frevo("get", server.url("/hello.bin"), str(tmp_path / "got"))
            assert done.returncode == 0, done.stderr
            stop(process)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
    assert (tmp_path / "got").read_bytes() == DATA
