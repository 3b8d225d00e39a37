"""Types of the Rust module `frevo._native` (crates/frevo-native). Private: use `frevo.aio` and
`frevo.transport`."""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, ClassVar, Final, Self, TypedDict, final

_Buffer = bytes | bytearray | memoryview
_Message = _Buffer | Sequence[_Buffer]

__version__: str

# --- constants.rs: the numbers that both planes use. Rust defines them; Python has no second definition. ---

ACCEPTED: Final[int]
"""Event (ACCEPTED, connection, listener, peer "ip:port", local "ip:port"): a client has connected."""
MESSAGE: Final[int]
"""Event (MESSAGE, connection, session_id of the TRANSFORM_HEADER or 0, flags, message, bad_signatures, unverified).

The last two are bit masks by element of the compound: SIGNED is set but the signature is wrong, SIGNED is set but no
key is known to check it with."""
CLOSED: Final[int]
"""Event (CLOSED, connection, reason): the last event of a connection, whoever closed it."""
REJECTED: Final[int]
"""Event (REJECTED, listener, peer, reason): a limit refused a client; at most ten per second are reported."""
IDLE: Final[int]
"""Event (IDLE, connection): no message for `idle_timeout` seconds, repeated after every further such time."""
PUMP: Final[int]
"""Event (PUMP, connection, pump, reason, code, offset): a pump of a client has ended (frevo.client.transfer.pump)."""
CREDITS: Final[int]
"""Event (CREDITS, connection): the credits that a client waits for (`Credits.want`) are there."""
SECURED: Final[int]
"""Event (SECURED, connection, cipher, server name, chain, verified, driver): the handshake of QUIC is done.

*chain*: the peer's certificates in DER, leaf first; *verified*: they prove its identity; *driver*: user or kernel.
"""
MOVED: Final[int]
"""Event (MOVED, connection, peer): a client of QUIC has another address, "ip:port" ([RFC 9000] 9)."""
ENCRYPTED: Final[int]
"""Flag of a MESSAGE event: it came encrypted."""
ENCRYPT: Final[int]
"""Flag of a submission: encrypt it with the session's keys."""
CLOSE_AFTER: Final[int]
"""Flag of a submission: close the connection once it is sent."""

WRONG_DATA: Final[int]
"""Status in a pump's statistics that no server sends: the data was not the pattern."""
SHORT_READ: Final[int]
"""Status in a pump's statistics that no server sends: there were fewer bytes than requested."""

FRAME_OVERHEAD: Final[int]
"""Bytes of the largest message beyond its payload: its headers, and the rest of its compound."""

class Limits(TypedDict, total=False):
    """The limits of a data plane. Missing ones have their default, DEFAULT_LIMITS."""

    max_connections: int
    """Connections at a time; never more than `descriptor_shares` leaves to them."""
    max_unauthenticated: int
    """Connections at a time that have not logged on; the oldest make room."""
    max_preauth_frame: int
    """Bytes of a message before log-on."""
    max_frame: int
    """Bytes of a message afterwards."""
    max_credits: int
    """Credits that a client may hold."""
    max_compound: int
    """Elements of one compound."""
    preauth_timeout: float
    """Seconds to log on."""
    idle_timeout: float
    """Seconds without a message after which IDLE is reported; 0: never."""
    frame_timeout: float
    """Seconds that an incomplete message may take."""
    send_timeout: float
    """Seconds without progress while output waits."""
    output_high_water: int
    """Bytes of output of a connection at which it is no longer read."""
    max_requests_in_flight: int
    """Messages of a connection held by Python at which it is no longer read."""
    max_bytes_in_flight: int
    """Bytes of those messages."""
    max_unread_bytes: int
    """Bytes of output of all connections together."""
    workers: int
    """Threads for READs that have to wait for the disk."""

DEFAULT_LIMITS: Final[Limits]
"""Every limit with its default, in the order above."""

