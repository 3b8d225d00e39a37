"""The client and the server over a wire that is recorded: no key and nonce ever protect two different messages."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.altering import AlteringRelay, Step, command_of, frame
from peers.in_process import in_process
from peers.nonces import Nonces
from peers.target import USER

import frevo
from frevo.client import Share
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command

WAYS: dict[str, dict[str, Any]] = {
    "gmac": {},
    "cmac": {"maximum": "SMB3_02"},
    "hmac": {"maximum": "SMB2_10"},
    "gcm": {"encryption": True},
    "ccm": {"maximum": "SMB3_02", "encryption": True},
}


class Tap(AlteringRelay):
    """Records everything that passes. Interim responses come late, and the first CANCEL is lost: so the client does
    not know yet what it cancels, and what it cancels continues."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, self._seen)
        self.nonces = Nonces()
        self.cancels: list[int] = []
        self.interims = 0

    def _seen(self, way: str, message: bytes) -> Iterable[Step]:
        self.nonces.saw(message, server=way == "down")
        if way == "up" and command_of(message) == Command.CANCEL:
            self.cancels.append(int.from_bytes(message[24:32], "little"))
            return [frame(message)] if len(self.cancels) > 1 else []
        if (
            way == "down"
            and command_of(message) > 0
            and message[8:12] == NTStatus.PENDING.to_bytes(4, "little")
        ):
            assert not message[16] & 8, "an interim response is signed"
            self.interims += 1
            return [0.05, frame(message)]
        return [frame(message)]


async def everything(share: Share, expire: Any, interim: Callable[[], Awaitable[None]]) -> None:
    """Flows of every kind: compounds, data in both directions by pumps, waiting, cancelling, logging on again."""
    data = os.urandom(700_001)
    await share.write_bytes("data", data)
    await share.write_small("small", b"x" * 1000)
    assert await share.read_bytes("data") == data
    assert await share.read_small("small", 1000) == b"x" * 1000
    await share.copy("data", "copied")
    await share.makedirs("a/b/c", exist_ok=True)
    assert len(await share.listdir()) == 4
    for _ in range(4):
        changes = share.watch()
        first = asyncio.ensure_future(anext(changes))
        await interim()
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        await changes.aclose()
        await share.stat("data")
    async with share.open("data", "r+") as file:
        reads = [asyncio.create_task(file.pread(100_000, n * 1000)) for n in range(20)]
        await asyncio.sleep(0)
        for one in reads[::2]:
            one.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        for _ in range(2):
            expire()
            await asyncio.gather(share.stat("data"), file.pwrite(b"new", 5), share.listdir())
    await share.remove("copied")


@pytest.mark.parametrize("way", WAYS)
async def test_nonces_of_both(tmp_path: Path, way: str) -> None:
    """Goal: every message of a client and a server has a unique nonce. Method: all flows through a tap, twice over new
    connections; each key and nonce is looked up among the earlier ones."""
    if transports.over_quic() and "maximum" in WAYS[way]:
        pytest.skip("over TCP only: QUIC carries 3.1.1 alone")
    cancelled = 0
    encrypted = "encryption" in WAYS[way]
    async with in_process(tmp_path / "server") as server:
        with server.way_in() as port, Tap(port) as tap, transports.reaching(tap.port) as place:

            async def interim() -> None:
                """Returns when the server waits, which the client does not know yet; encrypted, nobody can tell."""
                seen = tap.interims
                for _ in range(30 if encrypted else 10_000):
                    if tap.interims > seen:
                        return
                    await asyncio.sleep(0.001)
                assert encrypted, "no interim response"

            for _ in range(2):
                async with frevo.connect(f"{place}/share", user=USER, **WAYS[way]) as share:

                    def expire() -> None:
                        for session in server.running.server.sessions.values():
                            session.expires_at = asyncio.get_running_loop().time()

                    await everything(share, expire, interim)
                await server.settled()
                assert len(set(tap.cancels)) == len(tap.cancels), "cancelled twice"
                cancelled += len(tap.cancels)
                tap.cancels.clear()
    tap.nonces.check()
    for side in (False, True):
        assert tap.nonces.count(server=side, encrypted=encrypted) > 50
    assert encrypted or (tap.interims >= 8 and cancelled >= 8)


def test_the_tap_sees() -> None:
    """Goal: the check can fail. Method: two messages with one nonce, signed and encrypted; the same message again does
    not count."""
    signed = b"\xfeSMB\x40" + bytes(11) + b"\x08" + bytes(100)
    encrypted = b"\xfdSMB" + bytes(60)
    for message in (signed, encrypted):
        nonces = Nonces()
        nonces.saw(message, server=True)
        nonces.saw(message, server=True)
        nonces.saw(message[:-1] + b"x", server=False)
        nonces.check()
        nonces.saw(message[:-1] + b"x", server=True)
        with pytest.raises(AssertionError):
            nonces.check()
