"""Locks of programs (fcntl, flock) as byte-range locks of the server, so that two mounts exclude each other.

The server's locks are mandatory and belong to an open ([MS-SMB2] 3.3.5.14), those of Linux are advisory and belong to
a program. So one open of ours holds the locks of all programs here, and while it holds any, all data of the file goes
through it: programs of this mount do not hinder each other where Linux would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from frevo.client.connection.messages import Element
from frevo.client.errors import RemoteError
from frevo.client.share.file import File
from frevo.client.to_the_end import in_thread
from frevo.fuse import abi
from frevo.fuse.abi import Opcode
from frevo.fuse.session import Answer, Handler, Request
from frevo.mount.handles import Handle
from frevo.mount.ranges import Owner, Range, Ranges
from frevo.mount.state import State, failure
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, LockElement, LockFlags, LockRequest

if TYPE_CHECKING:
    from frevo.mount.nodes import Node

_REFUSED = (NTStatus.LOCK_NOT_GRANTED, NTStatus.FILE_LOCK_CONFLICT)
_NOT_THERE = (NTStatus.NOT_SUPPORTED, NTStatus.NOT_IMPLEMENTED, NTStatus.INVALID_DEVICE_REQUEST)
_DENIED = (NTStatus.ACCESS_DENIED, NTStatus.MEDIA_WRITE_PROTECTED)
#: Seconds until a lock held by another client is tried again: at first, and at most.
_SOON_S, _LATE_S = 0.01, 0.5


class FileLocks:
    """The locks of one file: those of each program here, and those held on the server.

    A request that is under way is never abandoned, as its response tells what the server holds.
    """

    def __init__(self, state: State, node: Node) -> None:
        self.ranges = Ranges()
        self.file: File | None = None  # the open that holds them
        self._held: set[Range] = set()
        self._state = state
        self._node = node
        self._turn = asyncio.Lock()
        self.freed = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether the server holds locks for us, so that data has to go through `file`."""
        return bool(self._held)

    async def acquire(self, owner: Owner, wanted: Range) -> bool:
        """Takes *wanted* for *owner*; returns False if it is taken, and *owner* keeps what it had."""
        async with self._turn:
            if self.ranges.in_the_way(owner, wanted):
                return False
            first, before = not self.ranges, self.ranges.of(owner)
            self.ranges.put(owner, wanted)
            try:
                await self._settled()
                granted = await self._tell()
            except BaseException:
                self.ranges.restore(owner, before)
                self._state.close_later(self._tell_again())
                raise
            if not granted:
                self.ranges.restore(owner, before)
                await self._tell()
            elif first:
                await self._forget_data()
            return granted

    async def release(self, owner: Owner, start: int = 0, end: int = 1 << 64) -> None:
        """Releases a lock of *owner*, after what was written under it has reached the server."""
        if not self.ranges.of(owner):
            return
        async with self._turn:
            await self._settled()
            self.ranges.remove(owner, start, end)
            try:
                await self._tell()
            finally:
                self._wake()

    def _wake(self) -> None:
        self.freed.set()
        self.freed = asyncio.Event()

    async def close(self) -> None:
        """Called when the file is no longer open."""
        async with self._turn:
            file, self.file = self.file, None
            self._held.clear()
            if file is not None:
                await self._state.remote.close(file)

    async def _settled(self) -> None:
        if self._node.writes is not None:
            await self._node.writes.settle()

    async def _forget_data(self) -> None:
        """Drops the kernel's pages: others may have changed the file while no lock was held here."""
        self._node.fresh_until, self._node.cached = 0.0, None
        # In a thread: the kernel waits for reads of these pages, which wait for us.
        await in_thread(self._state.session.notify, abi.invalidate_data(self._node.number))

    # -- the server

    async def _tell(self) -> bool:
        """Makes the server's locks cover ours; returns False if it refused, in which case it has fewer now."""
        wanted = self.ranges.together()
        if self.file is None or self.file.closed or self.file.tree.connection.lost:
            self._held.clear()
            self.file = None
        if not wanted - self._held and not self._held - wanted:
            return True
        if self.file is None:
            self.file = await self._opened()
        if self.file is None:
            return True  # it has no name, so no other client can open it
        try:
            await self._exchange(self.file, self._held - wanted, wanted - self._held)
        except RemoteError as error:
            if error.ntstatus in _REFUSED:
                return False
            if error.ntstatus in _NOT_THERE:  # then they only apply between our programs
                return True
            raise
        return True

    async def _exchange(self, file: File, too_many: set[Range], missing: set[Range]) -> None:
        if too_many:
            self._held -= too_many
            await self._lock(file, [LockElement(one.start, one.end - one.start, _UNLOCK) for one in too_many])
        if missing:
            await self._lock(file, [_element(one) for one in sorted(missing)])
            self._held |= missing

    @staticmethod
    async def _lock(file: File, elements: list[LockElement]) -> None:
        body = LockRequest(file.file_id, elements).pack()
        await file.tree.one(Element(Command.LOCK, body), file.path)

    async def _tell_again(self) -> None:
        async with self._turn:
            with contextlib.suppress(OSError):
                await self._tell()

    async def _opened(self) -> File | None:
        if self._node.gone:
            return None
        try:
            return (await self._state.remote.open(self._node.path, os.O_RDWR))[0]
        except RemoteError as error:
            if error.ntstatus not in _DENIED:
                raise
            return (await self._state.remote.open(self._node.path, os.O_RDONLY))[0]