def descriptor_shares() -> tuple[int, int]:
    """How many of this process's descriptors are for (connections, files)."""

def bucket_of(ns: int, /) -> int:
    """The bucket of a latency in a pump's histogram: 32 for each power of two."""

def bucket_floor(bucket: int, /) -> int:
    """The shortest latency of a bucket, in ns."""

# --- syscalls.rs: run in the calling thread; OSError(errno, text, path) ---

def openat2(dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int: ...
def statx(
    dirfd: int, path: bytes, flags: int
) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int]: ...
def set_times(dirfd: int, path: bytes | None, accessed: int | None, written: int | None) -> None: ...
def renameat2(olddirfd: int, old: bytes, newdirfd: int, new: bytes, flags: int) -> None: ...
def fallocate(fd: int, mode: int, offset: int, length: int) -> None: ...
def return_memory(block: int, end: int) -> bool:
    """mallopt(3), for the whole process: blocks of at least *block* bytes are given back to the kernel when they are
    freed, the end of the heap when it has *end* free bytes. False if the C library cannot be told."""

# --- ring.rs: io_uring ---

@final
class RingOperation:
    """The codes of `Ring.submit`, each with its arguments."""

    OPENAT2: ClassVar[int]
    """dirfd, path, flags, mode, resolve"""
    STATX: ClassVar[int]
    """dirfd, path, flags"""
    UNLINKAT: ClassVar[int]
    """dirfd, path, flags"""
    RENAMEAT2: ClassVar[int]
    """olddirfd, old, newdirfd, new, flags"""
    MKDIRAT: ClassVar[int]
    """dirfd, path, mode"""
    LINKAT: ClassVar[int]
    """olddirfd, old, newdirfd, new, flags"""
    READ: ClassVar[int]
    """fd, offset, length"""
    READINTO: ClassVar[int]
    """fd, offset, buffer"""
    WRITE: ClassVar[int]
    """fd, offset, data"""
    FSYNC: ClassVar[int]
    """fd, datasync"""
    FALLOCATE: ClassVar[int]
    """fd, mode, offset, length"""
    FGETXATTR: ClassVar[int]
    """fd, name, size"""
    FSETXATTR: ClassVar[int]
    """fd, name, value, flags"""
    SPLICE: ClassVar[int]
    """fd_in, offset_in, fd_out, offset_out, length, flags"""

@final
class Ring:
    def __new__(cls, entries: int) -> Self: ...
    @property
    def fd(self) -> int: ...
    def submit(self, operations: list[tuple[Any, ...]], cancels: list[int]) -> list[tuple[int, Any]]:
        """Submits (token, personality, code, arguments...), and cancels the operations with the given tokens.

        Returns (token, result) of operations that are already complete; a result is a value or an OSError to raise.
        """

    def complete(self) -> list[tuple[int, Any]]: ...
    def close(self) -> list[tuple[int, Any]]: ...
    def counters(self) -> tuple[int, int, int, int]: ...
    def register_personality(self) -> int: ...
    def unregister_personality(self, personality: int) -> None: ...

class _RingFeatures(TypedDict):
    reason: str
    operations: list[str]
    abilities: dict[str, bool]

def ring_features() -> _RingFeatures: ...
def choose_engine(wish: str) -> tuple[str, str]: ...

# --- acting.rs ---

@final
class Descriptor:
    """Owns the file descriptor *number*; see frevo.aio.descriptor. Every method may be called from any thread."""

    def __new__(cls, number: int) -> Self: ...
    @property
    def closed(self) -> bool:
        """Whether `close` was called. The file stays open while it is held."""
    def fileno(self) -> int:
        """The number, for a call that returns before anything can close it; OSError EBADF if it is closed."""
    def hold(self) -> int:
        """The number, which stays valid until `release`. OSError EBADF if it is closed and not held."""
    def release(self) -> None:
        """Undoes one `hold`. OSError if that closed the file and the system could not store its data."""
    def close(self) -> None:
        """Closes it, now or when the last operation on it has ended. A second call does nothing. OSError as for
        `release`."""

