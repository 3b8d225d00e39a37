"""The peers that the tests of QUIC need, among themselves: foreign stacks on both ends, a bad path between them.

frevo is here only at the ends, over TCP. If one of these tests fails, the peers are wrong, not frevo's QUIC.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.certificates import Authority, Identity
from peers.quic_client import LiveQuic
from peers.quic_stacks import STACKS, client_configuration
from peers.quic_to_tcp import QuicToTCP
from peers.smbclient import smbclient
from peers.target import Target
from peers.tcp_to_quic import TCPToQUIC

from frevo.lab import Conditions, DatagramPath
from frevo.wire.erref import NTStatus

pytestmark = pytest.mark.interop

SIZE = 1 << 20
PIECE = 128 << 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.server()


@pytest.fixture
def front(server: Target, identity: Identity) -> Iterator[QuicToTCP]:
    """aioquic's server in front of the server."""
    with QuicToTCP("aioquic", identity, server.host, server.port) as made:
        yield made


def transfer(live: LiveQuic, name: str, at: object = None) -> None:
    """Writes and reads back a file, and compares the checksums; calls *at* in the middle of each way."""
    data = random.Random(name).randbytes(SIZE)
    client = live.logged_on()
    file_id = client.open(name)
    for offset in range(0, SIZE, PIECE):
        assert client.write(file_id, offset, data[offset : offset + PIECE]).status == NTStatus.SUCCESS
        if at is not None and offset == SIZE // 2:
            at()  # type: ignore[operator]
    back = hashlib.sha256()
    for offset in range(0, SIZE, PIECE):
        back.update(client.read(file_id, offset, PIECE))
        if at is not None and offset == SIZE // 2:
            at()  # type: ignore[operator]
    assert back.digest() == hashlib.sha256(data).digest()
    assert client.close(file_id).status == NTStatus.SUCCESS


@pytest.mark.parametrize("stack", STACKS)
def test_client(front: QuicToTCP, authority: Authority, stack: str) -> None:
    """A client of each stack negotiates, logs on, writes and reads, and closes gracefully."""
    with LiveQuic(stack, "127.0.0.1", front.port, authority.file) as live:
        transfer(live, f"quic-{stack}")
    assert front.connections == 1


@pytest.mark.parametrize("stack", STACKS)
def test_wrong_certificate(front: QuicToTCP, tmp_path: Path, stack: str) -> None:
    """A client that trusts another CA refuses the server."""
    other = Authority(tmp_path, "another CA")
    with LiveQuic(stack, "127.0.0.1", front.port, other.file) as live, pytest.raises(ConnectionError):
        live.link()


def test_programs_through_two_relays(
    server: Target, front: QuicToTCP, authority: Authority, tmp_path: Path
) -> None:
    """smbclient through TCP to QUIC to TCP."""
    (tmp_path / "file").write_bytes(random.Random(1).randbytes(SIZE))
    configuration = lambda: client_configuration("aioquic", authority.file)  # noqa: E731
    with TCPToQUIC("aioquic", "127.0.0.1", front.port, configuration) as way:
        smbclient(
            server, "put file relayed", "get relayed copy", "del relayed", port=way.port, cwd=tmp_path
        ).ok()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    assert way.failed == []


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(loss=0.05, delay_s=0.002),
        Conditions(reorder=0.1, duplicate=0.02, delay_s=0.001),
        Conditions(mtu=1280, jitter_s=0.002),
    ],
    ids=["loss", "reordering", "mtu"],
)
def test_bad_path(front: QuicToTCP, authority: Authority, conditions: Conditions) -> None:
    """A transfer through a bad path has the right checksum."""
    with (
        DatagramPath(("127.0.0.1", front.port), conditions, seed=7) as path,
        LiveQuic("aioquic", path.host, path.port, authority.file) as live,
    ):
        transfer(live, "quic-bad-path")
    assert path.up.passed > 800 and path.down.passed > 800
    if conditions.loss:
        assert path.up.lost + path.down.lost > 50


def test_rebinding(front: QuicToTCP, authority: Authority) -> None:
    """The client's port changes in mid-transfer, then its address."""
    sources = iter([None, "127.0.0.2"])
    with (
        DatagramPath(("127.0.0.1", front.port)) as path,
        LiveQuic("aioquic", path.host, path.port, authority.file) as live,
    ):
        transfer(live, "quic-rebinding", lambda: path.rebind(next(sources)))
    assert path.rebindings == 2
    assert front.connections == 1
