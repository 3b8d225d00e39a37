"""frevo's QUIC with stacks that we did not write: their clients at our server, our client at their servers, and
programs that know TCP alone through a relay of theirs.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair.client import Client
from peers.certificates import Authority, Identity
from peers.frevo_server import FrevoServer
from peers.quic_client import LiveQuic
from peers.quic_stacks import STACKS, client_configuration
from peers.quic_to_tcp import QuicToTCP
from peers.smbclient import smbclient
from peers.target import Target
from peers.tcp_to_quic import TCPToQUIC

import frevo
from frevo.wire.erref import NTStatus

pytestmark = [pytest.mark.interop, pytest.mark.once("QUIC itself is the same in each engine")]

SIZE = 5 << 20
PIECE = 1 << 20


@pytest.fixture(params=STACKS)
def live(request: pytest.FixtureRequest, quic_frevo: FrevoServer) -> Iterator[LiveQuic]:
    """Clients of each stack for our server, which trust its own CA."""
    with LiveQuic(request.param, "127.0.0.1", quic_frevo.quic_port, quic_frevo.authority) as made:
        yield made


def transfer(client: Client, name: str) -> None:
    """Writes and reads back a file, and compares the checksums."""
    data = random.Random(name).randbytes(SIZE)
    file_id = client.open(name)
    for offset in range(0, SIZE, PIECE):
        assert client.write(file_id, offset, data[offset : offset + PIECE]).status == NTStatus.SUCCESS
    back = hashlib.sha256()
    for offset in range(0, SIZE, PIECE):
        back.update(client.read(file_id, offset, PIECE))
    assert back.digest() == hashlib.sha256(data).digest()
    assert client.close(file_id).status == NTStatus.SUCCESS


# -- their clients


def test_their_client(live: LiveQuic, quic_frevo: FrevoServer) -> None:
    """Negotiates, logs on, writes, reads, closes."""
    transfer(live.logged_on(), f"from-{live.stack}")
    assert quic_frevo.folder().joinpath(f"from-{live.stack}").stat().st_size == SIZE


def test_their_client_encrypts_smb_too(live: LiveQuic) -> None:
    """SMB's own encryption inside QUIC, both ways."""
    client = live.logged_on()
    assert client.session is not None
    client.session.encrypt = True
    transfer(client, f"encrypted-from-{live.stack}")
    assert client.echo().encrypted


def test_several_connections(live: LiveQuic) -> None:
    """Connections of one client do not disturb each other; each has its own session."""
    clients = [live.logged_on() for _ in range(4)]
    for number, client in enumerate(clients):
        transfer(client, f"{live.stack}-{number}")
    assert len({client.session.id for client in clients if client.session}) == 4


def test_key_update(live: LiveQuic) -> None:
    """The client updates the keys of QUIC in the middle (RFC 9001, 6)."""
    client = live.logged_on()
    link = live.quic_links[0]
    for number in range(3):
        transfer(client, f"{live.stack}-update-{number}")
        link.inside(link.protocol._quic.request_key_update)
    assert client.echo().status == NTStatus.SUCCESS


def test_stream_ends(live: LiveQuic) -> None:
    """A client that ends its stream gets the end of ours, or of the connection; the server lives on."""
    live.logged_on()
    link = live.quic_links[0]
    link.inside(lambda: link.protocol._quic.send_stream_data(0, b"", end_stream=True))
    link.wait_closed()
    assert live.logged_on().echo().status == NTStatus.SUCCESS


# -- their servers: what tests/interop/test_client_quic.py does not have


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.server()


async def copies(target: Target, port: int, authority: Authority) -> None:
    """Our client sends a file and gets it back."""
    data = random.Random(port).randbytes(SIZE)
    async with frevo.connect(
        f"smb+quic://localhost:{port}/share",
        user=target.user,
        password=target.password,
        address="127.0.0.1",
        tls_ca=str(authority.file),
    ) as share:
        await share.write_bytes("by-quic", data)
        assert await share.read_bytes("by-quic") == data
        await share.remove("by-quic")


async def test_our_client_is_sent_to_retry(server: Target, identity: Identity, authority: Authority) -> None:
    """A server that wants the address confirmed first (RFC 9000, 8.1.2)."""
    with QuicToTCP("aioquic", identity, server.host, server.port, retry=True) as front:
        await copies(server, front.port, authority)


async def test_our_client_before_samba(
    samba_server: Target, identity: Identity, authority: Authority
) -> None:
    """Samba's smbd behind a foreign QUIC server: nothing of the server side is ours."""
    with QuicToTCP("aioquic", identity, samba_server.host, samba_server.port) as front:
        await copies(samba_server, front.port, authority)


# -- programs that know TCP alone


@pytest.fixture
def way(quic_frevo: FrevoServer) -> Iterator[TCPToQUIC]:
    """TCP in, QUIC to our server out."""
    configuration = lambda: client_configuration("aioquic", quic_frevo.authority)  # noqa: E731
    with TCPToQUIC("aioquic", "127.0.0.1", quic_frevo.quic_port, configuration) as made:
        yield made
    assert made.failed == []


def test_smbclient(quic_frevo: FrevoServer, way: TCPToQUIC, tmp_path: Path) -> None:
    """Samba's client through the relay; over QUIC only 3.1.1 is spoken."""
    (tmp_path / "file").write_bytes(random.Random(1).randbytes(SIZE))
    commands = (
        "mkdir relayed",
        "cd relayed",
        "put file",
        "ls",
        "get file copy",
        "del file",
        "cd ..",
        "rmdir relayed",
    )
    smbclient(quic_frevo, *commands, port=way.port, cwd=tmp_path).ok()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    assert smbclient(quic_frevo, "ls", port=way.port, options=["--client-protection=encrypt"]).status == 0
    assert smbclient(quic_frevo, "ls", port=way.port, dialect="SMB3_02").status != 0
