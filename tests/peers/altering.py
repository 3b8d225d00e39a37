"""A relay that reads the traffic message by message and may change it: a man in the middle, or a malicious server.

`alter(way, message)` sees each SMB2 message ("up" to the server, "down" from it) and says what is sent in its place:
bytes as they go on the wire (`frame` makes them), a pause in seconds, or None for a cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterable

from peers.relay import Relay

Step = bytes | float | None
Alter = Callable[[str, bytes], Iterable[Step]]
_HEADER_BYTES = 64


def frame(message: bytes) -> bytes:
    """The message behind its transport header."""
    return struct.pack(">I", len(message)) + message


def command_of(message: bytes) -> int:
    """The command of a plain message; -1 for others."""
    plain = message[:4] == b"\xfeSMB" and len(message) >= _HEADER_BYTES
    return int.from_bytes(message[12:14], "little") if plain else -1


def elements(message: bytes) -> list[bytes]:
    """The elements of a plain compound, as far as NextCommand leads."""
    parts = []
    while True:
        following = int.from_bytes(message[20:24], "little") if len(message) >= _HEADER_BYTES else 0
        if not _HEADER_BYTES <= following < len(message):
            return [*parts, message]
        parts.append(message[:following])
        message = message[following:]


def only_changed(change: Callable[[str, bytes], bytes]) -> Alter:
    """An `alter` from a function that makes one message out of each."""
    return lambda way, message: [frame(change(way, message))]


class AlteringRelay(Relay):
    """Forwards what `alter` makes of each message."""

    def __init__(self, host: str, port: int, alter: Alter | None = None) -> None:
        super().__init__(host, port)
        self.alter = alter or only_changed(lambda _, message: message)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                message = await reader.readexactly(int.from_bytes(head[1:], "big"))
                self._count(way, len(message) + 4)
                if writer.is_closing() or not await self._carry_out(self.alter(way, message), writer):
                    break
        writer.close()

    async def _carry_out(self, steps: Iterable[Step], writer: asyncio.StreamWriter) -> bool:
        """False when the connection is cut."""
        for step in steps:
            if step is None:
                return False
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        return True
