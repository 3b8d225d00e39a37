"""A server to which a user is logged on: connection, session, its shares."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from frevo.client.connection.connection import Connection
from frevo.client.connection.dial import Call, dial
from frevo.client.connection.keepalive import Keepalive
from frevo.client.connection.logon import Handshake, Session, log_on, log_on_again, negotiate
from frevo.client.connection.plane import plane_of
from frevo.client.credentials import Credentials
from frevo.client.errors import RemoteError, fault, remote_error
from frevo.client.lasting.link import Link, LoggedOn
from frevo.client.lasting.tree import LastingTree
from frevo.client.share.share import Share
from frevo.client.tree.stat import ShareEntry
from frevo.errors import RemoteProtocolError, WireError
from frevo.proto.dialect import SMB_2_0_2, SMB_3_1_1, Cipher, Dialect, Signing, newer
from frevo.proto.negotiation import NegotiationPolicy
from frevo.proto.rdma import TRANSFORMS
from frevo.tls.client import ClientTrust
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress
from frevo.transport.smbdirect import SmbDirectSettings, WantedTransforms
from frevo.transport.traits import TRANSPORTS
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CREDIT_BYTES

if TYPE_CHECKING:
    from frevo.transport.kernel_quic import WantedDriver

SIGNINGS = (Signing.AES_GMAC, Signing.AES_CMAC, Signing.HMAC_SHA256)
CIPHERS = (Cipher.AES_128_GCM, Cipher.AES_256_GCM, Cipher.AES_128_CCM, Cipher.AES_256_CCM)
#: Requests of a compound over SMB Direct. ksmbd cannot send the responses to four: they are in more pieces than its
#: device takes at a time, and it ends the connection.
_RDMA_COMPOUND_MAX = 3
#: [MS-SMB2] 3.3.5.9: what servers refuse over QUIC unless they are told otherwise.
_NO_PIPES = (
    "over QUIC this server does not open named pipes, without which it cannot list its shares: name the share, as in "
    "smb+quic://host/share, or allow pipes on the server (frevo: `frevo:quic named pipes = yes`, Windows: "
    "Set-SmbServerConfiguration -RestrictNamedpipeAccessViaQuic $false)"
)
_REQUEST_BYTES = 8 << 20
_HEADERS_BYTES = 4096  # more than a message has besides its data


class Settings(msgspec.Struct, frozen=True):
    """How to connect. signing=False turns signing off, unless the server demands it; encryption=True demands it."""

    signing: bool = True
    encryption: bool = False
    minimum: Dialect = SMB_2_0_2
    maximum: Dialect = SMB_3_1_1
    transports: Sequence[TransportAddress] = DEFAULT_TRANSPORTS
    timeout: float = 5.0
    ciphers: Sequence[Cipher] = CIPHERS
    signings: Sequence[Signing] = SIGNINGS
    prefer_encryption: bool = False  # encrypt if the server can
    #: Encrypt over QUIC, too; False: QUIC is enough where the server agrees and was verified.
    encryption_over_quic: bool = True
    netbios_name: str = "FREVO"
    quic_driver: WantedDriver = "auto"  # who speaks QUIC: this process or the kernel
    smb_direct: SmbDirectSettings = SmbDirectSettings()
    rdma_threshold: int = 8192  # bytes of a READ or WRITE from which the server moves its data by RDMA, 0: never
    rdma_transforms: WantedTransforms = "both"  # how such data is protected, where the server can
    tls: ClientTrust = ClientTrust()  # which servers are trusted over QUIC
    server_name: str = ""  # in the server's certificate, if it is not the host's
    address: str | None = None  # where the host is, when its name does not say
    client_guid: bytes | None = None  # what servers know this client by; a new one for each connection
    answer_timeout: float = (
        60.0  # seconds without a sign of life while an answer is due; 0: as long as it takes
    )
    reconnect: float = 30.0  # seconds to try to get a lost connection back; 0: not at all
    connections: int = 0  # that a share may have for much to do; 0: by the number of processors

    def policy(self, transport: str, *, verified: bool = False) -> NegotiationPolicy:
        """What is offered on *transport*; *verified*: its handshake has proved who the server is."""
        traits = TRANSPORTS[transport]
        size = _REQUEST_BYTES if traits.multi_credit else CREDIT_BYTES
        return NegotiationPolicy(
            newer(self.minimum, traits.oldest), self.maximum, self.signing, self.signings, self.ciphers,
            size, size, size,
            multi_credit=traits.multi_credit,
            transport_security=traits.secure and verified and not self.encryption_over_quic,
            rdma_transforms=TRANSFORMS[self.rdma_transforms] if traits.rdma else (),
        )  # fmt: skip

    def usable_transports(self) -> list[TransportAddress]:
        """Those of `transports` that carry one of the dialects. RemoteError when none does."""
        low, high = self.minimum.revision, self.maximum.revision
        found = [one for one in self.transports if one.traits.oldest <= high and one.traits.newest >= low]
        if not found:
            names = ", ".join(map(str, self.transports))
            text = f"{names} carries no dialect from {self.minimum.name} to {self.maximum.name}"
            raise RemoteError(errno.EPROTONOSUPPORT, text)
        return found


class Server:
    """One server with one user logged on. Close it, or use it in `async with`. It outlives its connection."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._closed = False

    @property
    def connection(self) -> Connection:
        """The current connection; it changes after a reconnect."""
        return self.link.current.connection

    @property
    def session(self) -> Session:
        """The current session."""
        return self.link.current.session

    @property
    def handshake(self) -> Handshake:
        """The result of NEGOTIATE on the current connection."""
        return self.link.current.handshake

    @property
    def transport(self) -> str:
        """The name of the transport, as `client smb transports` spells it."""
        return self.link.current.transport

    @property
    def dialect(self) -> str:
        """The dialect's name, as smb.conf spells it: SMB3_11."""
        assert self.connection.negotiated is not None
        return self.connection.negotiated.dialect.name

    @property
    def encrypted(self) -> bool:
        """Everything is encrypted, by SMB or by a transport that both sides rely on instead."""
        return self.session.protection.encrypt or self.connection.transport_security

    @property
    def signed(self) -> bool:
        """Requests and responses are signed."""
        return self.session.protection.sign

    async def share(self, name: str, *, base: str = "", owned: bool = False) -> Share:
        """Connects to a share. Paths are relative to *base*; *owned*: closing the share closes the server."""
        return Share(await LastingTree.connect(self.link, name), base, self.close if owned else None)

    async def shares(self) -> list[ShareEntry]:
        """The shares that the server lists."""
        from frevo.client.tree.list_shares import list_shares  # with all of DCE/RPC, which few need

        try:
            pipes = await LastingTree.connect(self.link, "IPC$")
            try:
                return await pipes.run(lambda tree, _: list_shares(tree))
            finally:
                with contextlib.suppress(OSError):
                    await pipes.tree.disconnect()
        except RemoteError as error:
            if TRANSPORTS[self.transport].secure and error.ntstatus == NTStatus.ACCESS_DENIED:
                raise remote_error(error.ntstatus, self.connection.server, "", _NO_PIPES) from None
            raise

    async def close(self) -> None:
        """Logs off and closes the connection; what was open there is closed by the server."""
        if self._closed:
            return
        self._closed = True
        await self.link.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.close()


