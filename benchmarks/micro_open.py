"""Time of the control plane for one OPEN + CLOSE in microseconds, without sockets; --profile says where it goes.

Run: python -m benchmarks.micro_open [--count N] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from pathlib import Path
from typing import Any

from frevo.auth.accounts import AccountStore
from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.config import load
from frevo.server.run import _authenticator
from frevo.server.service import Service
from frevo.transport.base import ACCEPTED, MESSAGE
from frevo.transport.memory import MemoryTransport
from frevo.wire.smb2 import (
    CloseRequest,
    Command,
    CreateRequest,
    Header,
    HeaderFlags,
    NegotiateRequest,
    SessionSetupRequest,
    SessionSetupResponse,
    TreeConnectRequest,
)

_USER, _PASSWORD = "user1", "Passw0rd!"
_CONNECTION = 1
_FILE_ID_AT = 64 + 64
#: The best of short batches counts: the rest is due to a busy machine.
_BATCH = 200


class _Sink(MemoryTransport):
    """A transport that keeps the responses."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def submit(self, connection: int, session_id: int, flags: int, message: Any) -> None:
        self.sent.append(message if isinstance(message, bytes) else b"".join(message))


class Control:
    """A server and a logged-on connection; `call` returns the response to a request."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        (folder / "share").mkdir()
        (folder / "share" / "file.txt").touch()
        config = folder / "smb.conf"
        config.write_text(
            f"[global]\nprivate dir = {folder}/private\nfrevo:unix users = no\n"
            f"[share]\npath = {folder}/share\nread only = no\n"
        )
        AccountStore(folder / "private").add(_USER, _PASSWORD)
        settings = load(str(config))
        self._sink = _Sink()
        self.server = Service(settings, self._sink, _authenticator(settings), loop)
        self._number = 0
        self._session = self._tree = 0
        self.server.on_events([(ACCEPTED, _CONNECTION, 1, "127.0.0.1:1", "127.0.0.1:2")])
        self._log_on()

    def _log_on(self) -> None:
        self.call(Command.NEGOTIATE, NegotiateRequest([0x0210], 1).pack())
        attempt = NTLMInitiator(NTLMCredentials(_USER, _PASSWORD, ""))
        response = self.call(Command.SESSION_SETUP, SessionSetupRequest(0, 1, 0, 0, 0, attempt.step(None)).pack())
        self._session = Header.parse(response).session_id
        token = attempt.step(SessionSetupResponse.parse(response).security_buffer)
        response = self.call(Command.SESSION_SETUP, SessionSetupRequest(0, 1, 0, 0, 0, token).pack())
        assert Header.parse(response).status == 0, "log-on failed"
        response = self.call(Command.TREE_CONNECT, TreeConnectRequest(r"\\server\share").pack())
        self._tree = Header.parse(response).tree_id

    def call(self, command: int, body: bytes) -> bytes:
        # Signed and already verified, as by the data plane, which is not measured here.
        flags = int(HeaderFlags.SIGNED) if self._session else 0
        header = Header(1, 0, command, 1, flags, 0, self._number, 0, self._tree, 0, self._session)
        self._number += 1
        self.server.on_events([(MESSAGE, _CONNECTION, 0, 0, header.pack() + body, 0, 0)])
        return self._sink.sent.pop()


def _pairs(control: Control, count: int) -> float:
    """Processor time of one open and close in microseconds; about 3 of them are the client's."""
    create = CreateRequest(desired_access=0x80, share_access=7, create_disposition=1, name="file.txt").pack()
    started = time.process_time()
    for _ in range(count):
        response = control.call(Command.CREATE, create)
        persistent = int.from_bytes(response[_FILE_ID_AT : _FILE_ID_AT + 8], "little")
        control.call(Command.CLOSE, CloseRequest(0, (persistent, persistent)).pack())
    return (time.process_time() - started) / count * 1e6


async def _main(count: int, profile: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        control = Control(Path(folder), asyncio.get_running_loop())
        _pairs(control, 200)
        best = min(_pairs(control, _BATCH) for _ in range(max(count // _BATCH, 1)))
        print(f"open + close: {best:.1f} us")
        if profile:
            profiler = cProfile.Profile()
            profiler.runcall(_pairs, control, count)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    asyncio.run(_main(options.count, options.profile))


if __name__ == "__main__":
    main()