@final
class UnixIdentity:
    """A Unix user for file access. Equal only to itself: switching to the same object costs nothing."""

    def __new__(cls, uid: int, gid: int, groups: list[int]) -> Self: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def groups(self) -> list[int]: ...

def act_as(who: UnixIdentity | None, /) -> None:
    """Makes this thread act as *who* (None: as the process). OSError if the kernel refuses; then it acts as the
    process."""

def acting_as() -> UnixIdentity | None:
    """The user that this thread acts as; None: as the process does."""

def drop_capability(capability: int) -> None:
    """Removes a capability from the effective set of this thread and of those that it creates later. OSError."""

# --- keys.rs ---

def rc4(key: bytes, data: bytes) -> bytes:
    """RC4 from the start of its key stream, for NTLM. ValueError for an empty key."""

@final
class SessionKeys:
    """The protection of the messages of one session on one channel, with the nonce counter."""

    def __new__(
        cls,
        *,
        signing_algorithm: int,
        signing_key: bytes,
        cipher: int,
        encryption_key: bytes,
        decryption_key: bytes,
        signing_required: bool,
        encryption_required: bool,
    ) -> Self:
        """Keys as this side uses them: `encryption_key` encrypts what is sent. ValueError for a key of wrong
        length.

        signing_algorithm: 0 HMAC-SHA256, 1 AES-CMAC, 2 AES-GMAC ([MS-SMB2] 2.2.3.1.7). cipher: 0 none,
        1 AES-128-CCM, 2 AES-128-GCM, 3 AES-256-CCM, 4 AES-256-GCM (2.2.3.1.2); the keys are empty without
        one.
        """

    def for_channel(self, *, signing_algorithm: int, signing_key: bytes) -> SessionKeys:
        """Keys of another channel of the session: its own signing key, the same encryption keys and nonce
        counter."""

    @property
    def signing_required(self) -> bool: ...
    @property
    def encryption_required(self) -> bool: ...
    def sign(self, message: _Buffer) -> bytes:
        """The message with the SIGNED flag and its signature ([MS-SMB2] 3.1.4.1). ValueError below 64 bytes.

        Any number of times, for peers in tests and load generators. In frevo itself, the data plane signs, and ensures
        that no message ID signs two messages.
        """

    def verify(self, message: _Buffer) -> bool:
        """Whether the signature of one message (one element of a compound) is correct."""

    def encrypt(self, session_id: int, message: _Buffer) -> bytes:
        """The message encrypted, after a TRANSFORM_HEADER ([MS-SMB2] 3.1.4.3). ValueError without a cipher."""

    def decrypt(self, message: _Buffer) -> bytes:
        """The message in an encrypted packet. ValueError if it was not encrypted with the peer's key."""

# --- attached.rs: what the fast path serves, and when ---

@final
class AttachedOpen:
    """An open for `SessionOpens.attach`: the data plane answers its READs, WRITEs and FLUSHes unless somebody holds
    *gate*."""

    def __new__(
        cls,
        *,
        tree_id: int,
        file_id: tuple[int, int],
        fd: int,
        gate: Gate,
        readable: bool = True,
        writable: bool = False,
        encrypted_only: bool = False,
        position: Position | None = None,
        sequence: ChannelSequence | None = None,
        acting: UnixIdentity | None = None,
    ) -> Self:
        """*file_id* is (persistent, volatile); *fd* is duplicated at once, OSError if it cannot be.

        *readable*, *writable*: whether the client was granted to read and write. With *encrypted_only*, only encrypted
        requests are answered, whatever the session requires. *position* gets the end of each READ and WRITE. Without
        *sequence*, requests have no ChannelSequence (before SMB 3.0). Writes are done as *acting* (None: as the
        process).
        """

