"""Requests and their responses on a client's connection ([MS-SMB2] 3.2.4.1, 3.2.5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from frevo.proto.protection import SessionKeys
from frevo.wire.smb2 import Command, Header, HeaderFlags

Buffer = bytes | bytearray | memoryview
#: Persistent and volatile half ([MS-SMB2] 2.2.14.1).
FileId = tuple[int, int]

_SIGNED = int(HeaderFlags.SIGNED)


class Protection(msgspec.Struct):
    """The protection of the requests of one session, and what its responses must have."""

    session_id: int = 0
    keys: SessionKeys | None = None
    sign: bool = False
    encrypt: bool = False


class Reply(NamedTuple):
    """A final response: its status, and the message with the header at 0; for a READ with a sink, its size instead."""

    status: int
    message: Buffer
    size: int = 0

    @property
    def header(self) -> Header:
        """The header of a reply that has its message."""
        return Header.parse(self.message)


class Element(msgspec.Struct):
    """One request to send, alone or in a compound. *tail* is sent after *body* without being copied first."""

    command: int
    body: bytes
    charge: int = 1
    tail: Buffer | None = None
    sink: memoryview | None = None  # where READ data goes
    on_abandoned: Callable[[Reply], None] | None = None  # undoes what it did if it is abandoned
    future: asyncio.Future[Reply] | None = None  # one of its own when None
    patient: bool = False  # the server answers when something happens, which may take any time


class Pending(msgspec.Struct, eq=False):
    """A request that has no final response yet."""

    future: asyncio.Future[Reply]
    message_id: int
    charge: int
    protection: Protection
    encrypted: bool
    command: int
    patient: bool
    async_id: int = 0
    sink: memoryview | None = None
    on_abandoned: Callable[[Reply], None] | None = None
    abandoned: bool = False

    def release_sink(self) -> None:
        """Releases the caller's buffer, even while a traceback still has this request."""
        if self.sink is not None:
            self.sink.release()
            self.sink = None


def protection_fault(
    pending: Pending, command: int, flags: int, encrypted_by: int | None, bad: int, unverified: int, interim: bool
) -> str:  # fmt: skip
    """What is wrong with the protection of a response to *pending*; empty if nothing.

    *flags* are those of its header, *encrypted_by* is the ID of the session whose keys encrypted it, or None. *bad*:
    its signature is wrong; *unverified*: there was no key to check it with. An *interim* response need not be signed
    ([MS-SMB2] 3.2.5.1.1, 3.2.5.1.3).
    """
    protection = pending.protection
    if encrypted_by is not None:
        return "" if encrypted_by == protection.session_id else "a response was encrypted for another session"
    if pending.encrypted:
        return "a response is not encrypted, but must be"
    if bad:
        return "the signature of a response is wrong: it may have been changed in transit"
    if interim or protection.keys is None or not protection.sign:
        return ""
    if unverified or not flags & _SIGNED:
        return f"a response ({Command(command).name}) is not signed, but must be"
    return ""
