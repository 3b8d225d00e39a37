"""frevo's server in the test's own process and event loop: a test can inspect its state, and change it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from frevo.auth.accounts import AccountStore
from frevo.config import load
from frevo.server.run import Running, run_server
from frevo.transport.address import TransportAddress
from frevo.transport.traits import TRANSPORTS
from peers import transports
from peers.frevo_server import configuration, relay
from peers.target import PASSWORD, SHARES, USER


@dataclass(slots=True)
class InProcess:
    """A running server; `running.server` has its sessions, opens and files."""

    running: Running
    root: Path
    transport: str
    port: int
    serving: asyncio.Task[int]

    def url(self, share: str = "share") -> str:
        scheme = TRANSPORTS[self.transport].scheme
        return f"{scheme}://{USER}@127.0.0.1:{self.port}/{share}"

    def folder(self, share: str = "share") -> Path:
        return self.root / share

    @contextlib.contextmanager
    def way_in(self, source: str = "") -> Iterator[int]:
        """A TCP port whose bytes reach the server as they are, from the address *source* over another transport."""
        if self.transport == "tcp":
            yield self.port
            return
        with relay("127.0.0.1", self.port, source) as made:
            yield made.port

    async def settled(self) -> None:
        """Waits until every request has been answered and every closed open is gone."""
        server = self.running.server
        for _ in range(2000):
            if not server.opens and not server.busy():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"still open: {[one.path for one in server.opens.values()]}")


@asynccontextmanager
async def in_process(
    base: Path, options: Mapping[str, str] | None = None, *, transport: str = ""
) -> AsyncIterator[InProcess]:
    """A server over *transport* for the length of the block; its user's password is in FREVO_PASSWORD meanwhile.

    Without *transport* it is as `transports` says, and frevo's client trusts it.
    """
    base.mkdir(exist_ok=True)
    file = base / "smb.conf"
    settings = {**({} if transport else transports.server_options()), **(options or {})}
    transport = transport or ("smbdirect" if transports.over_direct() else transports.chosen())
    file.write_text(configuration(base, base / "shares", "127.0.0.1", settings, SHARES))
    config = load(str(file)).with_globals(server_smb_transports=(TransportAddress(transport, 0),))
    AccountStore(base / "private").add(USER, PASSWORD)
    mask = os.umask(0)
    os.environ["FREVO_PASSWORD"] = PASSWORD
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_server(config, stop=stop, ready=ready.set_result))
    try:
        await asyncio.wait((ready, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving  # raises why it did not start
        running = ready.result()
        yield InProcess(running, base / "shares", transport, running.addresses[0][2], serving)
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):  # by the test
            await serving
        os.umask(mask)
        del os.environ["FREVO_PASSWORD"]