@final
class SessionOpens:
    """The attached opens of one session, which all of its connections serve (`set_session`)."""

    def __new__(cls) -> Self: ...
    def attach(self, opened: AttachedOpen) -> None:
        """Lets the data plane answer for an open: everything, if attached before the response to its CREATE."""

    def detach(self, file_id_volatile: int) -> Hold | None:
        """Passes all requests for an open to Python again, for good. The hold drains when those that are running have
        ended; it need not be kept. None if the open is not attached."""

    def begin(self, file_id_volatile: int, level: str) -> Running | None:
        """An operation ("read" or "write") that is running until it is ended, as if a request had come; None if that
        would go to Python. For tests."""

@final
class Running:
    """A running operation of an attached open."""

    def end(self) -> None: ...

@final
class Gate:
    """One per file identity: fast operations run unless somebody holds it. Nothing here ever waits."""

    def __new__(cls) -> Self: ...
    def hold(self, levels: int, reason: str) -> Hold:
        """Keeps out new operations of *levels* (1 reads, 2 writes, 3 both; ValueError for others) until it is released
        or no longer referred to. *reason*: who holds, for people."""

    def is_open(self, level: str) -> bool:
        """Whether nobody holds it at "read" or "write"."""

    def reasons(self) -> list[tuple[int, str]]:
        """Levels and reason of each hold, the oldest first."""

@final
class Hold:
    """Keeps operations out of a gate. There may be several on one gate."""

    @property
    def drained(self) -> bool:
        """Whether no operation of its levels is running; it stays so while it holds."""

    def tell(self, drains: Drains, number: int) -> None:
        """Gives *number* to *drains* once it has drained: at once, or later."""

    def release(self) -> None:
        """Lets operations in again, unless others hold the gate, too. More than once does nothing."""

@final
class Drains:
    """The holds that have drained, by their numbers. OSError without a descriptor for it."""

    def __new__(cls) -> Self: ...
    @property
    def eventfd(self) -> int:
        """Readable when `take` has something."""

    def take(self) -> list[int]: ...

@final
class Position:
    """Where the last READ or WRITE of one open ended, kept by whichever plane answered it."""

    value: int
    def __new__(cls) -> Self: ...

@final
class ChannelSequence:
    """Open.ChannelSequence, verified by whichever plane gets a request ([MS-SMB2] 3.3.5.2.10)."""

    def __new__(cls, value: int) -> Self: ...
    def accept(self, sequence: int, /) -> bool:
        """Remembers a newer one. False: it is older. OverflowError for more than 16 bits."""

# --- records.rs: arguments passed as one object ---

@final
class ConnectionSettings:
    """What was agreed on a connection, for `set_connection`."""

    def __new__(
        cls,
        *,
        authenticated: bool,
        max_read: int,
        multi_credit: bool,
        max_write: int = 0,
        user: int = 0,
        rdma: int = 0,
        rdma_threshold: int = 0,
    ) -> Self:
        """*authenticated*: a session is set up, so larger messages are allowed and no timer runs. *max_read*: bytes of
        the largest READ that is answered without Python, *max_write* of a WRITE. *multi_credit*: CreditCharge counts
        ([MS-SMB2] 3.3.5.2.5). *user*: the user whose unread responses are counted, 0 before log-on. *rdma*: how RDMA
        may carry the data of READ and WRITE, the sum of 1 (SMB2_CHANNEL_RDMA_V1), 2 (and _INVALIDATE), 4 (encrypted),
        8 (signed: RDMA transforms). *rdma_threshold*: of a client, the fewest bytes that it leaves to RDMA, 0 for
        nothing.
        """

