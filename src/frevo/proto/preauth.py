"""Preauthentication integrity: the running SHA-512 over negotiate and session setup ([MS-SMB2] 3.3.5.4, 3.3.5.5)."""

from __future__ import annotations

import hashlib

Buffer = bytes | bytearray | memoryview

#: Initial value: 64 zero bytes.
INITIAL = bytes(64)


def update(value: bytes, message: Buffer) -> bytes:
    """The next hash value after *message* (a whole SMB2 packet without framing) went over the wire."""
    digest = hashlib.sha512(value)
    digest.update(message)
    return digest.digest()
