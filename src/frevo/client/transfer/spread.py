"""One large transfer over several connections: each takes the next range of the file as soon as it is free.

Servers have a process or a thread for each connection, so that one connection uses one processor of theirs
(docs/decisions/0010). The file is opened again on each further connection; what is not provably the same file, or
fails there, is left to the first one.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from frevo.client.connection.messages import FileId
from frevo.client.errors import RemoteError
from frevo.client.lasting.connections import ShareConnections
from frevo.client.lasting.retry import Attempts, is_gone
from frevo.client.transfer import data as transfer
from frevo.client.tree import requests
from frevo.client.tree.stat import Stat, stat_of
from frevo.client.tree.tree import Tree
from frevo.errors import FrevoError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllInformation, FileInfoClass
from frevo.wire.smb2 import CreateDisposition, CreateRequest, QueryInfoResponse

#: From this size on, another connection is worth it.
SPREAD_BYTES = 64 << 20
#: A transfer of this size or more is divided.
BULK_BYTES = 8 << 20
#: All ranges under way lie within a window of this size.
_AHEAD_BYTES = 32 << 20
#: Ranges under way on one connection: the second starts while the last responses for the first arrive.
_RANGES = 2
_MIB = 1 << 20


def gaps_bytes(size: int) -> int:
    """The last bytes of an interrupted transfer of *size* bytes that can have gaps."""
    return _AHEAD_BYTES if size >= SPREAD_BYTES else transfer.GAPS_BYTES


class Open(NamedTuple):
    """An open of the file on one of the connections."""

    tree: Tree
    file_id: FileId


class OpenFile(Protocol):
    """What the further opens need to know about the file that is transferred."""

    path: str

    async def stat(self) -> Stat:
        """What the server knows about it now."""


class FurtherOpens:
    """The opens of one file on the further connections of its share, made on demand."""

    def __init__(self, connections: ShareConnections, request: CreateRequest, writes: bool) -> None:
        self.connections = connections
        self._request = CreateRequest(
            desired_access=request.desired_access,
            share_access=request.share_access,
            create_disposition=int(CreateDisposition.OPEN),
            create_options=request.create_options,
            name=request.name,
        )
        self._writes = writes
        self._known: Stat | None = None
        self._opens: dict[int, asyncio.Task[Open | None]] = {}
        self._attempts = [Attempts() for _ in range(connections.most)]

    async def nth(self, index: int, file: OpenFile) -> Open | None:
        """The open on connection number *index*, None if there cannot be one. Cancelled, it is opened anyway."""
        if index not in self._opens:
            self._opens[index] = asyncio.get_running_loop().create_task(self._open(index, file))
        opening = self._opens[index]
        await asyncio.wait([opening])
        return None if opening.cancelled() else opening.result()

    async def _open(self, index: int, file: OpenFile) -> Open | None:
        lasting = await self.connections.nth(index)
        if lasting is None:
            return None
        with suppress(OSError, FrevoError):
            return await lasting.run(lambda tree, path: self._same_file(tree, path, file), file.path)
        return None

    async def _same_file(self, tree: Tree, path: str, file: OpenFile) -> Open | None:
        """An open of *path* on *tree*, None unless it is certain to be *file*."""
        opened = await tree.create(self._request, path)
        try:
            allow = (NTStatus.BUFFER_OVERFLOW,)
            reply = await tree.one(requests.query_file(FileInfoClass.ALL, opened.file_id), path, allow=allow)
            found = stat_of(FileAllInformation.parse(QueryInfoResponse.parse(reply.message).buffer))
            known = self._known = self._known or await file.stat()
            if found.file_id and (found.file_id, found.creation_time) == (known.file_id, known.creation_time):
                return Open(tree, opened.file_id)
        except BaseException:
            tree.close_later(opened.file_id)
            raise
        tree.close_later(opened.file_id)
        return None

    def again(self, index: int, error: BaseException) -> bool:
        """Closes the open number *index*, which failed with *error*; returns whether to open it again."""
        self._close_later(self._opens.pop(index))
        return isinstance(error, RemoteError) and self._attempts[index].again(error)

    async def close(self) -> None:
        """Closes them. If data was written, errors are raised, except that a connection is gone."""
        opens, self._opens = self._opens, {}
        made = [one for one in map(self._result, opens.values()) if one is not None]
        closes = (one.tree.close(one.file_id) for one in made)
        for end in await asyncio.gather(*closes, return_exceptions=True):
            if end is not None and self._writes and not (isinstance(end, RemoteError) and is_gone(end)):
                raise end

    def close_later(self) -> None:
        """Closes them without waiting for the responses."""
        opens, self._opens = self._opens, {}
        for opening in opens.values():
            self._close_later(opening)

    def _close_later(self, opening: asyncio.Task[Open | None]) -> None:
        made = self._result(opening)
        if made is not None and not made.tree.connection.lost:
            made.tree.close_later(made.file_id)

    @staticmethod
    def _result(opening: asyncio.Task[Open | None]) -> Open | None:
        """What was opened; an attempt that is still under way is cancelled."""
        if not opening.done():
            opening.cancel()
        return None if not opening.done() or opening.cancelled() else opening.result()


class Spread:
    """*size* bytes from *offset* on, and which of them are still to be moved: it can be tried again.

    kind, progress, local and *local_data* are as for `transfer.stream`. What is done when it failed or was cancelled
    has gaps only in its last `gaps_bytes`.
    """

    def __init__(
        self, kind: str, offset: int, size: int, path: str,
        progress: transfer.Progress | None, local: str | None, local_data: dict[str, Any],
    ) -> None:  # fmt: skip
        self._kind, self._path, self._progress, self._local = kind, path, progress, local
        self._local_data = local_data
        self._offset = self._next = offset
        self._end = offset + size
        self._range = size
        self._returned: list[tuple[int, int]] = []  # ranges that failed and are to be done again
        self._under_way: dict[int, int] = {}  # start of a range under way: bytes of it that are done
        self.done = 0  # bytes of the ranges that have ended
        self._changed = asyncio.Event()

    async def alone(self, first: Open) -> int:
        """Moves everything on one connection; returns the number of bytes."""
        while (part := self._claim()) is not None:
            await self._move(first, part)
        return self._end - self._offset

    async def together(self, first: Open, further: FurtherOpens, file: OpenFile) -> int:
        """Moves everything on *first* and, as soon as they are ready, the *further* opens of *file*.

        An error of *first* is raised. If another one fails, its ranges are done by the others.
        """
        count = further.connections.for_one_file
        self._range = max(_MIB, _AHEAD_BYTES // (2 * _RANGES * count) // _MIB * _MIB)
        try:
            async with asyncio.TaskGroup() as group:
                helping = [group.create_task(self._help(index, further, file)) for index in range(1, count)]
                working = [group.create_task(self._work(first)) for _ in range(_RANGES)]
                await asyncio.wait(working)
                for task in helping:
                    task.cancel()
        except BaseExceptionGroup as raised:
            raise raised.exceptions[0] from None
        return self._end - self._offset

    async def _help(self, index: int, further: FurtherOpens, file: OpenFile) -> None:
        async with further.connections.turns[index]:
            while (opened := await further.nth(index, file)) is not None:
                working = [self._work(opened) for _ in range(_RANGES)]
                ends = await asyncio.gather(*working, return_exceptions=True)
                errors = [end for end in ends if end is not None]
                if not errors:
                    return
                for error in errors:
                    if not isinstance(error, OSError | FrevoError):
                        raise error
                if not further.again(index, errors[0]):
                    return

    async def _work(self, opened: Open) -> None:
        while not self._finished():
            part = self._claim()
            if part is None:
                await self._changed.wait()
            else:
                await self._move(opened, part)

    def _finished(self) -> bool:
        return not self._under_way and not self._returned and self._next >= self._end

    def _claim(self) -> tuple[int, int] | None:
        """The next range to move, None if there is none at the moment."""
        while self._returned:
            start, end = heappop(self._returned)
            if start < self._end:
                return self._begin(start, end)
        low = min(self._under_way, default=self._next)
        end = min(self._next + self._range, self._end)
        if self._next >= self._end or (self._under_way and end > low + _AHEAD_BYTES):
            return None
        start, self._next = self._next, end
        return self._begin(start, end)

    def _begin(self, start: int, end: int) -> tuple[int, int]:
        self._under_way[start] = 0
        return start, end

    async def _move(self, opened: Open, part: tuple[int, int]) -> None:
        start, end = part

        def report(count: int) -> None:
            self._under_way[start] = count
            if self._progress is not None:
                self._progress(self.done + sum(self._under_way.values()))

        with ExitStack() as stack:
            local_data = dict(self._local_data)
            if "buffer" in local_data:
                inner = slice(start - self._offset, end - self._offset)
                local_data["buffer"] = stack.enter_context(local_data["buffer"][inner])
            else:
                local_data["local_offset"] += start - self._offset
            try:
                count = await transfer.stream(
                    opened.tree, self._kind, opened.file_id, start, end - start, self._path, report, self._local,
                    **local_data,
                )  # fmt: skip
            except BaseException:
                count = self._under_way[start]
                if start + count < end:
                    heappush(self._returned, (start + count, end))
                raise
            else:
                if count < end - start:
                    self._end = min(self._end, start + count)
            finally:
                self.done += count
                del self._under_way[start]
                self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
