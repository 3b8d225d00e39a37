"""OPEN + CLOSE and SESSION_SETUP + LOGOFF: conversations where each request depends on the answer before it.

A conversation is a generator: it yields (command, header changes, body) and is sent the answer. `drive` runs several
on several connections at once.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Generator, Sequence

from benchmarks.client import Client, LoadError, setup_body
from frevo._native import SessionKeys
from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CloseRequest, Command, CreateRequest, LogoffRequest, SessionSetupResponse

#: (command, session id, tree id, body, keys to sign with that the client's connection does not have)
Sent = tuple[int, int, int, bytes, SessionKeys | None]
#: (status, session id, the answer's message, the request's message)
Answered = tuple[int, int, memoryview, bytes]
Conversation = Generator[Sent, Answered, None]

_FIXED = struct.Struct("<4sHHIHHIIQIIQ16s")
_RECEIVE_BYTES = 65536
_READ_ATTRIBUTES, _SHARE_ALL, _OPEN = 0x80, 7, 1
_FILE_ID_OFFSET = 64 + 64


def open_close(client: Client, name: str) -> Conversation:
    """Opens *name* for its attributes and closes it, as smb2.bench.path-contention-shared does."""
    asked = CreateRequest(
        desired_access=_READ_ATTRIBUTES, share_access=_SHARE_ALL, create_disposition=_OPEN, name=name
    ).pack()
    session, tree = client.session_id, client.tree_id
    while True:
        status, _, answer, _ = yield Command.CREATE, session, tree, asked, None
        _expect(Command.CREATE, status)
        file_id = struct.unpack_from("<QQ", answer, _FILE_ID_OFFSET)
        status, _, _, _ = yield Command.CLOSE, session, tree, CloseRequest(0, file_id).pack(), None
        _expect(Command.CLOSE, status)


def log_on_off(client: Client, credentials: NTLMCredentials) -> Conversation:
    """A session that is set up with NTLMv2 and logged off, the latter signed unless the load is plain."""
    first = setup_body(NTLMInitiator(credentials).step(None))
    while True:
        attempt = NTLMInitiator(credentials)
        status, session, answer, request = yield Command.SESSION_SETUP, 0, 0, first, None
        if status != NTStatus.MORE_PROCESSING_REQUIRED:
            raise LoadError(f"SESSION_SETUP: {NTStatus(status).name}")
        exchanged = [request, bytes(answer)]
        token = attempt.step(SessionSetupResponse.parse(exchanged[1]).security_buffer)
        status, _, _, request = yield Command.SESSION_SETUP, session, 0, setup_body(token), None
        _expect(Command.SESSION_SETUP, status)
        keys = None
        if client.protection != "plain":
            keys = client.keys_of(attempt.session_key, [*exchanged, request])
        status, _, _, _ = yield Command.LOGOFF, session, 0, LogoffRequest().pack(), keys
        _expect(Command.LOGOFF, status)


def _expect(command: int, status: int) -> None:
    if status:
        raise LoadError(f"{Command(command).name}: {NTStatus(status).name}")


class Talk:
    """The conversations of one connection, told apart by message id."""

    def __init__(self, client: Client, conversations: Sequence[Conversation]) -> None:
        self.client = client
        self._waiting: dict[int, tuple[Conversation, bytes]] = {}
        self._buffer = bytearray()
        for conversation in conversations:
            self._send(conversation, next(conversation))

    def _send(self, conversation: Conversation, sent: Sent) -> None:
        command, session, tree, body, keys = sent
        number = self.client.next_message_id
        self.client.next_message_id += 1
        header = _FIXED.pack(
            b"\xfeSMB", 64, 1, 0, command, 1, 0, 0, number, 0xFEFF, tree, session, bytes(16)
        )  # fmt: skip
        message = header + body
        if keys is not None:
            message = keys.sign(message)
        elif session and session == self.client.session_id:
            message = self.client.protect(message)
        self.client.socket.sendall(len(message).to_bytes(4, "big") + message)
        self._waiting[number] = conversation, message

    def readable(self) -> int:
        """Takes what has come; how many answers that were."""
        data = self.client.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise LoadError("the server closed the connection")
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
        count, position = 0, 0
        while len(data) - position >= 4:
            end = position + 4 + int.from_bytes(data[position : position + 4], "big")
            if end > len(data):
                break
            count += self._answer(data[position + 4 : end])
            position = end
        self._buffer = bytearray(data[position:])
        return count

    def _answer(self, message: bytes) -> int:
        if message[:4] == b"\xfdSMB" and self.client.keys is not None:
            message = self.client.keys.decrypt(message)
        fields = _FIXED.unpack_from(message)
        if fields[3] == NTStatus.PENDING:
            return 0
        conversation, request = self._waiting.pop(fields[8])
        self._send(conversation, conversation.send((fields[3], fields[11], memoryview(message), request)))
        return 1


def drive(talks: Sequence[Callable[[], Talk]], seconds: float) -> tuple[int, float]:
    """Starts the talks and goes on for *seconds*; how many answers came, in how many seconds."""
    answers, started = 0, time.monotonic()
    poll = select.epoll()
    by_fd = {}
    for begin in talks:
        talk = begin()
        by_fd[talk.client.socket.fileno()] = talk
        poll.register(talk.client.socket, select.EPOLLIN)
    now, end = started, started + seconds
    while now < end:
        for fd, _ in poll.poll(end - now):
            answers += by_fd[fd].readable()
        now = time.monotonic()
    return answers, now - started
