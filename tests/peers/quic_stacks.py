"""QUIC stacks that are not ours, with one face: aioquic (Python) and qh3 (Rust inside). Their asyncio sides are alike.

They run in a thread of their own, so that they serve tests of the library and of commands alike.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from peers import programs
from peers.certificates import Identity

T = TypeVar("T")

STACKS = ("aioquic", "qh3")
ALPN = "smb"
#: What the peer may send before it is read: enough for a few messages of the largest size.
WINDOW_BYTES = 16 << 20
TIMEOUT_S = 20.0


def part(stack: str, name: str) -> Any:
    """A module of a stack; skips the test if it is not installed."""
    try:
        return importlib.import_module(f"{stack}.{name}")
    except ImportError as error:
        programs.missing(f"{stack} is missing ({error}): pip install -r requirements/test.txt")


def client_configuration(
    stack: str,
    authority: Path | None,
    *,
    server_name: str | None = "localhost",
    alpn: tuple[str, ...] = (ALPN,),
    identity: Identity | None = None,
    key_log: Any = None,
    **others: Any,
) -> Any:
    """A client that trusts *authority*, a PEM file, or everybody without one. *identity*: its own certificate."""
    made = part(stack, "quic.configuration").QuicConfiguration(
        is_client=True,
        alpn_protocols=list(alpn),
        server_name=server_name,
        secrets_log_file=key_log,
        **{"max_data": WINDOW_BYTES, "max_stream_data": WINDOW_BYTES, **others},
    )
    if authority is None:
        made.verify_mode = ssl.CERT_NONE
    else:
        made.load_verify_locations(cafile=str(authority))
    if identity is not None:
        made.load_cert_chain(identity.certificate_file, identity.key_file)
    return made


def server_configuration(
    stack: str, identity: Identity, *, alpn: tuple[str, ...] = (ALPN,), **others: Any
) -> Any:
    """A server with this certificate."""
    made = part(stack, "quic.configuration").QuicConfiguration(
        is_client=False,
        alpn_protocols=list(alpn),
        **{"max_data": WINDOW_BYTES, "max_stream_data": WINDOW_BYTES, **others},
    )
    made.load_cert_chain(identity.certificate_file, identity.key_file)
    return made


def protocol_class(stack: str, on_event: Callable[[Any, str, Any], None]) -> Any:
    """A connection's protocol that calls *on_event* with itself, the name and the contents of each event."""
    base = part(stack, "asyncio.protocol").QuicConnectionProtocol

    class Protocol(base):  # type: ignore[misc, valid-type]
        def quic_event_received(self, event: Any) -> None:
            on_event(self, type(event).__name__, event)

    return Protocol


class LoopThread:
    """An event loop in a thread. Use it as a context manager, or call `start` and `stop`."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def do(self, work: Coroutine[Any, Any, T], timeout_s: float = TIMEOUT_S) -> T:
        """Runs *work* in the loop and waits for its end."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def call(self, action: Callable[..., object], *arguments: object) -> None:
        """Calls *action* in the loop, without waiting."""
        self.loop.call_soon_threadsafe(action, *arguments)

    def stop(self) -> None:
        """Ends what is left running in the loop, and the thread."""
        if not self._thread.is_alive():
            return
        self.do(_end_the_others())
        self.call(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()


async def _end_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):  # transports close in the turns after
        await asyncio.sleep(0)