_UNLOCK = int(LockFlags.UNLOCK)


def _element(wanted: Range) -> LockElement:
    kind = LockFlags.EXCLUSIVE_LOCK if wanted.exclusive else LockFlags.SHARED_LOCK
    return LockElement(wanted.start, wanted.end - wanted.start, int(kind | LockFlags.FAIL_IMMEDIATELY))


class Locks:
    """The handlers of GETLK, SETLK and SETLKW."""

    def __init__(self, state: State) -> None:
        self._state = state

    def handlers(self) -> dict[int, Handler]:
        """The handlers by opcode."""
        return {Opcode.GETLK: self.get, Opcode.SETLK: self.set, Opcode.SETLKW: self.wait}

    def _asked(self, request: Request) -> tuple[Handle, FileLocks, Owner, int, Range]:
        number, owner, start, last, kind, _, flags, _ = abi.LOCK.unpack_from(request.body)
        handle = self._state.numbers.get(number, Handle)
        node = handle.node
        if node.locks is None:
            node.locks = FileLocks(self._state, node)
        wanted = Range(start, last + 1, kind == fcntl.F_WRLCK)
        return handle, node.locks, (bool(flags & abi.LOCK_FLOCK), owner), kind, wanted

    async def get(self, request: Request) -> Answer:
        """The conflicting lock: with the program if it runs here; of other clients, only its existence is known."""
        _, locks, owner, _, wanted = self._asked(request)
        other = locks.ranges.in_the_way(owner, wanted)
        if other is not None:
            found = other[1]
            kind = fcntl.F_WRLCK if found.exclusive else fcntl.F_RDLCK
            return abi.LOCK_ANSWER.pack(found.start, found.end - 1, kind, 0)
        probe = (owner[0], -1)
        kind = fcntl.F_UNLCK
        if not locks.ranges.of(owner):
            if await locks.acquire(probe, wanted):
                await locks.release(probe)
            else:
                kind = fcntl.F_WRLCK
        return abi.LOCK_ANSWER.pack(wanted.start, wanted.end - 1, kind, 0)

    async def set(self, request: Request) -> Answer:
        """Locks or unlocks; EAGAIN if the lock is taken."""
        _, locks, owner, kind, wanted = self._asked(request)
        if kind == fcntl.F_UNLCK:
            await locks.release(owner, wanted.start, wanted.end)
        elif not await locks.acquire(owner, wanted):
            raise failure(errno.EAGAIN)
        return b""

    async def wait(self, request: Request) -> Answer:
        """Locks as soon as there is no conflict. A signal ends the wait, and the kernel repeats the request if the
        program requires it (SA_RESTART)."""
        _, locks, owner, kind, wanted = self._asked(request)
        if kind == fcntl.F_UNLCK:
            await locks.release(owner, wanted.start, wanted.end)
            return b""
        delay = _SOON_S
        while True:
            freed = locks.freed
            if await locks.acquire(owner, wanted):
                return b""
            if request.interrupted.is_set():
                raise failure(errno.EINTR)
            here = locks.ranges.in_the_way(owner, wanted) is not None
            await _first(freed, request.interrupted, timeout_s=None if here else delay)
            if not here and not freed.is_set():
                delay = min(2 * delay, _LATE_S)


async def _first(*events: asyncio.Event, timeout_s: float | None) -> None:
    """Returns when one of *events* is set, or after *timeout_s* seconds."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
