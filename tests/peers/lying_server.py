"""frevo's server behind a relay that knows its keys: its responses can be changed and are signed again.

This gets changed responses past the client's signature check. The server runs in a thread with its own loop; its
session keys are intercepted where it passes them to the data plane.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from frevo.proto.protection import SessionKeys
from frevo.transport.base import SessionOpens
from peers.altering import AlteringRelay, Step, elements, frame
from peers.in_process import InProcess, in_process

_SIGNED = 8


class ServerThread:
    """frevo's server in a thread; `keys` are those of every session so far, by id."""

    def __init__(self, base: Path, options: Mapping[str, str] | None = None) -> None:
        self._base, self._options = base, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._context: Any = None
        self.keys: dict[int, SessionKeys] = {}
        self.server: InProcess

    def __enter__(self) -> Self:
        self._thread.start()
        self._context = in_process(self._base, self._options, transport="tcp")
        try:
            self.server = self._do(self._context.__aenter__())
        except BaseException:
            self._end()
            raise
        transport: Any = self.server.running.transport
        given = transport.set_session

        def set_session(
            connection: int, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None
        ) -> None:
            self.keys[session_id] = keys
            given(connection, session_id, keys, opens)

        transport.set_session = set_session
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._do(self._context.__aexit__(None, None, None))
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def folder(self, share: str = "share") -> Path:
        """The folder behind *share*."""
        return self.server.folder(share)

    def signed(self, message: bytes) -> bytes:
        """*message* with correct signatures where it claims to be signed; unchanged if it cannot be signed."""
        if message[:4] != b"\xfeSMB":
            return message
        return b"".join(self._sign(part) for part in elements(message))

    def _sign(self, part: bytes) -> bytes:
        keys = self.keys.get(int.from_bytes(part[40:48], "little"))
        if keys is None or len(part) < 64 or not part[16] & _SIGNED:
            return part
        return bytes(keys.sign(part))


class LyingRelay(AlteringRelay):
    """A relay whose `lie(message)` replaces the server's responses, or drops them. `url` is set by who makes it."""

    url = ""

    def __init__(self, thread: ServerThread) -> None:
        super().__init__("127.0.0.1", thread.server.port, self._altered)
        self.thread = thread

    def lie(self, message: bytes) -> Iterable[Step]:
        """What is sent in place of a response; replaced by assigning another function."""
        return [frame(message)]

    def _altered(self, way: str, message: bytes) -> Iterable[Step]:
        return [frame(message)] if way == "up" else self.lie(message)
