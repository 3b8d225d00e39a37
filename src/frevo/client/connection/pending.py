"""A request that has no final answer yet, and how its answer must be protected ([MS-SMB2] 3.2.5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from frevo.proto.protection import SessionKeys
from frevo.wire.smb2 import Command, HeaderFlags

if TYPE_CHECKING:
    from frevo.client.connection.connection import Reply

_SIGNED = int(HeaderFlags.SIGNED)


class Protection(msgspec.Struct):
    """How the requests of one session go out and what its answers must have."""

    session_id: int = 0
    keys: SessionKeys | None = None
    sign: bool = False
    seal: bool = False


class Pending(msgspec.Struct, eq=False):
    """A request that has no final answer yet."""

    future: asyncio.Future[Reply]
    message_id: int
    charge: int
    protection: Protection
    sealed: bool
    command: int
    patient: bool  # its answer may take any time
    async_id: int = 0
    sink: memoryview | None = None  # where READ data goes
    orphan: Callable[[Reply], None] | None = None  # undoes what an abandoned request has done
    abandoned: bool = False


def let_go(pending: Pending) -> None:
    """The caller's buffer is the caller's again, even while a traceback still has this request."""
    if pending.sink is not None:
        pending.sink.release()
        pending.sink = None


def unprotected(
    pending: Pending, command: int, flags: int, seal_id: int | None, bad: int, unverified: int, interim: bool
) -> str:
    """What is wrong with the protection of an answer to *pending*; empty when nothing is.

    *flags* are its header's, *seal_id* the session that it was sealed for, if any; *bad*: its signature is wrong,
    *unverified*: nobody could check it. An *interim* answer need not be signed ([MS-SMB2] 3.2.5.1.1, 3.2.5.1.3).
    """
    protection = pending.protection
    if seal_id is not None:
        return "" if seal_id == protection.session_id else "an answer was sealed for another session"
    if pending.sealed:
        return "an answer that must be encrypted was not"
    if bad:
        return "the signature of an answer is wrong: somebody may have changed it on its way"
    if interim or protection.keys is None or not protection.sign:
        return ""
    if unverified or not flags & _SIGNED:
        return f"an answer ({Command(command).name}) was not signed although it must be"
    return ""