@final
class PumpSettings:
    """What a pump (frevo.client.transfer.pump) moves, and how."""

    def __new__(
        cls,
        kind: str,
        *,
        files: Sequence[tuple[int, int]] = (),
        bodies: Sequence[bytes] = (),
        io_size: int = 0,
        window: int = 1,
        offset: int = 0,
        length: int = 0,
        read_percent: int = 70,
        random: bool = False,
        seed: int = 0,
        loop: bool = False,
        operations: int = 0,
        keep_going: bool = False,
        verify: bool = False,
        fd: int | None = None,
        local_offset: int = 0,
        buffer: _Buffer | None = None,
    ) -> Self:
        """*kind*: read, write, mixed (*read_percent* READs among WRITEs, 0 to 100), flush, echo, or open (CREATE of
        one of *bodies*, packed, then CLOSE). *files* and *bodies* are used in turn. *io_size*: bytes per READ or
        WRITE. *window*: requests in flight (pairs for open), fewer if there are not enough credits. *offset*, *length*:
        the range of the file; the pump goes through it once, repeatedly with *loop* or if it is mixed, or in random
        order with *random* (multiples of *io_size*). *operations*: how many to do, 0 for no limit. *keep_going*:
        failures and short reads are only counted.

        Data: with *fd* it is read from or written to that file (duplicated) from *local_offset* on; with *buffer* it
        is the caller's contiguous memory, exported until the pump ends; otherwise a READ's data is discarded (with
        *verify* compared with the pattern) and a WRITE's is the pattern. Word i (8 bytes) of the pattern of a file is
        x ^ x >> 29 with x = (i + *seed*) * 0x9E3779B97F4A7C15 modulo 2**64.

        ValueError for an unknown kind, OSError if *fd* cannot be duplicated.
        """

    @property
    def kind(self) -> str: ...
    @property
    def io_size(self) -> int: ...

# --- direct.rs ---

@final
class SmbDirect:
    """Connections carried by SMB Direct ([MS-SMBD]), and what this end offers. The lesser of both ends counts."""

    def __new__(
        cls,
        provider: str,
        *,
        send_size: int | None = None,
        receive_size: int | None = None,
        fragmented_size: int | None = None,
        credits: int | None = None,
        read_write_size: int | None = None,
        keepalive: float | None = None,
        checksums: bool = False,
        segment_size: int | None = None,
        reads: int | None = None,
    ) -> Self:
        """*provider*: iwarp, emulated or verbs."""

    @property
    def provider(self) -> str: ...

# --- lab.rs ---

_Place = tuple[int, int, int]
"""A tag, an offset and a number of bytes."""

@final
class RdmaEnd:
    """One end of an RDMA connection over bytes that the caller carries. See frevo.lab.rdma."""

    def __new__(
        cls,
        provider: str,
        role: str,
        *,
        checksums: bool = False,
        segment_size: int = 65_472,
        reads: int = 16,
    ) -> Self:
        """*provider*: iwarp or emulated; *role*: client or server. ValueError for other values."""

    def feed(self, data: _Buffer, now: float = 0.0) -> list[tuple[Any, ...]]:
        """Takes received bytes. Returns ("received", message, invalidated tag or None), ("read", work, data) and
        ("ended", reason), which is the last one."""

    def take(self, now: float = 0.0) -> bytes:
        """What is to be sent."""

    def post_receives(self, count: int, size: int) -> None: ...
    def send(self, message: _Buffer, invalidate: int | None = None) -> None: ...
    def write(self, data: _Buffer, targets: Sequence[_Place]) -> None: ...
    def read(self, sources: Sequence[_Place]) -> int: ...
    def register(self, data: _Buffer, access: str) -> _Place: ...
    def release(self, tag: int) -> bytes | None: ...
    @property
    def has_begun(self) -> bool: ...
    @property
    def registered(self) -> int: ...
    @property
    def moved(self) -> tuple[int, int]: ...

# --- rdma.rs ---

@final
class RdmaListener:
    """Listens at the RDMA devices that have a numeric address; at all of them if it is unspecified. OSError if none
    has it, or if libibverbs and librdmacm are missing."""

    def __new__(cls, host: str, port: int) -> Self: ...
    def getsockname(self) -> tuple[str, int]: ...
    def close(self) -> None: ...

