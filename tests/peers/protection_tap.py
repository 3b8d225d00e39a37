"""A relay that notes how the messages are protected that pass."""

from __future__ import annotations

from frevo.wire.smb2 import Command, NegotiateResponse
from peers.altering import AlteringRelay, command_of, only_changed

ENCRYPTED, SIGNED, PLAIN = "encrypted", "signed", "plain"


class ProtectionTap(AlteringRelay):
    """`seen`: way ("up" or "down") and protection of READs and WRITEs, and of everything encrypted. `algorithms`: those
    that servers have chosen, by type of the negotiate context."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, only_changed(self._noted))
        self.seen: set[tuple[str, str]] = set()
        self.algorithms: dict[int, set[int]] = {}

    def _noted(self, way: str, message: bytes) -> bytes:
        if message[:4] == b"\xfdSMB":
            self.seen.add((way, ENCRYPTED))
        elif command_of(message) in (Command.READ, Command.WRITE):
            self.seen.add((way, SIGNED if message[16] & 8 else PLAIN))
        elif command_of(message) == Command.NEGOTIATE and way == "down":
            for context in NegotiateResponse.parse(message).contexts:
                last = int.from_bytes(context.data[-2:], "little")
                self.algorithms.setdefault(context.context_type, set()).add(last)
        return message