def _preferred(settings: Settings, credentials: Credentials, connection: Connection) -> bool:
    """Whether to encrypt because both sides can; guests have no keys."""
    can = connection.negotiated is not None and connection.negotiated.cipher is not Cipher.NONE
    return settings.prefer_encryption and can and not (credentials.guest or credentials.anonymous)


async def open_server(host: str, credentials: Credentials, settings: Settings) -> Server:
    """Connects, negotiates and logs on, each within the timeout."""

    async def renew(current: LoggedOn) -> None:
        async with asyncio.timeout(settings.timeout * 3):
            await log_on_again(current.connection, current.session, credentials)

    async def connect() -> LoggedOn:
        return await _connect(host, credentials, settings)

    return Server(Link(await connect(), connect, renew, settings.reconnect, settings.connections))


async def _connect(host: str, credentials: Credentials, settings: Settings) -> LoggedOn:
    call = Call(
        settings.address or host, settings.usable_transports(), settings.timeout,
        partial(settings.tls.native, settings.server_name or host.partition("%")[0]), settings.netbios_name,
        settings.quic_driver, settings.smb_direct,
    )  # fmt: skip
    reached = await dial(call)
    transport = reached.transport
    plane = plane_of(asyncio.get_running_loop())
    connection = Connection(plane, host)
    connection.number = plane.adopt(reached, connection)
    connection.inline_max = TRANSPORTS[transport].message_max - _HEADERS_BYTES
    if TRANSPORTS[transport].rdma:
        connection.compound_max = _RDMA_COMPOUND_MAX
    try:
        async with asyncio.timeout(settings.timeout * 3):
            policy = settings.policy(transport, verified=connection.verified)
            handshake = await negotiate(connection, policy, settings.client_guid)
            session = await log_on(
                connection,
                handshake,
                credentials,
                signing=settings.signing,
                encryption=settings.encryption or _preferred(settings, credentials, connection),
                rdma_threshold=settings.rdma_threshold if TRANSPORTS[transport].rdma else 0,
            )
    except BaseException as error:
        await connection.close(abort=True)
        if isinstance(error, TimeoutError) and not isinstance(error, RemoteError):
            text = f"the server accepted the connection but did not respond within {settings.timeout * 3:g} s"
            raise RemoteError(errno.ETIMEDOUT, text, host) from None
        if isinstance(error, WireError):
            raise fault(f"the server sent a malformed message ({error})") from error
        if isinstance(error, RemoteProtocolError) and not isinstance(error, OSError):
            raise fault(str(error)) from error
        raise
    if settings.answer_timeout:
        Keepalive(connection, session.protection, settings.answer_timeout)
    return LoggedOn(connection, session, handshake, transport)
