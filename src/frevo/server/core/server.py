"""What one SMB server holds ([MS-SMB2] 3.3.1.5), its clock and its numbers, and how answers leave it."""

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
from frevo.server.core.lanes import Lanes
from frevo.server.core.lookups import Lookups
from frevo.server.core.shares import Share, build_shares, guard_of
from frevo.server.core.slow_work import SlowWork
from frevo.server.core.turns import Turns
from frevo.server.core.unix_users import UnixUsers, unix_users_of
from frevo.transport.base import ENCRYPT, Gate
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ErrorResponse, Header, HeaderFlags

if TYPE_CHECKING:
    from frevo.auth.authenticator import Authenticator
    from frevo.server.core.request import Chain, Request
    from frevo.server.core.state import Connection, Open, Session
    from frevo.transport.base import Transport

_ASYNC = int(HeaderFlags.ASYNC_COMMAND)
_SIGNED = int(HeaderFlags.SIGNED)
EMPTY_ERROR = ErrorResponse().pack()


class Server:
    """Shares, users, connections, sessions and opens of one server. Runs in one event loop; not thread-safe.

    `transport` is what moves bytes (the data plane's driver, or the memory transport in tests). What a server does with
    what it receives is `frevo.server.service.Service`.
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
        #: The Unix users that sessions act as; None when everybody acts as the server's own user.
        self.unix_users: UnixUsers | None = unix_users_of(config)
        self.guard = guard_of(config)
        self.shares: dict[str, Share] = build_shares(config, self.guard, acted=self.unix_users is not None)
        #: The shares that were made of [homes], by the user's name (frevo.server.rules.homes).
        self.homes: OrderedDict[str, Share] = OrderedDict()
        self.lanes = Lanes(loop)
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[int, Session] = {}
        self.opens: dict[int, Open] = {}
        self.files = FileTable(Gate)
        #: By the number of a folder's open: up to which open nothing below it was found, after how many renames.
        self.looked_below: dict[int, tuple[int, int] | None] = {}
        self._next_open_id = secrets.randbits(24) + 1
        self._next_async_id = 1
        self.turns = Turns(loop)
        self.slow_work = SlowWork(loop)
        self.lookups = Lookups(loop)
        self.budgets = Budgets(config)
        self.failed_logons = FailedLogons(self.monotonic)

    @property
    def looks_up_users(self) -> bool:
        """Whether a log-on may look up Unix users or groups."""
        return self.unix_users is not None or bool(self.config.globals.username_map)

    # -- clock and numbers ------------------------------------------------------------------------------------

    def now(self) -> int:
        """Wall clock as FILETIME."""
        return from_unix_ns(time.time_ns())

    def monotonic(self) -> float:
        """Seconds on the clock that session expiry and timeouts use."""
        return self.loop.time()

    def new_open_id(self) -> int:
        """A volatile file id that no open has."""
        self._next_open_id += 1
        return self._next_open_id

    def new_session_id(self) -> int:
        """An unpredictable session id that no session has."""
        while True:
            number = secrets.randbits(63)
            if number and number not in self.sessions:
                return number

    # -- answers ---------------------------------------------------------------------------------------------

    def send_chain(self, connection: Connection, chain: Chain) -> None:
        """Sends the answers of a compound, as one compound ([MS-SMB2] 3.3.4.1.3)."""
        responses = chain.responses
        if not responses:
            return
        if len(responses) == 1:
            header, body = responses[0]
            message = header.pack() + body
        else:
            message = _join(responses)
        session_id = chain.encrypted_session or responses[-1][0].session_id
        chain.responses = []
        if chain.before_sending is not None:
            chain.before_sending(message)
            chain.before_sending = None
        if not connection.closed:  # as send_chain_raw
            self.transport.submit(connection.id, session_id, ENCRYPT if chain.encrypted_session else 0, message)
        if chain.after_sending is not None:
            chain.after_sending()
            chain.after_sending = None

    def send_chain_raw(self, connection: Connection, session_id: int, message: bytes, flags: int = 0) -> None:
        """Hands a complete message to the data plane, which grants credits, signs or encrypts it and frames it."""
        if not connection.closed:
            self.transport.submit(connection.id, session_id, flags, message)

    def reads_nothing(self, user: str) -> bool:
        """Whether *user* has not read so many answers that it is to get no large ones that it did not just ask for;
        what it asks for is not let in by the data plane."""
        return self.transport.pressed and self.transport.is_over(self.budgets.number_of(user))

    def send_interim(self, request: Request) -> None:
        """Sends STATUS_PENDING; the answer follows later ([MS-SMB2] 3.3.4.2). Answers that are ready go out first.

        It is not signed: the final answer has the same message id, and with AES-GMAC two signatures with one id reveal
        the key.
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
        """The final answer of a request that went async: no credits, they came with the interim response."""
        header.flags |= _ASYNC
        header.async_id = request.async_id
        header.credits = 0
        session_id = request.chain.encrypted_session or header.session_id
        self.send_chain_raw(
            request.connection, session_id, header.pack() + body, ENCRYPT if request.encrypted else 0
        )


def _join(responses: list[tuple[Header, bytes]]) -> bytes:
    """Several answers as one compound: each but the last padded to 8 bytes, NextCommand set."""
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
