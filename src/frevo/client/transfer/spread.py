"""One large transfer over several connections: ranges of the file are dealt out to whoever is free.

Servers have a process or a thread for each connection, so that one connection uses one processor of theirs
(docs/decisions/0010). The file is opened again on each further connection; what is not provably the same file, or
fails there, is left to the first one.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from frevo.client.errors import RemoteError
from frevo.client.lasting.further import Siblings
from frevo.client.lasting.link import REPEATS, is_gone
from frevo.client.transfer import data as transfer
from frevo.client.tree import requests
from frevo.client.tree.stat import Stat, stat_of
from frevo.client.tree.tree import FileId, Tree
from frevo.errors import FrevoError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllInformation, FileInfoClass
from frevo.wire.smb2 import CreateDisposition, CreateRequest, QueryInfoResponse

if TYPE_CHECKING:
    from frevo.client.share.file import File

#: From so many bytes on it is worth it to connect once more.
SPREAD_BYTES = 64 << 20
#: A transfer of so many bytes is divided.
BULK_BYTES = 8 << 20
#: All that is under way lies within so many bytes.
_AHEAD_BYTES = 32 << 20
#: Ranges under way on one connection: the next one is asked for while the last answers of one come.
_RANGES = 2
_MIB = 1 << 20


def gaps_bytes(size: int) -> int:
    """How far behind its end what a broken transfer of *size* bytes has left can have gaps."""
    return _AHEAD_BYTES if size >= SPREAD_BYTES else transfer.GAPS_BYTES


class Twin(NamedTuple):
    """An open of the file on one of the connections."""

    tree: Tree
    file_id: FileId


class Twins:
    """The opens of one file on the further connections of its share, made when they are asked for."""

    def __init__(self, siblings: Siblings, request: CreateRequest, writes: bool) -> None:
        self.siblings = siblings
        self._request = CreateRequest(
            desired_access=request.desired_access,
            share_access=request.share_access,
            create_disposition=int(CreateDisposition.OPEN),
            create_options=request.create_options,
            name=request.name,
        )
        self._writes = writes
        self._known: Stat | None = None
        self._opens: dict[int, asyncio.Task[Twin | None]] = {}
        self._left = dict.fromkeys(range(siblings.most), REPEATS)

    async def nth(self, index: int, file: File) -> Twin | None:
        """*file* on connection number *index*; None when it cannot be had. Cancelled, it is opened anyway."""
        if index not in self._opens:
            self._opens[index] = asyncio.get_running_loop().create_task(self._open(index, file))
        opening = self._opens[index]
        await asyncio.wait([opening])
        return None if opening.cancelled() else opening.result()

    async def _open(self, index: int, file: File) -> Twin | None:
        place = await self.siblings.nth(index)
        if place is None or not self._left[index]:
            return None
        with suppress(OSError, FrevoError):
            return await place.run(lambda tree, path: self._opened(tree, path, file), file.path)
        return None

    async def _opened(self, tree: Tree, path: str, file: File) -> Twin | None:
        opened = await tree.create(self._request, path)
        try:
            allow = (NTStatus.BUFFER_OVERFLOW,)
            reply = await tree.one(requests.query_file(FileInfoClass.ALL, opened.file_id), path, allow=allow)
            found = stat_of(FileAllInformation.parse(QueryInfoResponse.parse(reply.message).buffer))
            known = self._known = self._known or await file.stat()
            if found.file_id and (found.file_id, found.creation_time) == (known.file_id, known.creation_time):
                return Twin(tree, opened.file_id)
        except BaseException:
            tree.close_later(opened.file_id)
            raise
        tree.close_later(opened.file_id)
        return None

    def failed(self, index: int) -> None:
        """Gives up the open on connection number *index*; it may be opened again, but not for ever."""
        self._left[index] -= 1
        self._close_later(self._opens.pop(index))

    async def close(self) -> None:
        """Closes them; what went wrong is raised when data was written, but not that a connection is gone."""
        opens, self._opens = self._opens, {}
        twins = [twin for twin in map(self._result, opens.values()) if twin is not None]
        closes = (twin.tree.close(twin.file_id) for twin in twins)
        for end in await asyncio.gather(*closes, return_exceptions=True):
            if end is not None and self._writes and not (isinstance(end, RemoteError) and is_gone(end)):
                raise end

    def close_later(self) -> None:
        """Closes them some time soon."""
        opens, self._opens = self._opens, {}
        for opening in opens.values():
            self._close_later(opening)

    def _close_later(self, opening: asyncio.Task[Twin | None]) -> None:
        twin = self._result(opening)
        if twin is not None and not twin.tree.connection.lost:
            twin.tree.close_later(twin.file_id)

    @staticmethod
    def _result(opening: asyncio.Task[Twin | None]) -> Twin | None:
        """What was opened; nothing more is."""
        if not opening.done():
            opening.cancel()
        return None if not opening.done() or opening.cancelled() else opening.result()


class Spread:
    """*size* bytes from *offset* on, and which of them are still to be moved: it can be tried again.

    kind, progress, local and *place* are as for `transfer.stream`. What is done when it failed or was cancelled has
    gaps only in its last `gaps_bytes`.
    """

    def __init__(
        self, kind: str, offset: int, size: int, path: str,
        progress: transfer.Progress | None, local: str | None, place: dict[str, Any],
    ) -> None:  # fmt: skip
        self._kind, self._path, self._progress, self._local, self._place = kind, path, progress, local, place
        self._offset = self._next = offset
        self._end = offset + size
        self._range = size
        self._back: list[tuple[int, int]] = []  # to be done again
        self._flying: dict[int, int] = {}  # start of a range under way: bytes of it that are done
        self._done = 0
        self._changed = asyncio.Event()

    async def alone(self, tree: Tree, file_id: FileId) -> int:
        """Moves all of it on one connection; how many bytes there were."""
        while (part := self._claim()) is not None:
            await self._move(Twin(tree, file_id), part)
        return self._end - self._offset

    async def together(self, main: Twin, twins: Twins, file: File) -> int:
        """Moves all of it on *main* and, as soon as they are there, on the *twins* of *file*.

        An error of *main* is raised. Where another one has trouble, its ranges are left to the others.
        """
        count = twins.siblings.for_one_file
        self._range = max(_MIB, _AHEAD_BYTES // (2 * _RANGES * count) // _MIB * _MIB)
        try:
            async with asyncio.TaskGroup() as group:
                helping = [group.create_task(self._help(index, twins, file)) for index in range(1, count)]
                working = [group.create_task(self._work(main)) for _ in range(_RANGES)]
                await asyncio.wait(working)
                for task in helping:
                    task.cancel()
        except BaseExceptionGroup as raised:
            raise raised.exceptions[0] from None
        return self._end - self._offset

    async def _help(self, index: int, twins: Twins, file: File) -> None:
        async with twins.siblings.turns[index]:
            while (twin := await twins.nth(index, file)) is not None:
                working = [self._work(twin) for _ in range(_RANGES)]
                ends = await asyncio.gather(*working, return_exceptions=True)
                errors = [end for end in ends if end is not None]
                if not errors:
                    return
                for error in errors:
                    if not isinstance(error, OSError | FrevoError):
                        raise error
                twins.failed(index)

    async def _work(self, twin: Twin) -> None:
        while not self._finished():
            part = self._claim()
            if part is None:
                await self._changed.wait()
            else:
                await self._move(twin, part)

    def _finished(self) -> bool:
        return not self._flying and not self._back and self._next >= self._end

    def _claim(self) -> tuple[int, int] | None:
        """The next range to move; None when there is none now."""
        while self._back:
            start, end = heappop(self._back)
            if start < self._end:
                return self._begin(start, end)
        low = min(self._flying, default=self._next)
        end = min(self._next + self._range, self._end)
        if self._next >= self._end or (self._flying and end > low + _AHEAD_BYTES):
            return None
        start, self._next = self._next, end
        return self._begin(start, end)

    def _begin(self, start: int, end: int) -> tuple[int, int]:
        self._flying[start] = 0
        return start, end

    async def _move(self, twin: Twin, part: tuple[int, int]) -> None:
        start, end = part

        def told(count: int) -> None:
            self._flying[start] = count
            if self._progress is not None:
                self._progress(self._done + sum(self._flying.values()))

        with ExitStack() as stack:
            place = dict(self._place)
            if "buffer" in place:
                inner = slice(start - self._offset, end - self._offset)
                place["buffer"] = stack.enter_context(place["buffer"][inner])
            else:
                place["local_offset"] += start - self._offset
            try:
                count = await transfer.stream(
                    twin.tree, self._kind, twin.file_id, start, end - start, self._path, told, self._local,
                    **place,
                )  # fmt: skip
            except BaseException:
                count = self._flying[start]
                if start + count < end:
                    heappush(self._back, (start + count, end))
                raise
            else:
                if count < end - start:
                    self._end = min(self._end, start + count)
            finally:
                self._done += count
                del self._flying[start]
                self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
