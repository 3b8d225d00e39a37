"""A server and a client in one process, over RDMA cards that only this process has: over_cards.py FOLDER ADDRESS.

Prints what it found, a line each; test_smbdirect_cards.py reads that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from peers import cards
from peers.in_process import InProcess, in_process
from peers.target import USER

from frevo import connect
from frevo.transport import smbdirect
from frevo.transport.rdma_devices import RdmaDevice, RdmaKind
from frevo.transport.smbdirect import SmbDirectSettings

#: Bytes of files: below and above the threshold of RDMA, and more than one READ moves.
SIZES = (0, 1, 1000, 8192, 9000, 65_537, 1 << 20, 9_000_001)


def pretend(address: str) -> None:
    """What sysfs would say of the stub's cards."""
    kind = RdmaKind.IWARP if address == "127.0.0.2" else RdmaKind.ROCE
    device = RdmaDevice("stub", 1, kind, True, "ACTIVE", "100 Gb/sec", ("lo",))
    for module in (smbdirect, sys.modules["frevo.server.listening"], sys.modules["frevo.client.connection.dial"]):
        module.rdma_devices = lambda: [device]  # type: ignore[attr-defined]
    smbdirect.verbs_missing = list


async def copies(served: InProcess, address: str) -> None:
    """Files both ways, as the disk has them."""
    url = f"smb+rdma://{USER}@{address}:{served.port}/share"
    async with connect(url, smb_direct=SmbDirectSettings(provider="verbs")) as share:
        for size in SIZES:
            data = os.urandom(size)
            await share.write_bytes(f"{size}.bin", data)
            on_disk = (served.folder() / f"{size}.bin").read_bytes()
            again = await share.read_bytes(f"{size}.bin")
            print(f"copy {size}: {on_disk == data} {again == data}")
        names = await asyncio.gather(*(share.read_bytes(f"{size}.bin") for size in SIZES * 3))
        same = [hashlib.sha256(one).digest() for one in names]
        print(f"together: {same[: len(SIZES)] * 3 == same}")
        [connection] = served.running.server.connections.values()
        least = sum(size for size in SIZES if size >= 1 << 20)
        status: dict[str, Any] = {}
        for _ in range(300):  # it is noted each second
            status = served.running.server.transport.smb_direct(connection.id) or {}
            if status["bytes_received"] >= least and status["bytes_sent"] >= 4 * least:
                break
            await asyncio.sleep(0.01)
        print(f"provider: {status['provider']}")
        print(f"by RDMA: {status['bytes_sent'] >= 4 * least} {status['bytes_received'] >= least}")
        print(f"registered: {status['registrations']}")
        cards.remove_devices()
        again = await share.read_bytes("1000.bin")
        [later] = served.running.server.connections.values()
        print(f"removed and back: {again == (served.folder() / '1000.bin').read_bytes()} {later.id > connection.id}")


async def main(folder: str, address: str) -> None:
    """All of it, and what is left behind."""
    import frevo.client.connection.dial
    import frevo.server.listening  # noqa: F401 (pretend changes both)

    pretend(address)
    options = {"frevo:smbdirect provider": "verbs", "interfaces": address}
    async with in_process(Path(folder) / "server", options, transport="smbdirect") as served:
        print(f"listens: {served.running.addresses}")
        await copies(served, address)
        with contextlib.suppress(OSError):
            async with connect(f"smb+rdma://{USER}@{address}:1/share", smb_direct=SmbDirectSettings(provider="verbs")):
                print("nobody listens, and somebody answers")
    gc.collect()
    for _ in range(1000):
        if cards.objects() == 0:
            break
        await asyncio.sleep(0.01)
    print(f"left: {cards.objects()}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
