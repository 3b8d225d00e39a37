"""The state of the server as plain records: connections, sessions, trees and opens ([MS-SMB2] 3.3.1)."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from frevo.proto.dialect import Cipher, Dialect, Signing
from frevo.records import Redacted
from frevo.transport.base import Secured, SessionOpens
from frevo.transport.traits import TRANSPORTS, TransportTraits
from frevo.wire.smb2 import CREDIT_BYTES, CreateOptions

if TYPE_CHECKING:
    from frevo.aio.acting import UnixIdentity
    from frevo.auth.access import Token
    from frevo.auth.identity import Identity
    from frevo.locking.file_table import FileRecord
    from frevo.server.core.directory_watch import DirectoryWatch
    from frevo.server.core.lane import Lane
    from frevo.server.core.request import Request
    from frevo.server.core.shares import Share
    from frevo.server.core.unix_users import UnixUser
    from frevo.transport.base import ChannelSequence, Hold
    from frevo.vfs.base import Backend, Handle


_WRITE_THROUGH = int(CreateOptions.WRITE_THROUGH)
#: FILE_WRITE_THROUGH and FILE_SEQUENTIAL_ONLY: the options of a CREATE that are modes, which a client may change.
MODES: Final = _WRITE_THROUGH | int(CreateOptions.SEQUENTIAL_ONLY)


class ReadPosition(Protocol):
    """The end of the last read of an open, shared with the data plane."""

    value: int


class SessionState(enum.Enum):
    """Life cycle of a session ([MS-SMB2] 3.3.1.8)."""

    IN_PROGRESS = enum.auto()
    VALID = enum.auto()
    EXPIRED = enum.auto()
    GONE = enum.auto()


class Connection(msgspec.Struct, eq=False):
    """One transport connection ([MS-SMB2] 3.3.1.7). `id` is its number in the data plane."""

    id: int
    transport: str  # nbt, tcp, ...
    peer: str
    local: str
    connected_at: float
    dialect: Dialect | None = None
    multi_credit: bool = False
    client_guid: bytes = bytes(16)
    client_capabilities: int = 0
    client_security_mode: int = 0
    server_capabilities: int = 0
    server_security_mode: int = 0
    signing: Signing = Signing.HMAC_SHA256
    cipher: Cipher = Cipher.NONE
    transport_security: bool = False  # AcceptTransportSecurity: nothing needs to be encrypted again
    rdma: int = 0  # how RDMA may carry data (frevo.proto.rdma.ways)
    secured: Secured | None = None  # what the handshake of a transport with TLS came to
    peer_subject: str = ""  # of the certificate that the client has shown
    preauth_hash: bytes = bytes(64)
    max_transact: int = CREDIT_BYTES
    max_read: int = CREDIT_BYTES
    max_write: int = CREDIT_BYTES
    sessions: dict[int, Session] = msgspec.field(default_factory=dict)
    #: Waiting requests by message ID and, after an interim response, by async ID.
    waiting: dict[int, Request] = msgspec.field(default_factory=dict)
    waiting_async: dict[int, Request] = msgspec.field(default_factory=dict)
    closed: bool = False
    #: Host names of the client; None if they were not looked up (frevo.server.rules.hosts).
    host_names: frozenset[str] | None = None
    #: The party that its work counts for (frevo.server.core.turns): the account, or before log-on the client's address.
    party: str = ""
    #: The user whose budget it counts for; "" before log-on.
    user: str = ""

    #: The peer's address without its port.
    address: str = ""

    @property
    def traits(self) -> TransportTraits:
        """What is particular to its transport."""
        return TRANSPORTS[self.transport]

    def __post_init__(self) -> None:
        self.move(self.peer)
        self.party = self.party or self.address

    def move(self, peer: str) -> None:
        """Takes the address that the client has now, `ip:port` or `[ip]:port`."""
        self.peer, self.address = peer, peer.rpartition(":")[0].strip("[]")


class Session(Redacted, msgspec.Struct, eq=False):
    """An authenticated (or still authenticating) user ([MS-SMB2] 3.3.1.8)."""

    HIDDEN = ("full_session_key", "keys")

    id: int
    connection: Connection
    created_at: int  # FILETIME
    state: SessionState = SessionState.IN_PROGRESS
    identity: Identity | None = None
    unix: UnixUser | None = None  # the Unix user of the account; None if there is none, or if Unix users are off
    #: The security tokens of the identity, by the Unix user that acts on disk.
    tokens: dict[UnixIdentity | None, Token] = msgspec.field(default_factory=dict)
    acceptor: Any = None  # auth.Acceptor while a log-on or re-authentication runs
    deciding: bool = False  # the result is known and delayed (frevo.auth.failed_logons)
    preauth_hash: bytes = bytes(64)
    full_session_key: bytes = b""
    keys: Any = None  # frevo._native.SessionKeys
    signing_required: bool = False
    encrypt: bool = False  # EncryptData: every request must be encrypted
    may_encrypt: bool = False
    expires_at: float | None = None  # on the monotonic clock of the server; None: never
    trees: dict[int, Tree] = msgspec.field(default_factory=dict)
    opens: dict[int, Open] = msgspec.field(default_factory=dict)  # by volatile FileId
    #: Those of them that the data plane serves, on every connection of the session.
    attached_opens: SessionOpens = msgspec.field(default_factory=SessionOpens)
    #: Opens that were closed during an operation, with the waits for their end.
    closing: int = 0
    on_closed: list[asyncio.Future[None]] = msgspec.field(default_factory=list)
    next_tree_id: int = 1
    #: The user whose budgets it counts for (frevo.server.core.budget): the account, or before log-on the address.
    user: str = ""


class Tree(msgspec.Struct, eq=False):
    """A connected share ([MS-SMB2] 3.3.1.9)."""

    id: int
    session: Session
    share: Share
    backend: Backend | None  # None for IPC$
    connected_at: int  # FILETIME
    maximal_access: int
    writable: bool
    encrypt: bool = False
    #: The Unix user that acts on disk for this session in this share; None: the server's own user.
    acting: UnixIdentity | None = None
    lane: Lane | None = None  # for a file system that may not respond
    opens: set[int] = msgspec.field(default_factory=set)


class KeptWriteTime(msgspec.Struct):
    """A last write time set by a client, which its own writes do not change (frevo.server.rules.write_time)."""

    time: int = 0  # FILETIME
    writes: int = 0  # FileRecord.writes when `time` was read
    in_flight: int = 0  # writes of this open between `before_write` and `after_write`
    hold: Hold | None = None  # keeps the data plane from writing to the file meanwhile


class Open(msgspec.Struct, eq=False):
    """A file handle on the wire ([MS-SMB2] 3.3.1.10): a file, a directory, a stream or a pipe."""

    persistent_id: int
    volatile_id: int
    session: Session
    tree: Tree
    granted_access: int
    share_access: int
    create_options: int
    #: The path as the client sees it: relative to the share, with backslashes but no leading one, and `:stream` if any.
    path: str
    handle: Handle | None = None  # None for a pipe
    pipe: Any = None  # dcerpc PipeEndpoint
    record: FileRecord | None = None  # the file's shared state; None for a pipe
    is_directory: bool = False
    delete_on_close: bool = False  # delete pending when this open closes (frevo.server.rules.deleting)
    deletes_readonly: bool = False  # ... even if the file is read-only by then
    own_position: int = 0  # until the data plane has the open; see `position`
    cursor: ReadPosition | None = None
    #: ChannelSequence until the data plane has the open, see `in_sequence`; None before SMB 3.0, where there is none.
    own_sequence: int | None = None
    shared_sequence: ChannelSequence | None = None
    mode: int = 0  # of `MODES`
    directory: Any = None  # enumeration cursor, handlers/query_directory.py
    lists: bool = False  # the cursor has its own descriptor
    watch: DirectoryWatch | None = None  # since the first CHANGE_NOTIFY
    kept_write_time: KeptWriteTime | None = None
    attached: bool = False  # attached to the data plane (frevo.server.core.fastpath)
    leaving: tuple[Hold, ...] = ()  # detached while the data plane was reading or writing
    opened_at: int = 0  # FILETIME
    #: Requests that wait on this open (locks, notify); closing it ends them.
    waiting: set[Request] = msgspec.field(default_factory=set)
    on_close: list[Callable[[], None]] = msgspec.field(default_factory=list)
    resume_key: bytes | None = None
    #: What it takes from the budgets of its session: descriptors, and for a pipe the bytes in it.
    descriptors: int = 0
    pipe_bytes: int = 0

    @property
    def position(self) -> int:
        """CurrentByteOffset: the end of the last READ or WRITE ([MS-FSA] 2.1.1.6), by either plane."""
        return self.own_position if self.cursor is None else self.cursor.value

    @position.setter
    def position(self, value: int) -> None:
        if self.cursor is None:
            self.own_position = value
        else:
            self.cursor.value = value

    def in_sequence(self, sequence: int) -> bool:
        """Verifies the ChannelSequence of a request and remembers a newer one ([MS-SMB2] 3.3.5.2.10). False: it is
        older, so the request must change nothing."""
        if self.shared_sequence is not None:
            return self.shared_sequence.accept(sequence)
        if self.own_sequence is not None and (sequence - self.own_sequence) & 0xFFFF > 0x7FFF:
            return False
        self.own_sequence = sequence
        return True

    @property
    def writes_through(self) -> bool:
        """What is written is to be on disk before the client is told so ([MS-FSA] 2.1.5.4)."""
        return bool(self.mode & _WRITE_THROUGH)

    @property
    def file_id(self) -> tuple[int, int]:
        """(persistent, volatile), as on the wire."""
        return self.persistent_id, self.volatile_id