@final
class RdmaConnection:
    """A connection over an RDMA device to a numeric address, which begins. OSError if the libraries are missing."""

    def __new__(cls, host: str, port: int, direct: SmbDirect) -> Self: ...
    def fileno(self) -> int:
        """Readable when there is something for `advance`."""

    def advance(self) -> bool:
        """Goes on. True when it is connected; ConnectionError says why it will not be."""

    def close(self) -> None: ...

# --- plane.rs ---

@final
class DataPlane:
    """Threads that own connections and answer requests that need no decision. See `frevo.transport.base`."""

    def __new__(
        cls,
        *,
        threads: int,
        engine: str = "auto",
        role: str = "server",
        read_path: str = "auto",
        write_path: str = "auto",
        splice: str = "auto",
        limits: Limits | None = None,
    ) -> Self:
        """Starts the threads. engine: auto, uring or epoll; role: server, client, or relay, which understands nothing:
        a MESSAGE has the bytes that arrived, and what is submitted is sent without framing. read_path: how large
        responses are sent: auto, plain, async, zerocopy or splice (see `frevo:read path`); write_path: how the data of
        large WRITEs reach their file: auto, plain, fixed or splice (see `frevo:write path`). splice: when responses
        may be spliced: auto, always or never (see `frevo:splice`). TypeError for an unknown limit, OSError if a
        thread or an engine cannot be started.
        """

    @property
    def engine(self) -> str: ...
    @property
    def engine_reason(self) -> str:
        """Why this engine runs."""

    @property
    def read_path(self) -> str:
        """How large responses are sent: plain, async, zerocopy or splice."""

    @property
    def unused_read_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""

    @property
    def write_path(self) -> str:
        """How the data of large WRITEs reach their file: plain, fixed or splice."""

    @property
    def unused_write_paths(self) -> dict[str, str]:
        """Of each other way its name and why it is not used."""

    @property
    def eventfd(self) -> int: ...
    def listen(self, fd: int, framing: str | SmbDirect) -> int:
        """Accepts on a duplicate of *fd* from now on; the listener's number. framing: tcp or nbt."""

    def close_listener(self, listener: int) -> None: ...
    def adopt(self, fd: int, framing: str | SmbDirect) -> int:
        """Takes a duplicate of a connected stream socket; the connection's number. There is no ACCEPTED
        event."""

    def listen_rdma(self, listener: RdmaListener, direct: SmbDirect) -> int:
        """Accepts at RDMA devices from now on; the listener's number. *listener* is the data plane's then."""

    def adopt_rdma(self, connection: RdmaConnection) -> int:
        """Takes a connection over an RDMA device; the connection's number. There is no ACCEPTED event."""

    def listen_quic(self, fds: Sequence[int], tls: QuicServerTls) -> int:
        """Accepts SMB over QUIC on duplicates of bound UDP sockets of one address, one for each I/O thread; the
        listener's number. OSError when there are not as many."""

    def listen_quic_kernel(self, fd: int, tls: QuicServerTls) -> int:
        """Accepts SMB over QUIC on a duplicate of a bound socket of IPPROTO_QUIC; the listener's number. OSError when
        it is none."""

    def set_quic_tls(self, listener: int, tls: QuicServerTls) -> None:
        """What new connections are presented. Connections of clients that it would not let in are closed."""

    def connect_quic(self, fd: int, host: str, port: int, tls: QuicClientTls) -> int:
        """Connects from a duplicate of an unconnected UDP socket to a numeric address; the connection's number. SECURED
        follows, or CLOSED with the reason. ValueError when *host* is a name."""

    def connect_quic_kernel(self, fd: int, host: str, port: int, tls: QuicClientTls) -> int:
        """As `connect_quic`, with a duplicate of an unconnected socket of IPPROTO_QUIC. OSError when it is none."""

    def poll(self, max_events: int = 1024, *, attended: bool = False) -> list[tuple[Any, ...]]:
        """Events, oldest first; drains the eventfd, which stays readable if more are left. With *attended*, new events
        do not make it readable until a poll returns none or `rest` is called."""

    @property
    def pressed(self) -> bool:
        """Whether some user may have too many unread responses."""

    def is_over(self, user: int) -> bool:
        """Whether this user has too many unread responses."""

    def rest(self) -> None:
        """Makes new events, and those that are left, make the eventfd readable again."""

    def submit(self, batch: Iterable[tuple[int, int, int, _Message]]) -> None:
        """Queues (connection, session_id, ENCRYPT | CLOSE_AFTER or 0, message); a message may be a list of parts."""

    def set_session(
        self, connection: int, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None
    ) -> None: ...
    def drop_session(self, connection: int, session_id: int) -> None: ...
    def set_connection(self, connection: int, settings: ConnectionSettings) -> None: ...
    def fast_echo(self, on: bool) -> None: ...
    def set_credits(self, connection: int, credits: Credits) -> None: ...
    def pump(
        self,
        connection: int,
        settings: PumpSettings,
        *,
        session_id: int,
        tree_id: int,
        encrypt: bool,
        sign: bool,
    ) -> Pump:
        """A pump for a session and tree, to be started by `begin_pumps`. *encrypt*, *sign*: its requests are, and
        responses must be. ValueError for settings that make no sense.
        """

    def begin_pumps(self, pumps: Sequence[Pump]) -> None:
        """Starts pumps of this plane, each once."""

    def stop_pump(self, connection: int, pump: int, now: bool = False) -> None: ...
    def close(self, connection: int, abort: bool = False) -> None: ...
    def smb_direct(self, connection: int) -> dict[str, Any] | None:
        """The state of SMB Direct on a connection, at most a second old; None if it has none."""

    def statistics(self) -> dict[str, int]: ...
    def shutdown(self) -> None:
        """Sends what can be sent at once, closes everything, joins the threads; the GIL is free meanwhile."""

