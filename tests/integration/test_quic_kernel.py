"""SMB over the kernel's QUIC sockets: `frevo serve` and frevo's clients under an emulation of those sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from peers import pki
from peers.kernel_quic import KernelQuic
from peers.target import PASSWORD

from frevo.aio import features
from frevo.auth.accounts import AccountStore
from frevo.tls.generate import ensure_certificate
from frevo.tls.store import TlsStore
from frevo.transport import kernel_quic
from integration.test_serve import FREVO, serving, stop

ENGINES = ("epoll", "uring")

#: A client that says "in" and goes on asking until it is answered no more.
ASKING = """
    import asyncio, sys
    import frevo

    async def main(url, ca):
        async with frevo.connect(url, reconnect=0, tls_ca=ca) as share:
            print("in", flush=True)
            while True:
                await share.exists("x")
                await asyncio.sleep(0.02)

    asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(slots=True)
class Served:
    """A server of a folder for user eve, its kernel, and what it has said."""

    process: subprocess.Popen[str]
    port: int
    folder: Path
    kernel: KernelQuic

    @property
    def url(self) -> str:
        """Of its share."""
        return f"smb+quic://eve@localhost:{self.port}/data"

    def frevo(
        self, *words: str, kernel: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command of frevo's client, with the kernel's sockets or without them."""
        own = {**os.environ, **(self.kernel.environment if kernel else {}), **(environment or {})}
        command = [*FREVO, *words, "--option", "frevo:quic driver = auto"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own)

    def trusting(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """The same of a client that trusts the server."""
        return self.frevo(*words, "--tls-ca", str(self.folder / "p" / "tls" / "ca.pem"), **more)

    def script(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """A program of a client, in Python."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.kernel.environment},
        )

    def status(self) -> dict[str, Any]:
        """`frevo status --json`."""
        command = [*FREVO, "status", "--private-dir", str(self.folder / "p"), "--json"]
        found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True, timeout=30))
        return found

    def until_said(self, text: str) -> str:
        """Reads the log until *text* comes; what was read, with that line."""
        assert self.process.stderr is not None
        read = ""
        while text not in read:
            line = self.process.stderr.readline()
            assert line, f"{text!r} did not come: {read}"
            read += line
        return read


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelQuic:
    monkeypatch.setenv("FREVO_PASSWORD", PASSWORD)
    return KernelQuic(tmp_path / "kernel")


def configured(folder: Path, *lines: str) -> Path:
    """smb.conf of a server that has an account and a certificate."""
    first = f"[global]\nprivate dir = {folder}/p\ninterfaces = 127.0.0.1\nbind interfaces only = yes"
    more = ("frevo:unix users = no", *lines)
    path = folder / "smb.conf"
    share = f"[data]\npath = {folder}/data\nread only = no"
    path.write_text("\n".join((first, *more, share, "")))
    if not (folder / "data").exists():
        (folder / "data").mkdir()
        AccountStore(folder / "p").add("eve", PASSWORD)
        ensure_certificate(TlsStore(folder / "p"))
    return path


@contextmanager
def served(folder: Path, kernel: KernelQuic, *lines: str) -> Iterator[Served]:
    """A server with these lines in [global]; at the end nothing was refused by the emulated kernel."""
    path = configured(folder, *lines)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in kernel.environment.items():
            patched.setenv(name, value)
        running = serving("-c", str(path), "-p", "0", "--quic=0", "-v")
        process, ready = running.__enter__()
    try:
        yield Served(process, int(ready["quic"]), folder, kernel)
        _, _, err = stop(process)
        assert process.returncode == 0 and "Traceback" not in err, err
        kernel.check()
    finally:
        running.__exit__(None, None, None)


def of_engine(engine: str) -> str:
    """The line for a data plane's engine; skips where there is none."""
    if engine == "uring" and not features.probe().available:
        pytest.skip(f"no io_uring: {features.probe().reason}")
    return f"frevo:engine = {engine}"


