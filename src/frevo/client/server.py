"""A server that one is logged on to: connection, session, its shares."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from frevo.client.connection import Connection, Element
from frevo.client.credentials import Credentials
from frevo.client.dial import dial
from frevo.client.errors import RemoteError
from frevo.client.logon import Handshake, Session, log_on, negotiate
from frevo.client.plane import plane_of
from frevo.client.rpc import ShareEntry, list_shares
from frevo.client.share import Share
from frevo.client.tree import connect_tree
from frevo.errors import RemoteProtocolError, WireError
from frevo.proto.dialect import SMB_2_0_2, SMB_3_1_1, Cipher, Dialect, Signing
from frevo.proto.negotiation import NegotiationPolicy
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress
from frevo.wire.smb2 import Command, LogoffRequest

_SIGNINGS = (Signing.AES_GMAC, Signing.AES_CMAC, Signing.HMAC_SHA256)
_CIPHERS = (Cipher.AES_128_GCM, Cipher.AES_256_GCM, Cipher.AES_128_CCM, Cipher.AES_256_CCM)
_REQUEST_BYTES = 8 << 20
_REQUEST_BYTES_NBT = 65536


@dataclass(frozen=True, slots=True)
class Settings:
    """How to connect. signing=False turns signing off, unless the server demands it; encryption=True demands it."""

    signing: bool = True
    encryption: bool = False
    minimum: Dialect = SMB_2_0_2
    maximum: Dialect = SMB_3_1_1
    transports: Sequence[TransportAddress] = field(default=DEFAULT_TRANSPORTS)
    timeout: float = 5.0
    ciphers: Sequence[Cipher] = field(default=_CIPHERS)
    address: str | None = None  # where the host is, when its name does not say
    client_guid: bytes | None = None  # what servers know this client by; a new one for each connection

    def policy(self, transport: str) -> NegotiationPolicy:
        """What is offered on *transport*."""
        size = _REQUEST_BYTES_NBT if transport == "nbt" else _REQUEST_BYTES
        return NegotiationPolicy(
            self.minimum, self.maximum, self.signing, _SIGNINGS, self.ciphers, size, size, size,
            multi_credit=transport != "nbt",
        )  # fmt: skip


class Server:
    """One connection with one user logged on. Close it, or use it in `async with`."""

    def __init__(
        self, connection: Connection, session: Session, handshake: Handshake, transport: str
    ) -> None:
        self.connection = connection
        self.session = session
        self.transport = transport
        self.handshake = handshake
        self._closed = False

    @property
    def dialect(self) -> str:
        """The dialect's name, as smb.conf spells it: SMB3_11."""
        assert self.connection.negotiated is not None
        return self.connection.negotiated.dialect.name

    @property
    def encrypted(self) -> bool:
        """Everything is encrypted."""
        return self.session.protection.seal

    @property
    def signed(self) -> bool:
        """Requests and answers are signed."""
        return self.session.protection.sign

    async def share(self, name: str, *, base: str = "", owned: bool = False) -> Share:
        """Connects to a share. Paths are relative to *base*; *owned*: closing the share closes the server."""
        tree = await connect_tree(self.connection, self.session, self.handshake, name)
        return Share(tree, base, self.close if owned else None)

    async def shares(self) -> list[ShareEntry]:
        """The shares that the server lists."""
        tree = await connect_tree(self.connection, self.session, self.handshake, "IPC$")
        try:
            return await list_shares(tree)
        finally:
            with contextlib.suppress(OSError):
                await tree.disconnect()

    async def close(self) -> None:
        """Logs off and closes the connection; what was open there is closed by the server."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.connection.lost:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        element = Element(Command.LOGOFF, LogoffRequest().pack())
                        await self.connection.exchange(element, self.session.protection)
        finally:
            await self.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self.close()


async def open_server(host: str, credentials: Credentials, settings: Settings) -> Server:
    """Reaches the server, negotiates and logs on, each within the timeout."""
    connected, transport = await dial(settings.address or host, settings.transports, settings.timeout)
    plane = plane_of(asyncio.get_running_loop())
    connection = Connection(plane, host)
    connection.number = plane.adopt(connected, transport, connection)
    try:
        async with asyncio.timeout(settings.timeout * 3):
            handshake = await negotiate(connection, settings.policy(transport), settings.client_guid)
            session = await log_on(
                connection,
                handshake,
                credentials,
                signing=settings.signing,
                encryption=settings.encryption,
            )
    except BaseException as error:
        await connection.close(abort=True)
        if isinstance(error, TimeoutError) and not isinstance(error, RemoteError):
            text = f"the server took the connection but did not answer within {settings.timeout * 3:g} s"
            raise RemoteError(110, text, host) from None
        if isinstance(error, WireError):
            raise RemoteProtocolError(f"{host}: malformed answer: {error}") from None
        raise
    return Server(connection, session, handshake, transport)
