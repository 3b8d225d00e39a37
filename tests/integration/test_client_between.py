"""A man in the middle who may change everything but knows no password: what the protocol protects is refused.

One frevo server for all; each test has a relay of its own that lowers, strips, forges or repeats.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import pytest
from peers import transports
from peers.altering import Alter, AlteringRelay, Step, command_of, elements, frame, only_changed
from peers.target import Serve, Target

import frevo
from frevo.client import LogonError, RemoteError, Share
from frevo.proto import preauth
from frevo.proto.dialect import BY_NAME, Cipher, Signing
from frevo.proto.keys import derive_session_keys
from frevo.proto.protection import server_keys
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    ErrorResponse,
    NegotiateContextType,
    NegotiateRequest,
    NegotiateResponse,
    SessionFlags,
)

_SIGNED, _REQUIRED, _ENCRYPTION = 8, 2, 0x40
Change = Callable[[str, bytes], bytes]


@pytest.fixture(scope="module")
def target(serve: Serve) -> Target:
    """A server with a file of 3 MB that allows guests."""
    target = serve({"map to guest": "bad user"})
    (target.folder() / "between").write_bytes(b"honest data " * 250_000)
    return target


@contextmanager
def between(target: Target, change: Change) -> Iterator[str]:
    """The URL of the share behind a relay that changes messages."""
    with altering(target, only_changed(change)) as url:
        yield url


@contextmanager
def altering(target: Target, alter: Alter) -> Iterator[str]:
    """The same for any relay. Over QUIC it is behind a server with the right certificate."""
    with (
        AlteringRelay(target.host, target.port, alter) as relay,
        transports.reaching(relay.port) as place,
    ):
        yield f"{place}/share"


def connect(url: str, target: Target, **options: object) -> AbstractAsyncContextManager[Share]:
    known = {
        "user": target.user,
        "password": target.password,
        "reconnect": 0,
        "timeout": 2,
        "answer_timeout": 2,
    }
    return frevo.connect(url, None, **(known | options))


async def works(url: str, target: Target, **options: object) -> None:
    async with connect(url, target, **options) as share:
        await share.read_bytes("between")


async def refused(url: str, target: Target, text: str, **options: object) -> None:
    with pytest.raises(ConnectionError, match=text):
        await works(url, target, **options)


def negotiating(
    request: Callable[[NegotiateRequest], None], response: Callable[[NegotiateResponse], None]
) -> Change:
    """Changes NEGOTIATE, in both directions."""

    def change(way: str, message: bytes) -> bytes:
        if command_of(message) != Command.NEGOTIATE:
            return message
        if way == "up":
            made = NegotiateRequest.parse(message)
            request(made)
            return message[:64] + made.pack()
        answer = NegotiateResponse.parse(message)
        response(answer)
        return message[:64] + answer.pack()

    return change


def as_it_is(_: object) -> None:
    """Nothing is changed."""


@pytest.mark.parametrize("maximum", ["SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"])
async def test_a_relay_that_changes_nothing(target: Target, maximum: str) -> None:
    """The tests below fail because of the change, not because of the relay."""
    with between(target, negotiating(as_it_is, as_it_is)) as url:
        await works(url, target, maximum=maximum)
        if maximum >= "SMB3":
            await works(url, target, maximum=maximum, encryption=True)


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
@pytest.mark.parametrize("highest", [0x0202, 0x0210, 0x0300, 0x0302])
@pytest.mark.parametrize("maximum", ["SMB3_02", "SMB3_11"])
async def test_a_lower_dialect(target: Target, maximum: str, highest: int) -> None:
    """Newer dialects are removed from the offer: FSCTL_VALIDATE_NEGOTIATE_INFO detects it ([MS-SMB2] 3.2.5.5)."""

    def lower(request: NegotiateRequest) -> None:
        request.dialects = [one for one in request.dialects if one <= highest]
        request.contexts = []

    if maximum == "SMB3_02" and highest == 0x0302:
        return
    with between(target, negotiating(lower, as_it_is)) as url:
        await refused(url, target, "confirm the negotiation|confirmed negotiation", maximum=maximum)


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
@pytest.mark.parametrize("dialect", [0x02FF, 0x0311, 0x0000, 0x0399])
async def test_a_dialect_that_was_not_offered(target: Target, dialect: int) -> None:
    """The response names a dialect that was not offered."""

    def other(response: NegotiateResponse) -> None:
        response.dialect_revision = dialect
        response.contexts = []

    with between(target, negotiating(as_it_is, other)) as url:
        await refused(url, target, "not offered|malformed", maximum="SMB3_02")


@pytest.mark.parametrize(
    "options", [{}, {"encryption": True}, {"prefer_encryption": True}, {"signing": False}]
)
@pytest.mark.parametrize("maximum", ["SMB3_02", "SMB3_11"])
async def test_encryption_is_stripped(target: Target, maximum: str, options: dict[str, bool]) -> None:
    """The offer to encrypt is removed, in both directions: the client does not fall back to plain text."""

    def request(made: NegotiateRequest) -> None:
        made.capabilities &= ~_ENCRYPTION
        kept = NegotiateContextType.ENCRYPTION_CAPABILITIES
        made.contexts = [one for one in made.contexts if one.context_type != kept]

    def response(made: NegotiateResponse) -> None:
        made.capabilities &= ~_ENCRYPTION

    text = r"negotiation|signature of|without a cipher"
    with between(target, negotiating(request, response)) as url, pytest.raises(RemoteError, match=text):
        await works(url, target, maximum=maximum, **options)


@pytest.mark.parametrize("maximum", ["SMB2_02", "SMB2_10", "SMB3_02", "SMB3_11"])
async def test_signing_is_stripped(target: Target, maximum: str) -> None:
    """Both sides are told that the other does not require signatures. Before 3.0 no server confirms the negotiation,
    and the client signs as it wants to; from 3.0 on the change is detected."""

    def request(made: NegotiateRequest) -> None:
        made.security_mode = 1

    def response(made: NegotiateResponse) -> None:
        made.security_mode &= ~_REQUIRED

    with between(target, negotiating(request, response)) as url:
        if maximum < "SMB3":
            with pytest.raises(ConnectionError):
                await works(url, target, maximum=maximum)
        else:
            await refused(url, target, "negotiation|signature of", maximum=maximum)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("command", [Command.NEGOTIATE, Command.SESSION_SETUP])
async def test_the_preauth_hash(target: Target, command: int, way: str) -> None:
    """A byte of what is hashed is changed where nobody looks: the keys differ ([MS-SMB2] 3.2.5.3.1)."""

    def change(going: str, message: bytes) -> bytes:
        if going != way or command_of(message) != command:
            return message
        if command == Command.NEGOTIATE and way == "up":  # ClientGuid
            return message[:80] + bytes((message[80] ^ 1,)) + message[81:]
        if command == Command.NEGOTIATE:  # SystemTime
            return message[:104] + bytes((message[104] ^ 1,)) + message[105:]
        return message[:32] + b"\1" + message[33:]  # Reserved of the header

    with between(target, change) as url:
        await refused(url, target, "signature of|log-on|ended")


def down(change: Callable[[bytes], bytes], *commands: int) -> Change:
    """Changes the responses to *commands*, in compounds too."""

    def altered(way: str, message: bytes) -> bytes:
        if way == "up" or command_of(message) not in commands:
            return message
        return b"".join(change(part) if command_of(part) in commands else part for part in elements(message))

    return altered


def without_signature(message: bytes) -> bytes:
    flags = struct.unpack_from("<I", message, 16)[0] & ~_SIGNED
    return message[:16] + struct.pack("<I", flags) + message[20:48] + bytes(16) + message[64:]


@pytest.mark.parametrize("maximum", ["SMB2_02", "SMB3_02", "SMB3_11"])
@pytest.mark.parametrize(
    "command", [Command.SESSION_SETUP, Command.TREE_CONNECT, Command.CREATE, Command.READ, Command.CLOSE]
)
async def test_answers_without_signature(target: Target, command: Command, maximum: str) -> None:
    """Signatures are removed: of the log-on, the share, an open, of READs handled by the data plane."""
    with between(target, down(without_signature, command)) as url:
        if command == Command.CLOSE:  # nobody waits for the answer; the connection ends all the same
            async with connect(url, target, maximum=maximum) as share:
                with pytest.raises(ConnectionError):
                    while True:
                        await share.read_bytes("between")
        else:
            await refused(url, target, "not signed, but must be", maximum=maximum)


@pytest.mark.parametrize(
    "status", [NTStatus.OBJECT_NAME_NOT_FOUND, NTStatus.LOGON_FAILURE, NTStatus.DISK_FULL]
)
@pytest.mark.parametrize("signed", [True, False])
async def test_forged_errors(target: Target, status: NTStatus, signed: bool) -> None:
    """An error that the server never sent is rejected, without a signature and with a wrong one."""

    def forged(message: bytes) -> bytes:
        message = message if signed else without_signature(message)
        return message[:8] + struct.pack("<I", status) + message[12:64] + ErrorResponse().pack()

    with between(target, down(forged, Command.CREATE)) as url:
        await refused(url, target, "signature of a response is wrong" if signed else "not signed")


async def test_forged_refusal_of_a_log_on(target: Target) -> None:
    """Nothing can protect this one: it is a refused log-on, nothing worse."""

    def forged(message: bytes) -> bytes:
        return (
            message[:8] + struct.pack("<I", NTStatus.LOGON_FAILURE) + message[12:64] + ErrorResponse().pack()
        )

    told = pytest.raises(LogonError, match="wrong user or password")
    with between(target, down(forged, Command.SESSION_SETUP)) as url, told:
        await works(url, target)


@pytest.mark.parametrize("flags", [0, SessionFlags.IS_GUEST, SessionFlags.IS_NULL, SessionFlags.ENCRYPT_DATA])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("maximum", ["SMB2_02", "SMB3_11"])
async def test_success_without_a_check(target: Target, flags: int, after: int, maximum: str) -> None:
    """SESSION_SETUP succeeds at once, or the success replaces the server's signed response; as guest or not."""
    seen = []

    def welcome(message: bytes) -> bytes:
        seen.append(message)
        if len(seen) <= after:
            return message
        body = struct.pack("<HHHH", 9, flags, 72, 0)
        return without_signature(message[:8] + bytes(4) + message[12:64] + body)

    with between(target, down(welcome, Command.SESSION_SETUP)) as url:
        for options in ({}, {"encryption": True}, {"signing": False, "maximum": "SMB3_11"}):
            seen.clear()
            with pytest.raises(RemoteError) as told:
                await works(url, target, **({"maximum": maximum} | options))
            assert told.value.strerror