@pytest.mark.parametrize("engine", ENGINES)
def test_files_go_and_come_back(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: everything works over the kernel's sockets, in both engines. Method: put, ls, get of small and large files;
    what status, the log and the emulated kernel say; no datagram was ours."""
    data = {name: os.urandom(size) for name, size in (("small", 10), ("large", 5_000_001))}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    with served(tmp_path, kernel, of_engine(engine)) as server:
        assert "QUIC: sockets of the kernel" in server.until_said("engine")
        for name in data:
            done = server.trusting("put", str(tmp_path / name), f"{server.url}/{name}")
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "data" / name).read_bytes() == data[name]
        listed = server.trusting("ls", server.url)
        assert listed.stdout.split() == ["large", "small"], listed.stderr
        for name, content in data.items():
            done = server.trusting("get", f"{server.url}/{name}", str(tmp_path / f"{name}.back"))
            assert done.returncode == 0, done.stderr
            assert (tmp_path / f"{name}.back").read_bytes() == content
        assert kernel.count("established server, cipher 51") == kernel.count("established client, cipher 51") == 5
        # A client gives a server up as soon as over TCP.
        assert (kernel.count("listens for smb, idle 60000000"), kernel.count("connects, idle 30000000")) == (1, 5)
        counters = server.status()["frevo"]["statistics"]
        assert counters["quic_datagrams_received"] == counters["quic_handshakes_failed"] == 0
        shown = server.trusting("stat", server.url, "--json")
        assert json.loads(shown.stdout)["transport_driver"] == "kernel"


def test_either_end_may_be_told_to_use_its_own(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: `user` leaves the kernel's sockets alone. Method: a server with it, whose log says nothing of drivers, and
    a client with it."""
    with served(tmp_path, kernel, "frevo:quic driver = user") as server:
        done = server.trusting("ls", server.url, environment={"LD_PRELOAD": ""})
        assert done.returncode == 0, done.stderr
        command = [*FREVO, "ls", server.url, "--tls-ca", str(tmp_path / "p" / "tls" / "ca.pem")]
        told = subprocess.run(
            [*command, "--option", "frevo:quic driver = user"],
            env={**os.environ, **kernel.environment}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        assert "of the kernel" not in server.until_said("disconnected")
        assert kernel.log() == ""


def test_a_kernel_that_has_none(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: without the sockets, `auto` says so in one line and goes on, and `kernel` is an error that names the key.
    Method: no emulation; server and client."""
    if not kernel_quic.missing():
        pytest.skip("this machine's kernel has QUIC sockets")
    kernel.environment.clear()
    with served(tmp_path, kernel) as server:
        said = server.until_said("engine")
        assert said.count("QUIC in") == 1 and "QUIC in user space: the kernel has no QUIC sockets (" in said
        assert server.trusting("ls", server.url).returncode == 0
        ca = str(tmp_path / "p" / "tls" / "ca.pem")
        command = [*FREVO, "ls", server.url, "--tls-ca", ca, "--option", "frevo:quic driver = kernel"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert told.returncode == 1 and "frevo:quic driver = kernel, but this kernel has no QUIC" in told.stderr
    path = configured(tmp_path, "frevo:quic driver = kernel")
    command = [*FREVO, "serve", "-c", str(path), "-p", "0", "--quic=0"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 1 and "Traceback" not in told.stderr
    assert "`frevo:quic driver`: this kernel has no QUIC sockets (" in told.stderr


def test_doctor_knows(kernel: KernelQuic) -> None:
    """Goal: `frevo doctor` says whether the kernel's sockets are used. Method: with the emulation."""
    done = subprocess.run(
        [*FREVO, "doctor", "--json"],
        env={**os.environ, **kernel.environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    [check] = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "quic in the kernel"]
    assert check["state"] == "ok" and check["data"]["driver"] == "kernel"


def issue(folder: Path, name: str, *more: str) -> list[str]:
    """Options of a client with a certificate of the server's CA."""
    command = [*FREVO, "tls", "issue-client", name, "--password-stdin", "--out", str(folder), *more]
    command += ["--private-dir", str(folder / "p")]
    subprocess.run(command, input="password\n", text=True, check=True, timeout=30, stdout=subprocess.DEVNULL)
    return ["--tls-cert", str(folder / f"{name}.pem"), "--tls-key", str(folder / f"{name}.key")]


@pytest.mark.parametrize("engine", ENGINES)
def test_client_certificates(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: who needs a certificate and who may come is decided as in user space; each refusal is one line in the log
    and a sentence for the client. Method: an allowed one, none, one that is not allowed, one of another CA."""
    lines = ("frevo:quic client access = require", of_engine(engine))
    with served(tmp_path, kernel, *lines) as server:
        alice, bob = issue(tmp_path, "alice"), issue(tmp_path, "bob", "--no-allow")
        certfile, keyfile = pki.leaf("eve", pki.authority("other"), usage=pki.CLIENT).write(tmp_path, "eve")
        stranger = ["--tls-cert", str(certfile), "--tls-key", str(keyfile)]
        time_limit = time.monotonic() + 10  # until the server has seen the list
        while (done := server.trusting("ls", server.url, *alice)).returncode and time.monotonic() < time_limit:
            pass
        assert done.returncode == 0, done.stderr
        server.until_said("certificate CN=alice")
        for who, told, logged in (
            ([], "the server demands a certificate of its clients", "the client sent no certificate"),
            (bob, "the server denied this client access", "is denied access: no entry allows it"),
            (stranger, "does not trust the CA of the client's certificate", "is not trusted"),
        ):
            refused = server.trusting("ls", server.url, *who)
            assert refused.returncode == 1 and told in refused.stderr, refused.stderr
            said = server.until_said(logged)
            assert [line for line in said.splitlines() if " refused: " in line] == [said.splitlines()[-1]]
        assert server.trusting("ls", server.url, *alice).returncode == 0


def test_a_client_that_is_denied_later(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: a denied client's live connection ends, another's stays. Method: two clients that go on asking."""
    with served(tmp_path, kernel, "frevo:quic client access = require") as server:
        clients = {name: issue(tmp_path, name) for name in ("alice", "bob")}
        program = """
            import asyncio, sys
            import frevo

            async def main(url, ca, cert, key):
                async with frevo.connect(url, reconnect=0, tls_ca=ca, tls_cert=cert, tls_key=key) as share:
                    print("in", flush=True)
                    while not (await share.exists("stop")):
                        await asyncio.sleep(0.05)
                    print("stayed", flush=True)

            asyncio.run(main(*sys.argv[1:]))
        """
        ca = str(tmp_path / "p" / "tls" / "ca.pem")
        server.until_said("engine")
        time_limit = time.monotonic() + 10
        while server.trusting("ls", server.url, *clients["bob"]).returncode and time.monotonic() < time_limit:
            pass
        running = {
            name: server.script(program, server.url, ca, options[1], options[3])
            for name, options in clients.items()
        }
        for one in running.values():
            assert one.stdout is not None and one.stdout.readline() == "in\n", one.communicate()
        deny = [*FREVO, "tls", "deny", str(tmp_path / "bob.pem"), "--private-dir", str(tmp_path / "p")]
        subprocess.run(deny, check=True, timeout=30, stdout=subprocess.DEVNULL)
        server.until_said("denied")
        _, err = running["bob"].communicate(timeout=30)
        assert running["bob"].returncode == 1 and "stayed" not in err
        (tmp_path / "data" / "stop").touch()
        assert running["alice"].communicate(timeout=30)[0] == "stayed\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_that_moves(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: `hosts allow` holds where a client has moved to. Method: one that goes on asking, from an address that is
    allowed, then from one that is not."""
    with served(tmp_path, kernel, of_engine(engine), "hosts allow = 127.0.0.1 198.51.100.1") as server:
        client = server.script(ASKING, server.url, str(tmp_path / "p" / "tls" / "ca.pem"))
        assert client.stdout is not None and client.stdout.readline() == "in\n", client.communicate()
        (kernel.folder / "moved").write_text("198.51.100.1")
        server.until_said(" is at 198.51.100.1:")
        assert client.poll() is None
        (kernel.folder / "moved").write_text("192.0.2.1")
        server.until_said(" is at 192.0.2.1:")
        client.communicate(timeout=30)
        assert client.returncode == 1
        server.until_said("refused: ")


def test_a_server_that_is_not_trusted(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: a client leaves a server that it does not trust, and both say why. Method: no CA; then another name."""
    with served(tmp_path, kernel) as server:
        refused = server.frevo("ls", server.url)
        assert refused.returncode == 1 and "is not trusted: use --tls-ca FILE" in refused.stderr
        server.until_said("refused: the client ended the connection: the CA of the server's certificate")
        refused = server.trusting("ls", server.url, "--tls-server-name", "nas.example")
        assert "the server has no certificate" in refused.stderr or "no certificate is for nas" in refused.stderr
        server.until_said("refused: no certificate is for nas.example")
        assert server.status()["frevo"]["statistics"]["quic_handshakes_failed"] == 2


def test_a_server_that_is_not_there(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: a client whose handshake gets no answer gives up after its time limit, and ends. Method: a port on which
    nobody listens, of which the kernel's sockets say nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        command = [*FREVO, "ls", f"smb+quic://eve@127.0.0.1:{taken.getsockname()[1]}/data", "--timeout", "1"]
        done = subprocess.run(
            command,
            env={**os.environ, **kernel.environment}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and "no response within 1 s; perhaps a firewall blocks UDP" in done.stderr
    kernel.check()


STALLING = """
    import socket, sys

    held = []
    for _ in range(int(sys.argv[2])):
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 261)
        one.setblocking(False)
        one.connect(("127.0.0.1", int(sys.argv[1])))
        held.append(one)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_handshakes_that_stand_still(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: clients that begin and say nothing take nothing from others: the oldest make room at the limit, the rest
    end after the time to log on, and the kernel is told to ask new clients for proof of their address. Method: 100 of
    them at a limit of 80, and a good client meanwhile."""
    lines = ("frevo:max unauthenticated connections = 80", "frevo:preauth timeout = 3", of_engine(engine))
    with served(tmp_path, kernel, *lines) as server:
        stalling = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(STALLING), str(server.port), "100"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **kernel.environment},
        )  # fmt: skip
        assert stalling.stdout is not None and stalling.stdout.readline() == "held\n"
        server.until_said("refused: too many unauthenticated connections: the oldest goes")
        done = server.trusting("ls", server.url)
        assert done.returncode == 0, done.stderr
        assert kernel.count("validates addresses") == 1
        server.until_said("refused: not authenticated in time")
        assert server.trusting("ls", server.url).returncode == 0
        stalling.communicate(timeout=20)


def test_what_is_no_tls(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: a client that sends anything else hears of it at once, in one line of the log, and nobody else suffers.
    Method: a message of zeros with the protocol's name in it, and data before the handshake."""
    program = """
        import socket, struct, sys, time

        def connect():
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 261)
            one.setblocking(False)
            one.connect(("127.0.0.1", int(sys.argv[1])))
            return one

        bad = connect()
        bad.sendmsg([bytes(100) + b"\\x03smb"], [(288, 1, b"\\x01")])
        while True:
            try:
                bad.recv(10)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError as ended:
                code = ended.errno
                break
        print(code, struct.unpack_from("=I", bad.getsockopt(288, 5, 72))[0], flush=True)
        try:
            connect().send(b"early")
        except OSError as error:
            print(error.errno, flush=True)
    """
    with served(tmp_path, kernel) as server:
        out, err = server.script(program, str(server.port)).communicate(timeout=30)
        assert out.split() == ["107", "12", "22"], err  # ENOTCONN, APPLICATION_ERROR; EINVAL
        said = server.until_said("refused: the client ended the connection (QUIC error 0xc)")  # the early one
        assert said.count("refused: the TLS handshake failed") == 1
        assert server.trusting("ls", server.url).returncode == 0
        log = kernel.log().replace("refused data on that stream", "")
        (kernel.folder / "log").write_text(log)  # that was the point
        assert server.status()["frevo"]["statistics"]["quic_handshakes_failed"] == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_stray_messages_are_not_data(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: TLS messages after the handshake are not taken for data of the stream: whoever has seen the first packets
    can make some, and the module passes them on. Method: the client's kernel sends one just before its data."""
    with served(tmp_path, kernel, of_engine(engine)) as server:
        done = server.trusting("ls", server.url, environment={"KERNEL_QUIC_STRAY": "1"})
        assert done.returncode == 0, done.stderr
        assert kernel.count("established server") == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_window_that_is_shut_is_waited_for(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: where the stream's window is shut and the connection's is not, the socket counts as writable and takes
    nothing: nobody asks it again and again. Method: 1 MiB each way through windows of 16 KiB that open 2 ms later;
    how often a send was in vain."""
    data = os.urandom(1 << 20)
    (tmp_path / "data.bin").write_bytes(data)
    kernel.environment["KERNEL_QUIC_WINDOW"] = str(16 << 10)
    with served(tmp_path, kernel, of_engine(engine)) as server:
        option = ("--option", of_engine(engine))
        put = server.trusting("put", str(tmp_path / "data.bin"), f"{server.url}/data.bin", *option)
        assert put.returncode == 0, put.stderr
        got = server.trusting("get", f"{server.url}/data.bin", str(tmp_path / "back.bin"), *option)
        assert got.returncode == 0, got.stderr
    assert (tmp_path / "back.bin").read_bytes() == data
    windows, in_vain = kernel.count("window is used up"), kernel.count("window is shut")
    assert windows >= 100
    assert in_vain <= 4 * windows


@pytest.mark.parametrize("engine", ENGINES)
def test_many_at_once(tmp_path: Path, kernel: KernelQuic, engine: str) -> None:
    """Goal: many handshakes at once all succeed, and their connections carry data side by side. Method: 40 clients in
    one process, each of which writes and reads."""
    program = """
        import asyncio, sys
        import frevo

        async def one(number, url, ca):
            async with frevo.connect(url, tls_ca=ca, timeout=30) as share:
                data = bytes([number]) * 100_000
                await share.write_bytes(f"file{number}", data)
                return await share.read_bytes(f"file{number}") == data

        async def main(url, ca):
            print(sum(await asyncio.gather(*(one(number, url, ca) for number in range(40)))))

        asyncio.run(main(*sys.argv[1:]))
    """
    with served(tmp_path, kernel, of_engine(engine)) as server:
        running = server.script(program, server.url, str(tmp_path / "p" / "tls" / "ca.pem"))
        out, err = running.communicate(timeout=60)
        assert out == "40\n", err
        assert kernel.count("established server") == 40


def test_a_server_that_ends(tmp_path: Path, kernel: KernelQuic) -> None:
    """Goal: clients hear at once that a server has stopped. Method: stop it while a client waits for changes."""
    with served(tmp_path, kernel) as server:
        running = server.script(ASKING, server.url, str(tmp_path / "p" / "tls" / "ca.pem"))
        assert running.stdout is not None and running.stdout.readline() == "in\n"
        server.process.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=20)
        assert running.returncode == 1 and "closed by the peer" in err.splitlines()[-1]