# --- pump.rs ---

@final
class Credits:
    """The message IDs and credits of one client connection, shared with the data plane's threads."""

    def __new__(cls) -> Self: ...
    @property
    def free(self) -> int: ...
    @property
    def total(self) -> int:
        """Credits that are free or in use."""

    def reserve(self, charge: int) -> bool:
        """Reserves *charge* credits for `take`; False if there are not enough."""

    def take(self, charge: int) -> int:
        """Spends *charge* reserved credits and returns the first of as many message IDs."""

    def settle(self, charge: int) -> None:
        """A request with this *charge* has its final response."""

    def want(self, charge: int) -> None:
        """Reports CREDITS when *charge* credits are free; pumps do not take them. 0: no longer."""

_Measured = tuple[int, int, int, int, int, list[tuple[int, int]], list[tuple[int, int]]]

@final
class Pump:
    """A request loop in the data plane. See frevo.client.transfer.pump."""

    @property
    def id(self) -> int: ...
    @property
    def contiguous(self) -> int: ...
    @property
    def operations(self) -> int:
        """Successful ones so far, of all classes."""

    def statistics(self) -> dict[str, _Measured]: ...

def statistics_of(pumps: Sequence[Pump], /) -> dict[str, _Measured]:
    """The sums of what *pumps* have measured so far, by class."""

# --- tls.rs: SMB over QUIC. Certificates, keys and lists are DER ---

_Chain = Sequence[bytes]
"""Certificates, leaf first."""
_DistinguishedName = Sequence[tuple[str, str]]
"""Attributes in the certificate's order, each (dotted object identifier, text)."""

