"""The shares of one server by name: connected when asked for, and again after a fork or on a new loop."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from frevo.client.connect import connect_server
from frevo.client.server import Server
from frevo.client.share.share import Share

#: Connections of a parent process, which a forked child must neither use nor close.
_inherited: list[object] = []


class Shares:
    """Connections belong to the event loop and the process that made them; each gets its own on demand."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._reset()

    def _reset(self) -> None:
        self._home: tuple[int, asyncio.AbstractEventLoop | None] = (os.getpid(), None)
        self._server: Server | None = None
        self._shares: dict[str, Share] = {}
        self._connecting = asyncio.Lock()

    def _check_home(self) -> None:
        home = (os.getpid(), asyncio.get_running_loop())
        if self._home != home:
            if self._home[0] != home[0]:
                _inherited.append((self._server, self._shares))
            self._reset()
            self._home = home

    async def server(self) -> Server:
        """The server, connected first if it is not. RemoteError says why it cannot be."""
        self._check_home()
        async with self._connecting:
            if self._server is None or (self._server.connection.lost and not self._server.link.patience_s):
                self._shares.clear()
                self._server = await connect_server(self._url, **self._options)
            return self._server

    async def share(self, name: str) -> Share:
        """The share *name*, connected first if it is not."""
        self._check_home()
        server = await self.server()
        async with self._connecting:
            if name not in self._shares:
                self._shares[name] = await server.share(name)
            return self._shares[name]

    async def close(self) -> None:
        """Closes the connection, if this loop has one; the next call makes a new one."""
        self._check_home()
        server, self._server = self._server, None
        self._shares.clear()
        if server is not None:
            await server.close()

    def close_soon(self) -> None:
        """Closes the connection soon, from any thread; called when the file system is collected."""
        pid, loop = self._home
        if pid == os.getpid() and loop is not None and self._server is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(self.close(), loop)
