"""Errors of an operation, the server's status or a fault found by the data plane, as names and sentences."""

from __future__ import annotations

from frevo.client.errors import remote_error
from frevo.transport.base import SHORT_READ, WRONG_DATA
from frevo.wire.erref import NTStatus

#: Statuses that no server sends: the data plane counts with them what it found itself.
_OWN = {
    WRONG_DATA: ("DATA_MISMATCH", "the server returned different data than was written"),
    SHORT_READ: ("SHORT_READ", "the server returned less data than requested"),
}


def name_of_status(status: int) -> str:
    """STATUS_DISK_FULL, or the number if it has no name."""
    if status in _OWN:
        return _OWN[status][0]
    known = NTStatus(status)
    return f"STATUS_{known.name}"


def sentence(status: int, count: int) -> str:
    """A sentence about an error that occurred *count* times."""
    text = _OWN[status][1] if status in _OWN else remote_error(status).strerror
    return f"{count:,} operations failed: {text}" if count > 1 else f"an operation failed: {text}"
