"""frevo's client over QUIC: with servers that are not ours, with wrong certificates, and where nobody answers.

The servers are aioquic and qh3 in front of frevo, which is there over TCP.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from descriptors import descriptors
from peers.certificates import Authority, Identity
from peers.frevo_server import run_frevo, start
from peers.quic_stacks import STACKS
from peers.quic_to_tcp import QuicToTCP
from peers.target import PASSWORD, USER, Target

import frevo
from frevo.client import RemoteError, blocking
from frevo.lab import Conditions, DatagramPath

pytestmark = pytest.mark.interop

#: Makes a QUIC server of a stack with a certificate.
Front = Callable[..., QuicToTCP]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def front(server: Target) -> Iterator[Front]:
    """front(identity, stack, **options) is a QUIC server in front of the server."""
    with ExitStack() as stack:

        def make(identity: Identity, name: str = "aioquic", **options: Any) -> QuicToTCP:
            return stack.enter_context(QuicToTCP(name, identity, server.host, server.port, **options))

        yield make


def url(at: QuicToTCP | DatagramPath, path: str = "share", host: str = "127.0.0.1") -> str:
    return f"smb+quic://{USER}@{host}:{at.port}/{path}"


def options(authority: Authority, **others: Any) -> dict[str, Any]:
    return {"password": PASSWORD, "tls_ca": authority.file, **others}


@pytest.mark.parametrize("stack", STACKS)
async def test_other_servers(front: Front, authority: Authority, server: Target, stack: str) -> None:
    """Negotiates, logs on, writes and reads several MB in both ways of the library, and lists."""
    at = front(authority.server(), stack)
    data = os.urandom(5_000_000)
    async with frevo.connect(url(at), **options(authority)) as share:
        connection = share.tree.connection
        assert connection.secured is not None and connection.secured.verified
        assert connection.negotiated is not None and connection.negotiated.dialect.name == "SMB3_11"
        await share.write_bytes(f"over-{stack}", data)
        assert await share.read_bytes(f"over-{stack}") == data
        async with share.open(f"over-{stack}") as file:
            pieces = await asyncio.gather(*(file.pread(100_000, at) for at in range(0, len(data), 100_000)))
        assert b"".join(pieces) == data
        assert f"over-{stack}" in await share.listdir()
        await share.remove(f"over-{stack}")
    assert at.connections == 1


def test_commands_and_other_faces(front: Front, authority: Authority, tmp_path: Path) -> None:
    """A command with the options, and the blocking library."""
    at = front(authority.server())
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3_000_000))
    trust = ("--tls-ca", str(authority.file))
    environment = os.environ | {"FREVO_PASSWORD": PASSWORD}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        run_frevo("put", str(source), url(at, "share/over-commands"), *trust).ok()
        run_frevo("get", url(at, "share/over-commands"), str(target), *trust).ok()
        facts = run_frevo("stat", url(at), *trust).ok()
    assert target.read_bytes() == source.read_bytes()
    leaf = authority.folder / "server.pem"
    assert f"server certificate {fingerprint(leaf)}" in " ".join(facts.split())
    with blocking.connect(url(at), **options(authority)) as share:
        assert share.read_bytes("over-commands") == source.read_bytes()
        share.remove("over-commands")


def fingerprint(file: Path) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(file.read_bytes()).fingerprint(hashes.SHA256()).hex()


async def complaint(at: QuicToTCP | DatagramPath, host: str = "127.0.0.1", **others: Any) -> str:
    """What the client says when it refuses to connect."""
    with pytest.raises(RemoteError) as caught:
        await frevo.connect(url(at, host=host), password=PASSWORD, **others)
    return str(caught.value)


async def test_an_unknown_ca(front: Front, authority: Authority, tmp_path: Path) -> None:
    """Refused, with the certificate's fingerprint and the option that would trust it; with that option it works."""
    at = front(authority.server())
    other = Authority(tmp_path, "another CA")
    said = await complaint(at, tls_ca=other.file)
    seen = fingerprint(authority.folder / "server.pem")
    assert "not trusted" in said and f"--tls-fingerprint {seen}" in said
    colons = ":".join(seen[at : at + 2] for at in range(0, 64, 2)).upper()
    async with frevo.connect(url(at), password=PASSWORD, tls_fingerprint=colons) as share:
        assert share.tree.connection.verified
        await share.stat()
    wrong = "0" * 64
    assert seen in await complaint(at, tls_fingerprint=wrong)


async def test_a_wrong_name(front: Front, authority: Authority) -> None:
    """A certificate for another name: refused, by name and by address; the right name makes it work."""
    at = front(authority.server(("nas.example", "files.example")))
    for host in ("localhost", "127.0.0.1"):
        said = await complaint(at, host, tls_ca=authority.file)
        assert "nas.example" in said and f"not for {host}" in said and "--tls-server-name" in said
    async with frevo.connect(url(at), **options(authority, tls_server_name="files.example")) as share:
        assert share.tree.connection.secured is not None
        assert share.tree.connection.secured.server_name == "files.example"
    by_address = front(authority.server(("127.0.0.1",)))
    async with frevo.connect(url(by_address), **options(authority)) as share:
        await share.stat()


