"""A client that sends what it is told, right or wrong, and checks the protection of every response."""

from __future__ import annotations

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import spnego
from peers.target import DOMAIN, PASSWORD, USER

from frevo._native import SessionKeys
from frevo.proto import preauth
from frevo.proto.dialect import BY_REVISION, Cipher, Signing
from frevo.proto.keys import derive_session_keys
from frevo.transport.memory import MemoryLink
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CloseRequest,
    Command,
    CreateRequest,
    CreateResponse,
    EchoRequest,
    EncryptionCapabilities,
    Header,
    HeaderFlags,
    NegotiateContext,
    NegotiateContextType,
    NegotiateRequest,
    NegotiateResponse,
    PreauthIntegrityCapabilities,
    ReadRequest,
    ReadResponse,
    SessionSetupRequest,
    SessionSetupResponse,
    SigningCapabilities,
    TreeConnectRequest,
    WriteRequest,
    split_compound,
)

if TYPE_CHECKING:
    from pair.machine import Pair

T = TypeVar("T")
FileId = tuple[int, int]

SIGNED = int(HeaderFlags.SIGNED)
RELATED = int(HeaderFlags.RELATED_OPERATIONS)
ASYNC = int(HeaderFlags.ASYNC_COMMAND)
FINAL_WAIT_S = 10.0
CONTEXTS = (
    PreauthIntegrityCapabilities([1], b"salt" * 8).context(),
    EncryptionCapabilities([2, 1, 4, 3]).context(),
    SigningCapabilities([2, 1, 0]).context(),
)


@dataclass(slots=True)
class Reply:
    """One response: its header, and the message with the header at 0."""

    header: Header
    message: bytes
    encrypted: bool

    @property
    def status(self) -> NTStatus:
        return NTStatus(self.header.status)

    @property
    def signed(self) -> bool:
        return bool(self.header.flags & SIGNED)

    @property
    def body(self) -> bytes:
        return self.message[64:]

    def ok(self, kind: type[T]) -> T:
        """The parsed response; fails when it is an error."""
        assert self.status == NTStatus.SUCCESS, self.status.name
        parsed: T = kind.parse(self.message)  # type: ignore[attr-defined]
        return parsed


@dataclass(slots=True)
class Session:
    """A session from the client's side. `sign` and `encrypt` say how its requests are sent."""

    id: int
    keys: SessionKeys | None = None
    flags: int = 0
    sign: bool = True
    encrypt: bool = False
    preauth_hash: bytes = bytes(64)
    session_key: bytes = b""


@dataclass(slots=True)
class Element:
    """One request of a compound."""

    command: int
    body: bytes
    flags: int = 0
    session: Session | None = None
    tree: int | None = None
    charge: int = 1
    fields: dict[str, Any] = field(default_factory=dict)  # of the header, as they are to be


class Disconnected(Exception):
    """The server has ended the connection."""


