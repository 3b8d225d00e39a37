"""LOCK: takes and releases byte-range locks, and waits for them ([MS-SMB2] 3.3.5.14)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.locking.byte_range import LockRange
from frevo.locking.file_table import FileRecord
from frevo.server.core.fastpath import ALL
from frevo.server.core.request import Request
from frevo.server.core.state import Open
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAccess, LockElement, LockFlags, LockRequest, LockResponse

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.transport.base import Hold

_SHARED = int(LockFlags.SHARED_LOCK)
_EXCLUSIVE = int(LockFlags.EXCLUSIVE_LOCK)
_UNLOCK = int(LockFlags.UNLOCK)
_NOW = int(LockFlags.FAIL_IMMEDIATELY)

_LOCKS_NOW = (_SHARED | _NOW, _EXCLUSIVE | _NOW)
_LOCKS = (_SHARED, _EXCLUSIVE, *_LOCKS_NOW)
_DATA_ACCESS = int(FileAccess.READ_DATA | FileAccess.WRITE_DATA | FileAccess.APPEND_DATA | FileAccess.EXECUTE)
_RESPONSE = LockResponse().pack()

#: Elements of one request between two checks of the clock.
ELEMENTS_PER_LOOK = 64


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Locks or unlocks the ranges of a request; waits only for a single range without FAIL_IMMEDIATELY."""
    fields = LockRequest.parse(request.message)
    opened, elements = request.open, fields.locks
    if not elements:
        raise SMBError(NTStatus.INVALID_PARAMETER, "no lock elements")
    record = opened.record
    if record is None or opened.is_directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, "only files have byte-range locks")
    if not opened.granted_access & _DATA_ACCESS:
        raise SMBError(NTStatus.ACCESS_DENIED, "locking needs read or write access")
    if elements[0].flags == _UNLOCK:
        if len(elements) > ELEMENTS_PER_LOOK:
            return _unlock_many(request, record, elements)
        return _unlock(opened, record, elements)
    ranges, at_once = _ranges(elements), bool(elements[0].flags & _NOW)
    if len(ranges) > ELEMENTS_PER_LOOK:
        return _take_many(request, record, ranges)
    if record.locks:  # somebody holds the file already
        return _take(request, record, ranges, at_once=at_once)
    hold = _hold(request.server, record)
    if not hold.drained:
        return _take_later(request, record, ranges, hold, at_once=at_once)
    try:
        return _take(request, record, ranges, at_once=at_once)
    finally:
        _keep(record, hold)


def _unlock(opened: Open, record: FileRecord, elements: list[LockElement]) -> bytes:
    """Releases in order and stops at the first wrong element; those before it stay released.

    Reference: [MS-SMB2] 3.3.5.14.1.
    """
    for element in elements:
        if element.flags != _UNLOCK:
            raise SMBError(NTStatus.INVALID_PARAMETER, "locks and unlocks in one request")
        LockRange(element.offset, element.length, False).check()
        if not record.locks.unlock(opened, element.offset, element.length):
            raise SMBError(NTStatus.RANGE_NOT_LOCKED, f"{element.length} bytes at {element.offset}")
    return _RESPONSE


async def _unlock_many(request: Request, record: FileRecord, elements: list[LockElement]) -> bytes:
    """A long list, with turns for other requests in between."""
    piece = request.server.turns.slice()
    for first in range(0, len(elements), ELEMENTS_PER_LOOK):
        if piece.over():
            piece = await request.server.turns.next(request.connection.party)
        _unlock(request.open, record, elements[first : first + ELEMENTS_PER_LOOK])
    return _RESPONSE