@pytest.mark.parametrize(
    ("age_days", "days", "expected"), [(1, -2, "expired on"), (-3, 9, "not valid before")]
)
async def test_wrong_dates(
    front: Front, authority: Authority, age_days: int, days: int, expected: str
) -> None:
    """Expired, or not valid yet: said with the day."""
    identity = authority.issue("dated", ("127.0.0.1",), server=True, days=days, age_days=age_days)
    said = await complaint(front(identity), tls_ca=authority.file)
    day = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days if days < 0 else -age_days)
    assert expected in said and f"{day:%Y-%m-%d}" in said


async def test_another_protocol(front: Front, authority: Authority) -> None:
    """A QUIC server that does not speak SMB (ALPN h3)."""
    said = await complaint(front(authority.server(), alpn=("h3",)), tls_ca=authority.file)
    assert "SMB over QUIC" in said


async def test_nobody_there(authority: Authority) -> None:
    """A port where nothing listens is refused at once; one that is silent, as behind a firewall, in the time limit."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        place = f"smb+quic://{USER}@127.0.0.1:{port}/share"
        with pytest.raises(RemoteError, match=r"no response within 0.5 s; perhaps a firewall blocks UDP"):
            await frevo.connect(place, **options(authority, timeout=0.5))
    started = time.monotonic()
    with pytest.raises(RemoteError, match=r"connection refused: no SMB server listens"):
        await frevo.connect(place, **options(authority, timeout=30))
    assert time.monotonic() - started < 10


async def test_beside_tcp(front: Front, authority: Authority, server: Target) -> None:
    """quic before tcp: used where it answers; where UDP is blocked, tcp is used, without the wait of a time limit."""
    at = front(authority.server())
    trust = options(authority, user=USER)
    both = f"quic:{at.port} tcp:{server.port}"
    async with frevo.connect_server("smb://127.0.0.1", transports=both, **trust) as made:
        assert made.transport in ("quic", "tcp")  # whichever of two that are 5 ms apart is faster
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        both = f"quic:{silent.getsockname()[1]} tcp:{server.port}"
        started = time.monotonic()
        async with frevo.connect_server("smb://127.0.0.1", transports=both, timeout=60, **trust) as made:
            assert made.transport == "tcp"
        assert time.monotonic() - started < 30


async def test_a_certificate_of_our_own(front: Front, authority: Authority, tmp_path: Path) -> None:
    """Files that cannot be used are named before anybody is called."""
    at = front(authority.server())
    said = await complaint(at, tls_ca=authority.file, tls_cert=tmp_path / "missing.pem")
    assert "missing.pem: No such file" in said
    client = authority.issue("client")
    async with frevo.connect(
        url(at), **options(authority, tls_cert=client.certificate_file, tls_key=client.key_file)
    ) as share:  # aioquic does not ask for it
        await share.stat()


async def test_a_bad_path(front: Front, authority: Authority) -> None:
    """A transfer through loss, reordering and a small MTU has the right checksum."""
    at = front(authority.server())
    data = os.urandom(2_000_000)
    conditions = Conditions(loss=0.03, reorder=0.02, mtu=1280, delay_s=0.001)
    with DatagramPath(("127.0.0.1", at.port), conditions, seed=3) as path:
        async with frevo.connect(url(path), **options(authority)) as share:
            await share.write_bytes("over-a-bad-path", data)
            back = await share.read_bytes("over-a-bad-path")
            await share.remove("over-a-bad-path")
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    assert path.up.lost + path.down.lost > 20


async def test_reconnecting(front: Front, authority: Authority) -> None:
    """The server ends the connection in mid-work: the client makes another one and goes on."""
    at = front(authority.server())
    async with frevo.connect(url(at), **options(authority)) as share:
        await share.write_bytes("again", b"data")
        gone = share.tree.connection
        at.end_all()
        await gone.closed
        assert await share.read_bytes("again") == b"data"
        await share.remove("again")
    assert at.connections == 2


async def test_a_server_that_crashes(authority: Authority, tmp_path: Path) -> None:
    """Killed and started again: its first packet for the old connection tells the client (a stateless reset), which
    goes on with a new one long before the old one's idle time is over."""
    identity = authority.server()
    settings = {"tls certfile": str(identity.certificate_file), "tls keyfile": str(identity.key_file)}
    running = start(tmp_path, settings)
    settings["server smb transports"] = f"quic:{running.quic_port}"
    try:
        place = f"smb+quic://{USER}@127.0.0.1:{running.quic_port}/share"
        async with frevo.connect(place, **options(authority)) as share:
            await share.write_bytes("kept", b"data")
            running.stop(signal.SIGKILL)
            running = start(tmp_path, settings)
            started = time.monotonic()
            assert await share.read_bytes("kept") == b"data"
            assert time.monotonic() - started < 30  # of 60 s
    finally:
        running.stop()
    running.check_end()


async def test_a_cancelled_connect(front: Front, authority: Authority) -> None:
    """Cancelled after ever more turns of the loop: no socket and no task stays behind."""
    at = front(authority.server())
    before = descriptors()
    finished = 0
    for turns in range(0, 200, 8):
        task = asyncio.ensure_future(_connect_and_close(at, authority))
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 16 else 0.0005)
        task.cancel()
        try:
            await task
            finished += 1
        except asyncio.CancelledError:
            pass
    for _ in range(600):  # sockets are closed by the data plane's thread
        gc.collect()
        if not descriptors() - before:
            break
        await asyncio.sleep(0.05)
    assert descriptors() - before == set()
    assert len(asyncio.all_tasks()) == 1 and finished > 0


async def _connect_and_close(at: QuicToTCP, authority: Authority) -> None:
    async with frevo.connect(url(at), **options(authority)) as share:
        await share.stat()
