"""Which nonce protected which message: a pair of key and nonce may never protect two ([MS-SMB2] 3.1.4.1, 3.1.4.3)."""

from __future__ import annotations

from frevo.wire.smb2 import Command, Header, HeaderFlags, split_compound

#: Session, sender, and what makes the nonce: the message id and CANCEL of a signature, the nonce of an encrypted one.
Nonce = tuple[int, str, object]


class Nonces:
    """Remembers every protected message that passes, as its sender made it."""

    def __init__(self) -> None:
        self.seen: dict[Nonce, bytes] = {}
        self.reused: list[Nonce] = []

    def saw(self, message: bytes, *, server: bool) -> None:
        """One message without its frame. A session stands for its keys, the sender for the direction."""
        sender = "server" if server else "client"
        if message[:4] == b"\xfdSMB":
            self._note((int.from_bytes(message[44:52], "little"), sender, message[20:36]), message)
            return
        if message[:4] != b"\xfeSMB":
            return
        session = 0
        for element in map(bytes, split_compound(message)):
            header = Header.parse(element)
            if not header.flags & HeaderFlags.RELATED_OPERATIONS or not session:
                session = header.session_id
            if header.flags & HeaderFlags.SIGNED:
                which = (header.message_id, header.command == Command.CANCEL)
                self._note((session, sender, which), element)

    def _note(self, nonce: Nonce, message: bytes) -> None:
        if self.seen.setdefault(nonce, message) != message:
            self.reused.append(nonce)

    def count(self, *, server: bool, encrypted: bool) -> int:
        """How many different nonces that side has used for encryption, or for signatures."""
        sender = "server" if server else "client"
        return sum(one[1] == sender and isinstance(one[2], bytes) == encrypted for one in self.seen)

    def check(self) -> None:
        """Fails when a nonce was used twice."""
        assert not self.reused, self.reused