@pytest.mark.parametrize("encrypted", [False, True])
async def test_replayed_answers(target: Target, encrypted: bool) -> None:
    """An earlier response is sent again, in place of another one and on its own."""
    for number in (True, False):
        kept: list[bytes] = []

        def repeated(
            way: str, message: bytes, number: bool = number, kept: list[bytes] = kept
        ) -> Iterable[Step]:
            if way == "up" or (command_of(message) not in (Command.READ, -1)):
                return [frame(message)]
            kept.append(message)
            old = kept[max(0, len(kept) - 3)]
            if number and old[:4] == b"\xfeSMB":
                old = old[:24] + message[24:32] + old[32:]  # the id of the request that is open
            return [frame(old)] if len(kept) > 3 else [frame(message)]

        with altering(target, repeated) as url, pytest.raises(ConnectionError):
            await pieces(url, target, encrypted)


async def pieces(url: str, target: Target, encrypted: bool) -> None:
    async with connect(url, target, encryption=encrypted) as share, share.open("between") as file:
        for at in range(10):
            assert await file.pread(12, 12 * at) == b"honest data "


async def test_encrypted_answers(target: Target) -> None:
    """Where everything is encrypted: responses in the clear are refused, and so are changed encrypted ones."""

    def cleared(way: str, message: bytes) -> bytes:
        if way == "up" or message[:4] != b"\xfdSMB":
            return message
        return struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, 3, 1, 1, 0, 4, 0, 1, 0, b"") + bytes(16)

    def changed(way: str, message: bytes) -> bytes:
        return (
            message[:-1] + bytes((message[-1] ^ 1,))
            if way == "down" and message[:4] == b"\xfdSMB"
            else message
        )

    for change, text in ((cleared, "not encrypted|never sent"), (changed, "cannot be decrypted")):
        with between(target, change) as url:
            await refused(url, target, text, encryption=True)


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
@pytest.mark.parametrize("status", [NTStatus.INVALID_DEVICE_REQUEST, NTStatus.FILE_CLOSED, NTStatus.SUCCESS])
async def test_the_confirmation_is_forged(target: Target, status: NTStatus) -> None:
    """The response to FSCTL_VALIDATE_NEGOTIATE_INFO is replaced by an unsigned one, like that of a server that does
    not support it."""

    def forged(message: bytes) -> bytes:
        made = without_signature(message[:8] + struct.pack("<I", status) + message[12:])
        return made if status == NTStatus.SUCCESS else made[:64] + ErrorResponse().pack()

    with between(target, down(forged, Command.IOCTL)) as url:
        await refused(url, target, "not signed, but must be", maximum="SMB3_02")