async def _take_many(request: Request, record: FileRecord, ranges: list[LockRange]) -> bytes:
    """A long list, with turns for other requests in between. Others may see locks that are released again because a
    later one failed: the specification takes them one by one and then undoes them ([MS-SMB2] 3.3.5.14.2)."""
    opened, taken = request.open, 0
    hold = _hold(request.server, record)
    try:
        await _drained(request, hold)
        piece = request.server.turns.slice()
        while taken < len(ranges):
            if piece.over():
                piece = await request.server.turns.next(request.connection.party)
            turn = ranges[taken : taken + ELEMENTS_PER_LOOK]
            if opened.volatile_id not in request.server.opens:
                raise SMBError(NTStatus.FILE_CLOSED, "closed meanwhile")
            if not record.locks.lock(opened, turn):
                raise SMBError(NTStatus.LOCK_NOT_GRANTED, "the range is locked")
            taken += len(turn)
    except BaseException:
        record.locks.take_back(opened, ranges[:taken])
        raise
    finally:
        _keep(record, hold)
    return _RESPONSE


def _ranges(elements: list[LockElement]) -> list[LockRange]:
    """The ranges of a lock request with valid flags; several ranges must all have FAIL_IMMEDIATELY.

    Reference: [MS-SMB2] 3.3.5.14.2.
    """
    allowed = _LOCKS if len(elements) == 1 else _LOCKS_NOW
    ranges = []
    for element in elements:
        if element.flags not in allowed:
            raise SMBError(NTStatus.INVALID_PARAMETER, f"lock flags {element.flags:#x}")
        ranges.append(LockRange(element.offset, element.length, bool(element.flags & _EXCLUSIVE)))
    return ranges


def _hold(server: Server, record: FileRecord) -> Hold:
    """While a file has locks, the data plane answers nothing that could meet them. What it is doing when the first lock
    is taken ends before."""
    return server.fastpath.hold(record, ALL, "byte-range locks")


def _keep(record: FileRecord, hold: Hold) -> None:
    """Holds the file until its last lock is released; not at all without locks, or if it is held for them already."""
    locks = record.locks
    if locks and locks.on_empty is None:
        locks.on_empty = hold.release
    else:
        hold.release()


def _take(
    request: Request, record: FileRecord, ranges: list[LockRange], *, at_once: bool
) -> bytes | Awaitable[bytes]:
    """Takes the locks, or waits for the first of them unless *at_once*."""
    if record.locks.lock(request.open, ranges):
        return _RESPONSE
    if at_once:
        raise SMBError(NTStatus.LOCK_NOT_GRANTED, "the range is locked")
    return _wait(request, record, ranges[0])


async def _take_later(
    request: Request, record: FileRecord, ranges: list[LockRange], hold: Hold, *, at_once: bool
) -> bytes:
    """`_take` once the data plane does nothing to the file any more."""
    try:
        await _drained(request, hold)
        outcome = _take(request, record, ranges, at_once=at_once)
    finally:
        _keep(record, hold)
    return outcome if isinstance(outcome, bytes) else await outcome


async def _drained(request: Request, hold: Hold) -> None:
    """Waits until *hold* has drained. SMBError if the request is aborted meanwhile: RANGE_NOT_LOCKED for a CLOSE, as in
    `_wait`."""
    if hold.drained:
        return
    drained = request.server.fastpath.drained(hold)
    request.open.waiting.add(request)
    try:
        await request.may_end(drained)
    finally:
        request.open.waiting.discard(request)


async def _wait(request: Request, record: FileRecord, wanted: LockRange) -> bytes:
    """Waits for the lock *wanted*. If aborted, leaves the queue, or releases a lock that came too late. If the open is
    closed, the client gets RANGE_NOT_LOCKED, as on Windows."""
    opened = request.open
    granted: asyncio.Future[int] = request.server.loop.create_future()

    too_late = False

    def on_granted() -> None:
        nonlocal too_late
        if granted.done():  # aborted in the same iteration of the loop
            too_late = True
        else:
            granted.set_result(0)

    waiter = record.locks.wait(opened, wanted, on_granted)
    try:
        await request.wait(granted)
    except SMBError:
        if opened.volatile_id not in request.server.opens:
            raise SMBError(NTStatus.RANGE_NOT_LOCKED) from None
        raise
    finally:
        record.locks.cancel(waiter)
        if too_late:
            record.locks.unlock(opened, wanted.start, wanted.length)
    return _RESPONSE
