"""Pair: the real server over the memory transport, on an event loop whose clock the test advances."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from peers import planes
from peers.nonces import Nonces
from peers.target import DOMAIN, PASSWORD, SHARES, USER, section, share_sections

from frevo.aio.acting import act_as
from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings
from frevo.config import Config, load_text
from frevo.server.run import limits_of
from frevo.server.service import Service
from frevo.transport.base import Secured
from frevo.transport.memory import MemoryTransport
from frevo.transport.traits import TRANSPORTS
from pair.client import Client

T = TypeVar("T")

#: A second user, for tests that need another one.
OTHER_USER, OTHER_PASSWORD = "user2", "0therPassw0rd"


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps forward on command, and may do nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0
        self.stood_at: float | None = None

    def time(self) -> float:
        return (super().time() if self.stood_at is None else self.stood_at) + self.ahead


class Pair:
    """One server and the clients that `connect` gives. Nothing runs except in `turn` and in what clients do."""

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, str] | None = None,
        shares: Mapping[str, dict[str, str]] = SHARES,
        *,
        transport: str = "memory",
        secured: Secured | None = None,
    ) -> None:
        """*transport*: the name of the transport that the memory stands for; *secured*: its handshake with TLS."""
        self.folder = folder
        self.root = folder / "shares"
        self.private = folder / "private"
        self.loop = VirtualLoop()
        self.nonces = Nonces()  # of all that the server sends
        self.patient = True  # a turn ends when the calls to slow file systems have returned
        accounts = AccountStore(self.private)
        for user, password in ((USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD)):
            if accounts.lookup(user) is None:
                accounts.add(user, password)
        self.config = self.configured(options, shares)
        self.transport = MemoryTransport(
            traits=TRANSPORTS[transport], limits=limits_of(self.config), secured=secured
        )
        self.transport.fast_echo(self.config.globals.frevo_fast_path)
        self.server = Service(self.config, self.transport, self.authenticator(self.config), self.loop)
        self.transport.start(self.server.on_events)

    def configured(
        self, options: Mapping[str, str] | None = None, shares: Mapping[str, dict[str, str]] = SHARES
    ) -> Config:
        """A configuration of the test's folders with these lines in [global]."""
        settings = {
            "workgroup": DOMAIN, "netbios name": "FREVOTEST", "private dir": str(self.private),
            "frevo:unix users": "no",  # the tests' users are nobody on this machine
            **planes.server_options(),
            **(options or {}),
        }  # fmt: skip
        text = section("global", settings) + "\n"
        return load_text(text + share_sections(self.root, {k: dict(v) for k, v in shares.items()}))

    def authenticator(self, config: Config) -> Authenticator:
        """Who may log on by *config*."""
        settings = AuthSettings(
            netbios_name="FREVOTEST",
            workgroup=DOMAIN,
            map_to_guest=config.globals.map_to_guest,
            ntlm=config.globals.ntlm_auth != "disabled",
            username_map=config.globals.username_map,
        )
        return Authenticator(AccountStore(self.private), settings)

    def connect(self, peer: str = "memory:1") -> Client:
        """A connected client that has not sent anything yet; *peer* as a transport writes it, `address:port`."""
        return Client(self, self.inside(self.transport.connect, peer))

    def logged_on(self, dialects: tuple[int, ...] = (0x0311,), *, peer: str = "memory:1") -> Client:
        """A client with its session, `client.session`, and a tree of the share "share", `client.tree`."""
        client = self.connect(peer)
        client.negotiate(dialects)
        client.log_on()
        client.connect_tree("share")
        return client

    def inside(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs *call* on the event loop."""

        async def run() -> T:
            return call(*arguments)

        return self._as_the_test(self.loop.run_until_complete(run()))

    def _as_the_test(self, value: T) -> T:
        """The loop's thread is the test's: the following is done with the test's own rights."""
        act_as(None)
        return value

    def turn(self, seconds: float = 0.0) -> None:
        """Lets waiting work continue, for *seconds* of real time at most or one round."""
        while True:
            for _ in range(4):
                self.loop.run_until_complete(asyncio.sleep(0))
            if not (self.patient and self.server.lanes.busy):
                break
            self._pause(0.0002)
        if seconds:
            self._pause(seconds)
        act_as(None)

    def _pause(self, seconds: float) -> None:
        if self.loop.stood_at is None:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        else:
            time.sleep(seconds)
            self.loop.run_until_complete(asyncio.sleep(0))

    def stop_clock(self) -> None:
        """From now on only `advance` moves the loop's clock, however slow the machine is."""
        self.loop.stood_at = self.loop.time() - self.loop.ahead

    def advance(self, seconds: float) -> None:
        """Advances the clock."""
        self.loop.ahead += seconds
        self.turn()

    def close(self) -> None:
        """Ends the server as a stop does; nothing that clients made is left, and no nonce was used twice."""
        server = self.server
        self.nonces.check()
        self.inside(server.close_all)
        self.loop.run_until_complete(server.lanes.drain(10.0))
        server.lanes.stop()
        server.lookups.stop()
        self.turn()
        assert not server.connections and not server.sessions and not server.opens and not len(server.files)
        assert not any(share.users for share in server.shares.values())
        assert not server.budgets.by_user()
        waiting = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        assert not waiting, waiting
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.loop.close()
