"""One blocking SMB 3.1.1 connection of the load generator: negotiate, log on, connect a tree, open files."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Sequence

from frevo._native import SessionKeys
from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.proto.dialect import SMB_3_1_1, Cipher
from frevo.proto.keys import derive_session_keys
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    CreateRequest,
    CreateResponse,
    Header,
    NegotiateRequest,
    NegotiateResponse,
    SessionSetupRequest,
    SessionSetupResponse,
    TreeConnectRequest,
)
from frevo.wire.smb2.negotiate_contexts import (
    EncryptionCapabilities,
    PreauthIntegrityCapabilities,
    SigningCapabilities,
    typed_context,
)

HEADER_SIZE = 64
_CREDITS_REQUESTED = 512
_LARGE_MTU = 4
_ENCRYPTION = 0x40


class LoadError(Exception):
    """The server did not respond as the workload requires."""


def frame(message: bytes) -> bytes:
    """The message after its length field ([MS-SMB2] 2.1)."""
    return len(message).to_bytes(4, "big") + message


class Client:
    """A connection with at most one session and one tree. `protection` is plain, signed or encrypted."""

    def __init__(self, host: str, port: int, protection: str = "signed", *, timeout_s: float = 30) -> None:
        self.protection = protection
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host
        self.next_message_id = 0
        self.session_id = 0
        self.tree_id = 0
        self.keys: SessionKeys | None = None
        self.negotiated_hash = bytes(64)
        self.signing_algorithm = 1
        self.cipher = Cipher.NONE

    def close(self) -> None:
        self.socket.close()

    # -- messages ------------------------------------------------------------------------------------------

    def header(self, command: int, credit_charge: int = 1, message_id: int = 0) -> Header:
        return Header(
            credit_charge=credit_charge,
            command=command,
            credits=max(credit_charge, 1),
            message_id=message_id,
            process_id=0xFEFF,
            tree_id=self.tree_id,
            session_id=self.session_id,
        )

    def protect(self, message: bytes) -> bytes:
        """The message protected as `protection` says."""
        if self.keys is None or self.protection == "plain":
            return message
        return (
            self.keys.sign(message)
            if self.protection == "signed"
            else self.keys.encrypt(self.session_id, message)
        )

    def call(self, command: int, body: bytes, *, sign: bool = False) -> tuple[Header, bytes, bytes]:
        """Sends a request: header and message of its final response, and the message of the request."""
        header = self.header(command, 1, self.next_message_id)
        header.credits = _CREDITS_REQUESTED
        self.next_message_id += 1
        request = header.pack() + body
        wire = self.keys.sign(request) if sign and self.keys is not None else self.protect(request)
        self.socket.sendall(frame(wire))
        response = self.receive_final()
        return Header.parse(response), response, request

    def receive_final(self) -> bytes:
        """The next message that is not an interim response, decrypted."""
        while True:
            response = self.receive()
            if Header.parse(response).status != NTStatus.PENDING:
                return response

    def receive(self) -> bytes:
        """The next message, decrypted."""
        length = int.from_bytes(self._exactly(4), "big")
        message = self._exactly(length)
        if message[:4] == b"\xfdSMB":
            if self.keys is None:
                raise LoadError("an encrypted response without a session")
            return self.keys.decrypt(message)
        return message

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self.socket.recv_into(view)
            if not count:
                raise LoadError("the server closed the connection")
            view = view[count:]
        return bytes(data)

    def must(self, command: int, body: bytes, *, sign: bool = False) -> bytes:
        """`call` for a request that must succeed; the message of the response."""
        header, response, _ = self.call(command, body, sign=sign)
        if header.status:
            raise LoadError(f"{Command(command).name}: {NTStatus(header.status).name}")
        return response

    # -- session -------------------------------------------------------------------------------------------

    def negotiate(self) -> None:
        """3.1.1 with AES-128-GCM, and AES-GMAC before AES-CMAC for signatures."""
        contexts = [
            PreauthIntegrityCapabilities([1], os.urandom(32)).context(),
            EncryptionCapabilities([int(Cipher.AES_128_GCM)]).context(),
            SigningCapabilities([2, 1]).context(),
        ]
        capabilities = _LARGE_MTU | _ENCRYPTION
        body = NegotiateRequest([SMB_3_1_1.revision], 1, capabilities, os.urandom(16), 0, contexts).pack()
        header, response, request = self.call(Command.NEGOTIATE, body)
        if header.status:
            raise LoadError(f"NEGOTIATE: {NTStatus(header.status).name}")
        self.negotiated_hash = hashlib.sha512(bytes(64) + request).digest()
        self.negotiated_hash = hashlib.sha512(self.negotiated_hash + response).digest()
        for context in NegotiateResponse.parse(response).contexts:
            chosen = typed_context(context)
            if isinstance(chosen, SigningCapabilities):
                self.signing_algorithm = chosen.signing_algorithms[0]
            elif isinstance(chosen, EncryptionCapabilities):
                self.cipher = Cipher(chosen.ciphers[0])

    def log_on(self, credentials: NTLMCredentials) -> None:
        """Both legs of an NTLMv2 log-on, and the keys of the session."""
        self.session_id = 0
        self.keys = None
        attempt = NTLMInitiator(credentials)
        header, response, request = self.call(Command.SESSION_SETUP, setup_body(attempt.step(None)))
        if header.status != NTStatus.MORE_PROCESSING_REQUIRED:
            raise LoadError(f"SESSION_SETUP: {NTStatus(header.status).name}")
        self.session_id = header.session_id
        exchanged = [request, response]
        token = attempt.step(SessionSetupResponse.parse(response).security_buffer)
        header, _, request = self.call(Command.SESSION_SETUP, setup_body(token))
        if header.status:
            raise LoadError(f"SESSION_SETUP: {NTStatus(header.status).name}")
        self.keys = self.keys_of(attempt.session_key, [*exchanged, request])

    def keys_of(self, session_key: bytes, exchanged: Sequence[bytes]) -> SessionKeys:
        """The keys of a session set up with these messages."""
        preauth = self.negotiated_hash
        for message in exchanged:
            preauth = hashlib.sha512(preauth + message).digest()
        derived = derive_session_keys(SMB_3_1_1, self.cipher, session_key, preauth)
        return SessionKeys(
            signing_algorithm=self.signing_algorithm,
            signing_key=derived.signing,
            cipher=int(self.cipher),
            encryption_key=derived.client_to_server if self.cipher else b"",
            decryption_key=derived.server_to_client if self.cipher else b"",
            signing_required=False,
            encryption_required=False,
        )

    def connect_tree(self, share: str) -> None:
        """Connects to a share. The request is signed, as 3.1.1 servers may require it ([MS-SMB2] 3.2.4.1.1)."""
        body = TreeConnectRequest(rf"\\{self.host}\{share}").pack()
        response = self.must(Command.TREE_CONNECT, body, sign=self.protection != "encrypted")
        self.tree_id = Header.parse(response).tree_id

    def create(
        self, name: str, *, access: int, disposition: int, options: int, share: int = 0
    ) -> tuple[int, int]:
        """Opens a file; its FileId."""
        request = CreateRequest(
            desired_access=access,
            share_access=share,
            create_disposition=disposition,
            create_options=options,
            name=name,
        )
        return CreateResponse.parse(self.must(Command.CREATE, request.pack())).file_id

    def set_end_of_file(self, file_id: tuple[int, int], size: int) -> None:
        """SET_INFO FileEndOfFileInformation."""
        body = struct.pack("<HBBIHHIQQ", 33, 1, 20, 8, HEADER_SIZE + 32, 0, 0, *file_id) + struct.pack(
            "<Q", size
        )
        self.must(Command.SET_INFO, body)


def setup_body(token: bytes) -> bytes:
    return SessionSetupRequest(security_mode=1, security_buffer=token).pack()