class Client:
    """One connection. Requests use `session` and `tree` unless told otherwise."""

    def __init__(self, pair: Pair, link: MemoryLink) -> None:
        self.pair = pair
        self.link = link
        self.next_id = 0
        self.granted = 1
        self.sessions: dict[int, Session] = {}
        self.session: Session | None = None
        self.tree = 0
        self.dialect = BY_REVISION[0x0202]
        self.cipher, self.signing = Cipher.NONE, Signing.HMAC_SHA256
        self.preauth_hash = preauth.INITIAL
        self.replies: list[Reply] = []
        self.seen_async: dict[int, Reply] = {}
        self._input = b""

    # -- bytes

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection and everything it sent was received."""
        self.pump()
        return self.link.closed

    def raw(self, message: bytes) -> None:
        """Sends *message* in a frame, valid or not."""
        self.wire(struct.pack(">I", len(message)) + message)

    def wire(self, data: bytes) -> None:
        """Sends bytes without a frame."""
        if self.link.closed:
            raise Disconnected
        self.pair.inside(self.link.send, data)
        self.pair.turn()

    def pump(self) -> None:
        """Receives what the server has sent."""
        self._input += self.pair.inside(self.link.receive)
        while len(self._input) >= 4:
            length = int.from_bytes(self._input[1:4], "big")
            if len(self._input) < 4 + length:
                return
            message, self._input = self._input[4 : 4 + length], self._input[4 + length :]
            self._take(message)

    def _take(self, message: bytes) -> None:
        self.pair.nonces.saw(message, server=True)
        encrypted = message[:4] == b"\xfdSMB"
        if encrypted:
            number = int.from_bytes(message[44:52], "little")
            keys = self.sessions[number].keys
            assert keys is not None
            message = keys.decrypt(message)
        for view in split_compound(message):
            element = bytes(view)
            header = Header.parse(element)
            assert header.flags & HeaderFlags.SERVER_TO_REDIR
            session = self.sessions.get(header.session_id)
            first = (
                header.command == Command.SESSION_SETUP and session is None
            )  # checked once the keys are known
            if header.flags & SIGNED and not encrypted and not first:
                assert session is not None and session.keys is not None, "signed by whom?"
                assert session.keys.verify(element), "wrong signature of the server"
            self.granted += header.credits
            self.replies.append(Reply(header, element, encrypted))

    # -- requests

    def element(self, one: Element, message_id: int) -> bytes:
        """Header and body; not signed."""
        session = one.session if one.session is not None else self.session
        header = Header(
            credit_charge=one.charge,
            command=one.command,
            credits=64,
            flags=one.flags,
            message_id=message_id,
            tree_id=self.tree if one.tree is None else one.tree,
            session_id=session.id if session is not None else 0,
        )
        for name, value in one.fields.items():
            setattr(header, name, value)
        return header.pack() + one.body

    def compound(
        self, *elements: Element, encrypt: bool | None = None, sign: bool | None = None
    ) -> list[int]:
        """Sends elements as one message; their message ids."""
        ids, parts = [], []
        for index, one in enumerate(elements):
            message_id = one.fields.pop("message_id", None)
            if message_id is None:
                message_id = self.next_id
                self.next_id += max(one.charge, 1)
            ids.append(message_id)
            part = bytearray(self.element(one, message_id))
            if index + 1 < len(elements):
                part += bytes(-len(part) % 8)
                part[20:24] = len(part).to_bytes(4, "little")
            parts.append(bytes(part))
        first = elements[0].session if elements[0].session is not None else self.session
        keys = first.keys if first is not None else None
        if keys is not None and first is not None:
            if first.encrypt if encrypt is None else encrypt:
                self.raw(keys.encrypt(first.id, b"".join(parts)))
                return ids
            if first.sign if sign is None else sign:
                parts = [self._signed(one, part) for one, part in zip(elements, parts, strict=True)]
        self.raw(b"".join(parts))
        return ids

    def _signed(self, one: Element, part: bytes) -> bytes:
        session = one.session if one.session is not None else self.session
        return session.keys.sign(part) if session is not None and session.keys is not None else part

    def send(
        self,
        command: int,
        body: bytes,
        *,
        flags: int = 0,
        session: Session | None = None,
        tree: int | None = None,
        charge: int = 1,
        encrypt: bool | None = None,
        sign: bool | None = None,
        **fields: Any,
    ) -> int:
        """Sends one request; its message id. *fields* override the header's."""
        element = Element(command, body, flags, session, tree, charge, fields)
        return self.compound(element, encrypt=encrypt, sign=sign)[0]

    def answers(self, message_id: int) -> list[Reply]:
        """The responses to a request so far."""
        self.pump()
        return [reply for reply in self.replies if reply.header.message_id == message_id]

    def wait(self, message_id: int) -> Reply:
        """The final response; fails when none comes, Disconnected when none can come."""
        deadline = time.monotonic() + FINAL_WAIT_S
        while True:
            for reply in self.answers(message_id):
                if reply.status != NTStatus.PENDING:
                    self.replies.remove(reply)
                    return reply
            if self.link.closed:
                raise Disconnected
            assert time.monotonic() < deadline, f"no answer to message {message_id}"
            self.pair.turn(0.001)

    def call(self, command: int, body: bytes, **options: Any) -> Reply:
        """Sends one request and returns its final response."""
        return self.wait(self.send(command, body, **options))

    # -- the steps of a conversation

    def negotiate(
        self,
        dialects: tuple[int, ...] = (0x0311,),
        contexts: tuple[NegotiateContext, ...] = CONTEXTS,
        **fields: Any,
    ) -> NegotiateResponse:
        """NEGOTIATE that must succeed; its result is kept."""
        request = negotiate_request(dialects, contexts, **fields)
        reply = self.call(Command.NEGOTIATE, request.pack(), credits=1)
        answer = reply.ok(NegotiateResponse)
        asked = self.element(
            Element(Command.NEGOTIATE, request.pack(), fields={"credits": 1}), reply.header.message_id
        )
        self.preauth_hash = preauth.update(preauth.update(preauth.INITIAL, asked), reply.message)
        self.dialect = BY_REVISION[answer.dialect_revision]
        self.signing = self.dialect.signing
        found = {context.context_type: context.data for context in answer.contexts}
        if self.dialect.contexts:
            data = found.get(NegotiateContextType.ENCRYPTION_CAPABILITIES)
            self.cipher = Cipher(EncryptionCapabilities.parse(data).ciphers[0]) if data else Cipher.NONE
            data = found.get(NegotiateContextType.SIGNING_CAPABILITIES)
            if data:
                self.signing = Signing(SigningCapabilities.parse(data).signing_algorithms[0])
        elif answer.capabilities & 0x40:
            self.cipher = Cipher.AES_128_CCM
        return answer

    def log_on(
        self, user: str = USER, password: str = PASSWORD, session: Session | None = None, **fields: Any
    ) -> Session:
        """All rounds of SESSION_SETUP; fails when it is refused. With *session* a re-authentication."""
        made, reply = self.try_log_on(user, password, session, **fields)
        assert reply.status == NTStatus.SUCCESS, reply.status.name
        if self.session is None:
            self.session = made
        return made

    def try_log_on(
        self,
        user: str = USER,
        password: str = PASSWORD,
        session: Session | None = None,
        protocol: str = "ntlm",
        **fields: Any,
    ) -> tuple[Session, Reply]:
        """SESSION_SETUP as far as it goes; the session and the last response."""
        again = session is not None
        session = session or Session(0, preauth_hash=self.preauth_hash)
        context = spnego.client(f"{DOMAIN}\\{user}", password, protocol=protocol)
        token = context.step()
        while True:
            body = SessionSetupRequest(security_mode=1, security_buffer=token or b"", **fields).pack()
            message = self.element(
                Element(Command.SESSION_SETUP, body, session=session, tree=0, fields={"credits": 33}),
                self.next_id,
            )
            reply = self.call(Command.SESSION_SETUP, body, session=session, tree=0, credits=33)
            session.id = reply.header.session_id
            session.preauth_hash = preauth.update(session.preauth_hash, message)
            if reply.status != NTStatus.MORE_PROCESSING_REQUIRED:
                if reply.status == NTStatus.SUCCESS and not again:
                    self._finish(session, context.session_key, reply)
                return session, reply
            session.preauth_hash = preauth.update(session.preauth_hash, reply.message)
            token = context.step(SessionSetupResponse.parse(reply.message).security_buffer)

    def log_on_as_nobody(self) -> Reply:
        """An anonymous session, which becomes the client's; the last response to its SESSION_SETUP."""
        negotiate = b"NTLMSSP\0\1\0\0\0" + (0xE2088297).to_bytes(4, "little") + bytes(24)
        first = self.call(Command.SESSION_SETUP, SessionSetupRequest(security_buffer=negotiate).pack())
        session = Session(first.header.session_id)
        empty = SessionSetupRequest(security_buffer=b"NTLMSSP\0\3\0\0\0" + bytes(80)).pack()
        reply = self.call(Command.SESSION_SETUP, empty, session=session)
        assert reply.status == NTStatus.SUCCESS, reply.status.name
        self.session = session
        return reply

    def _finish(self, session: Session, session_key: bytes, reply: Reply) -> None:
        session.flags = SessionSetupResponse.parse(reply.message).session_flags
        self.sessions[session.id] = session
        if session.flags & 3:  # guest or anonymous: no keys
            return
        session.session_key = session_key
        keys = derive_session_keys(self.dialect, self.cipher, session_key, session.preauth_hash)
        session.keys = SessionKeys(
            signing_algorithm=int(self.signing),
            signing_key=keys.signing,
            cipher=int(self.cipher),
            encryption_key=keys.client_to_server,
            decryption_key=keys.server_to_client,
            signing_required=False,
            encryption_required=False,
        )
        session.encrypt = bool(session.flags & 4)
        if reply.signed:
            assert session.keys.verify(reply.message), "the last response of the log-on has a wrong signature"

    def connect_tree(self, share: str = "share", **options: Any) -> int:
        """TREE_CONNECT that must succeed; becomes the client's tree."""
        reply = self.try_tree(share, **options)
        assert reply.status == NTStatus.SUCCESS, reply.status.name
        self.tree = reply.header.tree_id
        return self.tree

    def try_tree(self, share: str, **options: Any) -> Reply:
        """TREE_CONNECT."""
        body = TreeConnectRequest(f"\\\\server\\{share}").pack()
        return self.call(Command.TREE_CONNECT, body, tree=0, **options)

    def create(self, name: str, **fields: Any) -> Reply:
        """CREATE; by default all access is requested and shared, and the file is made if it does not exist."""
        return self.call(Command.CREATE, create_request(name, **fields).pack())

    def open(self, name: str, **fields: Any) -> FileId:
        """CREATE that must succeed."""
        return self.create(name, **fields).ok(CreateResponse).file_id

    def close(self, file_id: FileId, **options: Any) -> Reply:
        return self.call(Command.CLOSE, CloseRequest(0, file_id).pack(), **options)

    def read(self, file_id: FileId, offset: int, length: int, **options: Any) -> bytes:
        """READ that must succeed."""
        options.setdefault("charge", max(1, -(-length // 65536)))
        reply = self.call(Command.READ, ReadRequest(file_id, offset, length).pack(), **options)
        return bytes(reply.ok(ReadResponse).data)

    def write(self, file_id: FileId, offset: int, data: bytes, **options: Any) -> Reply:
        options.setdefault("charge", max(1, -(-len(data) // 65536)))
        return self.call(Command.WRITE, WriteRequest(file_id, offset, data).pack(), **options)

    def echo(self, **options: Any) -> Reply:
        return self.call(Command.ECHO, EchoRequest().pack(), **options)

    def disconnect(self) -> None:
        """The client disappears without closing anything."""
        self.pair.inside(self.pair.server.on_events, [(2, self.link.number, "gone")])
        self.pair.loop.run_until_complete(asyncio.sleep(0))


def negotiate_request(
    dialects: tuple[int, ...], contexts: tuple[NegotiateContext, ...] = CONTEXTS, **fields: Any
) -> NegotiateRequest:
    """A NEGOTIATE request like a Windows client's."""
    values = {"security_mode": 1, "capabilities": 0x7F, "client_guid": b"pair test client", **fields}
    return NegotiateRequest(list(dialects), contexts=list(contexts) if 0x0311 in dialects else [], **values)


def create_request(name: str, **fields: Any) -> CreateRequest:
    """A CREATE request: all access, all shared, open or make."""
    values = {"desired_access": 0x001F01FF, "share_access": 7, "create_disposition": 3, **fields}
    return CreateRequest(name=name, **values)
