"""Which answers are accepted: those with the protection that their request's session requires ([MS-SMB2] 3.2.5.1)."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import pytest

from frevo.client.connection.messages import Pending, Protection, protection_fault
from frevo.wire.smb2 import Command, HeaderFlags

SIGNED = int(HeaderFlags.SIGNED)
KEYS = cast(Any, object())


def pending(*, keys: Any = KEYS, sign: bool = True, encrypted: bool = False) -> Pending:
    protection = Protection(7, keys, sign, encrypted)
    return Pending(cast("asyncio.Future[Any]", None), 1, 1, protection, encrypted, int(Command.READ), False)


@pytest.mark.parametrize(
    ("request_", "flags", "encrypted_by", "bad", "unverified", "interim", "fault"),
    [
        (pending(), SIGNED, None, 0, 0, False, ""),
        (pending(), 0, None, 0, 0, False, "not signed"),
        (pending(), SIGNED, None, 1, 0, False, "signature .* wrong"),
        (pending(), SIGNED, None, 0, 1, False, "not signed"),
        (pending(), 0, None, 0, 0, True, ""),  # an interim answer is not signed
        (pending(), SIGNED, None, 1, 0, True, "signature .* wrong"),
        (pending(sign=False), 0, None, 0, 0, False, ""),
        (pending(sign=False), SIGNED, None, 1, 0, False, "signature .* wrong"),
        (pending(keys=None), 0, None, 0, 0, False, ""),  # a guest's
        (pending(encrypted=True), 0, 7, 0, 0, False, ""),
        (pending(encrypted=True), SIGNED, None, 0, 0, False, "not encrypted"),
        (pending(encrypted=True), 0, None, 0, 0, True, "not encrypted"),
        (pending(encrypted=True), 0, 8, 0, 0, False, "another session"),
        (pending(), 0, 7, 0, 0, False, ""),  # encrypted although it need not be
        (pending(), 0, 8, 0, 0, False, "another session"),
    ],
)
def test_protection_of_answers(
    request_: Pending, flags: int, encrypted_by: int | None, bad: int, unverified: int, interim: bool, fault: str
) -> None:  # fmt: skip
    """Signed where the session signs, encrypted where the request was, by the keys of its own session."""
    found = protection_fault(request_, int(Command.READ), flags, encrypted_by, bad, unverified, interim)
    if fault:
        assert re.search(fault, found)
    else:
        assert found == ""


def test_the_buffer_is_free() -> None:
    """After `release_sink` the caller's buffer can be resized, and a second call is harmless."""
    buffer = bytearray(4)
    one = pending()
    one.sink = memoryview(buffer)
    with pytest.raises(BufferError):
        buffer.append(1)
    one.release_sink()
    one.release_sink()
    buffer.append(1)
    assert len(buffer) == 5