@pytest.mark.parametrize("maximum", ["SMB2_10", "SMB3_02", "SMB3_11"])
async def test_success_with_a_signature(target: Target, maximum: str) -> None:
    """Success at once, signed with a key derived from nothing: no proof that the server knows the user."""
    value = [preauth.INITIAL]
    spoken = BY_NAME[maximum]

    def welcome(way: str, message: bytes) -> bytes:
        command = command_of(message)
        if command == Command.NEGOTIATE or (command == Command.SESSION_SETUP and way == "up"):
            value[0] = preauth.update(value[0], message)
        if command != Command.SESSION_SETUP or way == "up":
            return message
        derived = derive_session_keys(spoken, Cipher.NONE, b"", value[0] if spoken.contexts else b"")
        if not derived.signing:
            return message[:8] + bytes(4) + message[12:64] + struct.pack("<HHHH", 9, 0, 72, 0)
        algorithm = Signing.AES_GMAC if spoken.contexts else spoken.signing
        keys = server_keys(derived, algorithm, Cipher.NONE, signing_required=True, encryption_required=False)
        return bytes(keys.sign(message[:8] + bytes(4) + message[12:64] + struct.pack("<HHHH", 9, 0, 72, 0)))

    with between(target, welcome) as url:
        await refused(url, target, "without proving that it knows this user", maximum=maximum)
