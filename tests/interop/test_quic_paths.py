"""frevo over QUIC on bad paths: whatever is lost, late, doubled or rebound, what arrives has the right checksum."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest
from peers.frevo_server import FrevoServer
from peers.quic_client import LiveQuic

import frevo
from frevo.lab import Conditions, DatagramPath
from frevo.lab.pytest import MakePath, datagram_path
from frevo.wire.erref import NTStatus

pytestmark = pytest.mark.interop
__all__ = ["datagram_path"]

SIZE = 4 << 20
#: The loopback's MTU is 65536; these are Ethernet's, so that there are datagrams to lose.
PATHS = {
    "loss": Conditions(loss=0.05, delay_s=0.002, mtu=1500),
    "much-loss": Conditions(loss=0.2, delay_s=0.001, mtu=1500),
    "reordering": Conditions(reorder=0.05, duplicate=0.02, delay_s=0.002, mtu=1500),
    "small-mtu": Conditions(mtu=1280, delay_s=0.001),
    "slow": Conditions(rate=100e6, queue_s=0.02, delay_s=0.005, jitter_s=0.005, mtu=1500),
    "all": Conditions(loss=0.02, reorder=0.02, duplicate=0.01, delay_s=0.005, jitter_s=0.002, mtu=1280),
}


async def transfer(server: FrevoServer, path: DatagramPath, size: int = SIZE) -> None:
    """Our client sends a file through the path and gets it back."""
    data = random.Random(path.seed).randbytes(size)
    async with frevo.connect(
        f"smb+quic://localhost:{path.port}/share",
        user=server.user,
        password=server.password,
        address=path.host,
        tls_ca=str(server.authority),
    ) as share:
        await share.write_bytes(f"path-{path.port}", data)
        on_disk = server.folder().joinpath(f"path-{path.port}").read_bytes()
        assert hashlib.sha256(on_disk).digest() == hashlib.sha256(data).digest()
        assert await share.read_bytes(f"path-{path.port}") == data
        await share.remove(f"path-{path.port}")


@pytest.mark.parametrize("name", sorted(PATHS))
async def test_bad_path(quic_frevo: FrevoServer, datagram_path: MakePath, name: str) -> None:
    """A transfer both ways, and the conditions really held."""
    conditions = PATHS[name]
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port), conditions, seed=11)
    await transfer(quic_frevo, path, SIZE // 8 if conditions.loss or conditions.reorder else SIZE)
    for counts in (path.up, path.down):
        assert counts.passed > 200
        assert bool(counts.lost) == bool(conditions.loss)
        assert bool(counts.held) == bool(conditions.reorder)


async def test_rebinding_in_mid_transfer(quic_frevo: FrevoServer, datagram_path: MakePath) -> None:
    """The client's port changes twice, then its address, all while data flows; no connection is lost."""
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port), Conditions(delay_s=0.001, mtu=1500), seed=12)
    path.when("up", 1000, path.rebind)
    path.when("up", 2500, lambda: path.rebind("127.0.0.2"))
    path.when("down", 2500, path.rebind)
    await transfer(quic_frevo, path)
    assert path.rebindings == 3


async def test_a_nat_that_forgets_all_the_time(quic_frevo: FrevoServer, datagram_path: MakePath) -> None:
    """Another port every 100 ms."""
    path = datagram_path(
        ("127.0.0.1", quic_frevo.quic_port),
        Conditions(rate=50e6, queue_s=0.05, delay_s=0.001, mtu=1500),
        seed=13,
        rebind_every_s=0.1,
    )
    await transfer(quic_frevo, path, SIZE // 2)
    assert path.rebindings >= 3


async def test_the_mtu_shrinks(quic_frevo: FrevoServer, datagram_path: MakePath) -> None:
    """A path that took 1500 bytes takes only 1280 from the middle on: black holes are found."""
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port), Conditions(mtu=1500), seed=14)
    path.when("up", 1000, lambda: path.change(Conditions(mtu=1280)))
    await transfer(quic_frevo, path)
    assert path.up.too_large + path.down.too_large > 0


async def test_a_log_on_is_no_burden(quic_frevo: FrevoServer, datagram_path: MakePath) -> None:
    """On the loopback the search for the largest datagram sends 64 KiB at a time: it must not go on for long."""
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port))
    await transfer(quic_frevo, path, 1000)
    assert path.up.bytes < 150_000 and path.down.bytes < 150_000


async def test_a_pause_of_three_seconds(quic_frevo: FrevoServer, datagram_path: MakePath) -> None:
    """The cable is out for three seconds, less than any idle timeout: the transfer goes on."""
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port), Conditions(mtu=1500), seed=15)
    loop, unplugged = asyncio.get_running_loop(), asyncio.Event()

    def unplug() -> None:
        path.change(Conditions(loss=1))
        loop.call_soon_threadsafe(unplugged.set)

    async def plug_in() -> None:
        await unplugged.wait()
        await asyncio.sleep(3)
        path.change(Conditions(mtu=1500))

    path.when("up", 1000, unplug)
    await asyncio.gather(transfer(quic_frevo, path), plug_in())


@pytest.mark.parametrize("stack", ["aioquic", "qh3"])
def test_their_client_moves(quic_frevo: FrevoServer, datagram_path: MakePath, stack: str) -> None:
    """A foreign client whose address changes: our server follows it (RFC 9000, 9)."""
    path = datagram_path(("127.0.0.1", quic_frevo.quic_port))
    with LiveQuic(stack, path.host, path.port, quic_frevo.authority) as live:
        client = live.logged_on()
        file_id = client.open(f"moved-{stack}")
        for source in (None, "127.0.0.2", None):
            assert client.write(file_id, 0, bytes(100_000)).status == NTStatus.SUCCESS
            path.rebind(source)
            assert client.read(file_id, 0, 100_000) == bytes(100_000)
        assert client.close(file_id).status == NTStatus.SUCCESS
