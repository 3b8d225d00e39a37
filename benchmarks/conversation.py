"""OPEN + CLOSE and SESSION_SETUP + LOGOFF: conversations where each request depends on the response before it.

A conversation is a generator: it yields a request and is sent the response. `drive` runs several of them on several
connections at once.
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

#: (command, session ID, tree ID, body, keys to sign with if they are not those of the client)
Sent = tuple[int, int, int, bytes, SessionKeys | None]
#: (status, session ID, message of the response, message of the request)
Received = tuple[int, int, memoryview, bytes]
Conversation = Generator[Sent, Received, None]

_FIXED = struct.Struct("<4sHHIHHIIQIIQ16s")
_RECEIVE_BYTES = 65536
_READ_ATTRIBUTES, _SHARE_ALL, _OPEN = 0x80, 7, 1
_FILE_ID_OFFSET = 64 + 64


def open_close(client: Client, name: str) -> Conversation:
    """Opens *name* for its attributes and closes it, as smb2.bench.path-contention-shared does."""
    request = CreateRequest(
        desired_access=_READ_ATTRIBUTES, share_access=_SHARE_ALL, create_disposition=_OPEN, name=name
    ).pack()
    session, tree = client.session_id, client.tree_id
    while True:
        status, _, response, _ = yield Command.CREATE, session, tree, request, None
        _expect(Command.CREATE, status)
        file_id = struct.unpack_from("<QQ", response, _FILE_ID_OFFSET)
        status, _, _, _ = yield Command.CLOSE, session, tree, CloseRequest(0, file_id).pack(), None
        _expect(Command.CLOSE, status)


def log_on_off(client: Client, credentials: NTLMCredentials) -> Conversation:
    """Sets up a session with NTLMv2 and logs it off; LOGOFF is signed unless the load is plain."""
    first = setup_body(NTLMInitiator(credentials).step(None))
    while True:
        attempt = NTLMInitiator(credentials)
        status, session, response, request = yield Command.SESSION_SETUP, 0, 0, first, None
        if status != NTStatus.MORE_PROCESSING_REQUIRED:
            raise LoadError(f"SESSION_SETUP: {NTStatus(status).name}")
        exchanged = [request, bytes(response)]
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
    """The conversations of one connection, distinguished by message ID."""

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
        """Processes received data; the number of responses in it."""
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
            count += self._response(data[position + 4 : end])
            position = end
        self._buffer = bytearray(data[position:])
        return count

    def _response(self, message: bytes) -> int:
        if message[:4] == b"\xfdSMB" and self.client.keys is not None:
            message = self.client.keys.decrypt(message)
        fields = _FIXED.unpack_from(message)
        if fields[3] == NTStatus.PENDING:
            return 0
        conversation, request = self._waiting.pop(fields[8])
        self._send(conversation, conversation.send((fields[3], fields[11], memoryview(message), request)))
        return 1


def drive(talks: Sequence[Callable[[], Talk]], seconds: float) -> tuple[int, float]:
    """Starts the talks and runs them for *seconds*; (responses, seconds)."""
    responses, started = 0, time.monotonic()
    poll = select.epoll()
    by_fd = {}
    for begin in talks:
        talk = begin()
        by_fd[talk.client.socket.fileno()] = talk
        poll.register(talk.client.socket, select.EPOLLIN)
    now, end = started, started + seconds
    while now < end:
        for fd, _ in poll.poll(end - now):
            responses += by_fd[fd].readable()
        now = time.monotonic()
    return responses, now - started