@final
class QuicServerTls:
    """What a listener of SMB over QUIC presents and demands; unchangeable. TLS 1.3, ALPN `smb`, no early data."""

    def __new__(
        cls,
        certificates: Sequence[tuple[_Chain, bytes]],
        *,
        client_access: str = "no",
        client_cas: Sequence[bytes] = (),
        crls: Sequence[bytes] = (),
        entries: Sequence[tuple[bool, str, bytes | str | _DistinguishedName]] = (),
        key_log: str | PathLike[str] | None = None,
    ) -> Self:
        """*certificates* are chains with their private keys (PKCS#8, SEC1 or PKCS#1).

        The name that a client asks for chooses among them, by exact name before wildcard. No certificate for it: the
        handshake ends ([MS-SMB2] 3.3.5.1). A client that came to an address asks for no name, and gets a certificate
        that is for some address, because behind a router the client knows another address than the server.

        *client_access* is "no" (clients are not asked for a certificate), "allow" (one without is let in, one with
        one is checked) or "require". Certificates must come from *client_cas*, not be revoked by *crls*, and be let in
        by *entries* ([MS-SMB2] 3.3.1.18): some entry allows, and none denies, a certificate of the chain. Each is
        (allow, kind, value): "sha256" and 32 bytes, "issuer" or "subject" and a distinguished name, "san" and
        "DNS:name", "email:name", "IP:address" or "URI:uri".

        *key_log* is a file that the secrets of handshakes are appended to (NSS format), created with mode 0600.
        Raises ValueError with a sentence for what cannot be read or does not fit, OSError for the key log."""

    def denies(self, chain: _Chain) -> str | None:
        """Why a client that has this chain (empty: none) would not be let in now; None if it would."""

@final
class QuicClientTls:
    """What a client of SMB over QUIC demands of a server, and presents; unchangeable."""

    def __new__(
        cls,
        server_name: str,
        *,
        verify: str = "as_strict_as_possible",
        cas: Sequence[bytes] = (),
        crls: Sequence[bytes] = (),
        fingerprint: bytes | None = None,
        certificate: tuple[_Chain, bytes] | None = None,
        key_log: str | PathLike[str] | None = None,
    ) -> Self:
        """*server_name* is the name, or the address, that is asked for and that the certificate must be for.

        *verify* is a word of Samba's `tls verify peer`: "no_check"; "ca_only" (from a CA of *cas*, in date, not revoked
        by *crls*); "ca_and_name_if_available" (and for the name, unless that is an address); "ca_and_name";
        "as_strict_as_possible" (and if there are *crls*, one for each CA of the chain, and up to date).

        With *fingerprint* the one certificate with that SHA-256 is trusted, whatever else it says, and no other. That
        the server has the key of its certificate is verified always. *certificate* is our own chain and key.

        Raises ValueError with a sentence for what cannot be read or does not fit, OSError for the key log."""

    @property
    def server_name(self) -> str: ...

# --- core.rs ---

@final
class Core:
    """One connection of the data plane without a socket: bytes in, events and bytes out."""

    def __new__(
        cls,
        *,
        connection: int = 1,
        framing: str | SmbDirect = "tcp",
        role: str = "server",
        limits: Limits | None = None,
    ) -> Self: ...
    def feed(self, data: _Buffer) -> list[tuple[Any, ...]]:
        """Takes received bytes and returns events, as `DataPlane.poll`."""

    def resume(self) -> list[tuple[Any, ...]]:
        """Continues with input that waited because too much output or too many messages were pending."""

    def submit(self, batch: Iterable[tuple[int, int, int, _Message]]) -> None: ...
    def take_output(self) -> bytes:
        """Everything that waits to be sent."""

    @property
    def closing(self) -> bool:
        """The connection is to be closed once its output is taken."""

    def set_session(self, session_id: int, keys: SessionKeys, opens: SessionOpens | None = None) -> None: ...
    def drop_session(self, session_id: int) -> None: ...
    def set_connection(self, settings: ConnectionSettings) -> None: ...
    def fast_echo(self, on: bool) -> None: ...
    def close(self) -> None: ...
    def statistics(self) -> dict[str, int]: ...
