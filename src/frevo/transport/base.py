"""The contract of a transport: the events that it reports and the commands that it takes.

Events are plain tuples, because there are many of them; `_native.pyi` says what is in each. A message is owned by
whoever has it: `bytes`, or a read-only memoryview of the buffer that it was received into (freed when dropped).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from frevo._native import (
    ACCEPTED,
    CLOSE_AFTER,
    CLOSED,
    CREDITS,
    DEFAULT_LIMITS,
    ENCRYPT,
    ENCRYPTED,
    FRAME_OVERHEAD,
    IDLE,
    MESSAGE,
    MOVED,
    PUMP,
    REJECTED,
    SECURED,
    SHORT_READ,
    WRONG_DATA,
    AttachedOpen,
    ChannelSequence,
    ConnectionSettings,
    Credits,
    Drains,
    Gate,
    Hold,
    Position,
    PumpSettings,
    SessionKeys,
    SessionOpens,
    bucket_floor,
    bucket_of,
    descriptor_shares,
    statistics_of,
)

if TYPE_CHECKING:  # not there at run time
    from frevo._native import Limits as Limits
    from frevo._native import QuicServerTls

#: Names from `frevo._native`, explained in its stub, and those added here.
__all__ = [
    "ACCEPTED",
    "CLOSED",
    "CLOSE_AFTER",
    "CREDITS",
    "DEFAULT_LIMITS",
    "ENCRYPT",
    "ENCRYPTED",
    "FRAME_OVERHEAD",
    "IDLE",
    "MESSAGE",
    "MOVED",
    "PUMP",
    "REJECTED",
    "SECURED",
    "SHORT_READ",
    "WRONG_DATA",
    "AttachedOpen",
    "ChannelSequence",
    "ConnectionSettings",
    "Credits",
    "Drains",
    "Event",
    "Gate",
    "Hold",
    "Message",
    "OnEvents",
    "Position",
    "PumpSettings",
    "Secured",
    "SessionKeys",
    "SessionOpens",
    "Transport",
    "bucket_floor",
    "bucket_of",
    "descriptor_shares",
    "statistics_of",
]


class Secured(msgspec.Struct, frozen=True):
    """What the TLS handshake of a connection came to."""

    cipher: str  # TLS_AES_128_GCM_SHA256
    server_name: str  # as the client called the server (SNI); "" when it named none
    peer_chain: tuple[bytes, ...]  # the peer's certificates in DER, its own first; none when it showed none
    verified: bool  # the peer is who it should be: by its chain and name, or by the fingerprint that was given
    driver: str = "user"  # who speaks QUIC: user for this process, or kernel

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the peer's certificate in hexadecimal; "" when it showed none."""
        return hashlib.sha256(self.peer_chain[0]).hexdigest() if self.peer_chain else ""

    @classmethod
    def of(cls, event: Event) -> Secured:
        """From a SECURED event."""
        _, _, cipher, server_name, chain, verified, driver = event
        return cls(cipher, server_name, tuple(chain), verified, driver)


Event = tuple[Any, ...]
OnEvents = Callable[[list[Event]], None]
#: One SMB2 message, or its parts in order.
Message = bytes | bytearray | memoryview | Sequence[bytes | bytearray | memoryview]


class Transport(Protocol):
    """What the server requires of a transport.

    Commands for one connection are executed in order. A command for a connection that has ended does nothing.
    """

    def start(self, on_events: OnEvents) -> None:
        """Delivers events from now on, a list at a time, on the event loop."""

    def listener_name(self, listener: int) -> str:
        """The transport of a listener: a name of `frevo.transport.traits`."""

    def set_quic_tls(self, listener: int, tls: QuicServerTls) -> None:
        """What a QUIC listener presents and demands from now on; live connections of a client that it denies end."""

    def submit(self, connection: int, session_id: int, flags: int, message: Message) -> None:
        """Sends a message: one SMB2 packet or a compound.

        The credits of each header are the requested number; the transport grants what its limits allow and writes that.
        NEGOTIATE and an unfinished SESSION_SETUP are hashed as sent ([MS-SMB2] 3.3.5.4), so write 1 there, which is
        always granted. Elements with the SIGNED flag are signed with the keys of *session_id*.
        """

    def set_session(
        self, connection: int, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None
    ) -> None:
        """Gives the transport the keys to verify, decrypt, sign and encrypt messages of the session, and its *opens*
        that the transport may answer for, now and later."""

    def drop_session(self, connection: int, session_id: int) -> None:
        """Removes the session from the connection."""

    def set_connection(self, connection: int, settings: ConnectionSettings) -> None:
        """Sets the negotiated values. `authenticated` is set before the response that tells the client."""

    @property
    def pressed(self) -> bool:
        """Whether some user may have too many unread responses: only then is `is_over` worth a call."""

    def is_over(self, user: int) -> bool:
        """Whether this user has too many unread responses, and should get no more of them."""

    def fast_echo(self, on: bool) -> None:
        """Whether ECHO is answered without the server."""

    def close(self, connection: int, *, abort: bool = False) -> None:
        """Closes: what was submitted is sent first unless *abort*. CLOSED follows."""

    def smb_direct(self, connection: int) -> dict[str, Any] | None:
        """The state of SMB Direct on a connection (fields of frevo.status.snapshot.RdmaStatus); None without it."""

    def statistics(self) -> dict[str, int]:
        """Counters since the start."""
