"""The state of an SMB server ([MS-SMB2] 3.3.1.5), its clock and IDs, and how responses are sent."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from frevo.auth.failed_logons import FailedLogons
from frevo.config import Config
from frevo.locking.file_table import FileTable
from frevo.server.core.budget import Budgets
from frevo.server.core.fastpath import FastPath
from frevo.server.core.lanes import Lanes
from frevo.server.core.lookups import Lookups
from frevo.server.core.network_interfaces import Listening
from frevo.server.core.shares import Share, build_shares, guard_of
from frevo.server.core.slow_work import SlowWork
from frevo.server.core.turns import Turns
from frevo.server.core.unix_users import UnixUsers, unix_users_of
from frevo.transport.base import ENCRYPT
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ErrorResponse, Header, HeaderFlags

if TYPE_CHECKING:
    from frevo.auth.authenticator import Authenticator
    from frevo.server.core.request import Chain, Request
    from frevo.server.core.state import Connection, Open, Session
    from frevo.transport.base import Transport

#: A response of more bytes is not copied for its header.
_LARGE_BYTES = 65536
_ASYNC = int(HeaderFlags.ASYNC_COMMAND)
_SIGNED = int(HeaderFlags.SIGNED)
EMPTY_ERROR = ErrorResponse().pack()


class Server:
    """Shares, users, connections, sessions and opens of one server. Runs in one event loop; not thread-safe.

    `transport` is what moves bytes (the data plane's driver, or the memory transport in tests).
    `frevo.server.service.Service` handles what it receives.
    """

    def __init__(
        self,
        config: Config,
        transport: Transport,
        authenticator: Authenticator,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.config = config
        self.transport = transport
        self.authenticator = authenticator
        self.loop = loop
        self.guid = secrets.token_bytes(16)
        #: The Unix users that sessions act as; None if all of them act as the server's own user.
        self.unix_users: UnixUsers | None = unix_users_of(config)
        self.guard = guard_of(config)
        self.shares: dict[str, Share] = build_shares(config, self.guard, acted=self.unix_users is not None)
        #: The shares created from [homes], by user name (frevo.server.rules.homes).
        self.homes: OrderedDict[str, Share] = OrderedDict()
        self.lanes = Lanes(self)
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[int, Session] = {}
        self.opens: dict[int, Open] = {}
        self.files = FileTable()
        self.fastpath = FastPath(self)
        #: For the open of a folder: the last open that is known not to be below it, and the renames at that time.
        self.looked_below: dict[int, tuple[int, int] | None] = {}
        self._next_open_id = secrets.randbits(24) + 1
        self._next_async_id = 1
        self.turns = Turns(loop)
        self.slow_work = SlowWork(loop)
        self.lookups = Lookups(loop)
        self.budgets = Budgets(config)
        self.failed_logons = FailedLogons(self.monotonic)
        #: What clients can connect to, for those that ask.
        self.listening = Listening()

    @property
    def looks_up_users(self) -> bool:
        """Whether a log-on may look up Unix users or groups."""
        return self.unix_users is not None or bool(self.config.globals.username_map)

    # -- clock and IDs ------------------------------------------------------------------------------------

    def now(self) -> int:
        """Wall clock as FILETIME."""
        return from_unix_ns(time.time_ns())

    def monotonic(self) -> float:
        """Seconds on the clock that session expiry and timeouts use."""
        return self.loop.time()

    def new_open_id(self) -> int:
        """An unused volatile FileId."""
        self._next_open_id += 1
        return self._next_open_id

    def new_session_id(self) -> int:
        """An unused, unpredictable SessionId."""
        while True:
            number = secrets.randbits(63)
            if number and number not in self.sessions:
                return number

    # -- responses ---------------------------------------------------------------------------------------------

    def send_chain(self, connection: Connection, chain: Chain) -> None:
        """Sends the responses of a compound as one compound ([MS-SMB2] 3.3.4.1.3)."""
        responses = chain.responses
        if not responses:
            return
        message: bytes | tuple[bytes, bytes]
        header, body = responses[0]
        if len(responses) > 1:
            message = _join(responses)
        elif len(body) > _LARGE_BYTES and chain.before_sending is None:
            message = (header.pack(), body)  # put together by the data plane, in the buffer that is sent
        else:
            message = header.pack() + body
        session_id = chain.encrypted_session or responses[-1][0].session_id
        chain.responses = []
        if chain.before_sending is not None and isinstance(message, bytes):
            chain.before_sending(message)
            chain.before_sending = None
        if not connection.closed:  # as send_chain_raw
            self.transport.submit(connection.id, session_id, ENCRYPT if chain.encrypted_session else 0, message)
        if chain.after_sending is not None:
            chain.after_sending()
            chain.after_sending = None

    def send_chain_raw(self, connection: Connection, session_id: int, message: bytes, flags: int = 0) -> None:
        """Passes a complete message to the data plane, which grants credits, signs or encrypts it, and frames it."""
        if not connection.closed:
            self.transport.submit(connection.id, session_id, flags, message)

    def reads_nothing(self, user: str) -> bool:
        """Whether *user* has so many unread responses that it gets no large unsolicited ones. (Its new requests are
        stopped by the data plane.)"""
        return self.transport.pressed and self.transport.is_over(self.budgets.number_of(user))

    def send_interim(self, request: Request) -> None:
        """Sends STATUS_PENDING; the response follows later ([MS-SMB2] 3.3.4.2). Responses that are ready are sent
        first.

        It is not signed: the final response has the same message ID, and with AES-GMAC, two signatures with one ID
        reveal the key.
        """
        connection, chain = request.connection, request.chain
        self.send_chain(connection, chain)
        request.async_id = self._next_async_id
        self._next_async_id += 1
        connection.waiting_async[request.async_id] = request
        header = request.response_header(NTStatus.PENDING)
        header.flags = header.flags & ~_SIGNED | _ASYNC
        header.async_id = request.async_id
        flags = ENCRYPT if request.encrypted else 0
        self.send_chain_raw(
            connection, chain.encrypted_session or header.session_id, header.pack() + EMPTY_ERROR, flags
        )

    def send_async(self, request: Request, header: Header, body: bytes) -> None:
        """The final response of an async request: no credits, as the interim response granted them."""
        header.flags |= _ASYNC
        header.async_id = request.async_id
        header.credits = 0
        session_id = request.chain.encrypted_session or header.session_id
        self.send_chain_raw(
            request.connection, session_id, header.pack() + body, ENCRYPT if request.encrypted else 0
        )


def _join(responses: list[tuple[Header, bytes]]) -> bytes:
    """Several responses as one compound: each but the last is padded to 8 bytes and has NextCommand."""
    out = bytearray()
    last = len(responses) - 1
    for index, (header, body) in enumerate(responses):
        size = 64 + len(body)
        padded = size if index == last else (size + 7) & ~7
        header.next_command = 0 if index == last else padded
        out += header.pack()
        out += body
        out += bytes(padded - size)
    return bytes(out)
