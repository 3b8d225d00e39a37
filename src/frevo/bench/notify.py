"""The notify workload: one client changes a directory, the others learn of it by CHANGE_NOTIFY ([MS-SMB2] 3.3.5.19)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

from frevo.bench.folder import Folder
from frevo.bench.links import Link
from frevo.bench.load import PythonLoad
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally
from frevo.client.connection.messages import Element, FileId, Pending
from frevo.client.errors import remote_error
from frevo.client.tree import requests
from frevo.client.tree.tree import Tree
from frevo.wire.dtyp.access import FILE_GENERIC_WRITE
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import parse_notifications
from frevo.wire.smb2 import (
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    Command,
    CompletionFilter,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    FileAccess,
)

_BUFFER_BYTES = 4096
_ADDED, _REMOVED = 1, 2
#: A notification that has not come by then is lost.
PATIENCE_S = 5.0
_FILE_OPTIONS = int(CreateOptions.NON_DIRECTORY_FILE | CreateOptions.DELETE_ON_CLOSE)


class _Audience:
    """The watchers of one directory, and what they are waiting for."""

    def __init__(self, folder: Folder, changer: Link, tally: Tally) -> None:
        self.folder = folder
        self.changer = changer
        self.watchers = 0
        self._tally = tally
        self._expected = (0, "")
        self._missing: set[int] = set()
        self._started = 0
        self._all_seen = asyncio.Event()

    def expect(self, action: int, name: str) -> None:
        """The change is made right after this."""
        self._expected = action, name
        self._missing = set(range(self.watchers))
        self._all_seen.clear()
        self._started = time.perf_counter_ns()

    def told(self, watcher: int, changes: Sequence[tuple[int, str]]) -> None:
        """A watcher got a notification; what came twice or late does not count."""
        if watcher in self._missing and self._expected in changes:
            self._tally.record(time.perf_counter_ns() - self._started)
            self._missing.remove(watcher)
            if not self._missing:
                self._all_seen.set()

    async def everybody(self) -> None:
        """Waits until all watchers know; those that do not hear of it in time count as errors."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._all_seen.wait()
        except TimeoutError:
            for _ in self._missing:
                self._tally.failed(NTStatus.IO_TIMEOUT)
            self._missing.clear()


class NotifyLoad(PythonLoad):
    """connections x qdepth watchers of one directory; an operation is one notification that one of them got.

    The change (a file appears, then it goes) is made on the first connection to each share; the next one comes when
    every watcher has heard. Latency is from sending the change to receiving the notification.
    """

    parts: ClassVar[tuple[str, ...]] = ("notify",)

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        super().__init__(settings, links)
        self._audiences: dict[str, _Audience] = {}
        self._watches: list[_Watch] = []
        self._watching: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Makes the directory, and asks the server for every watcher to be told of its changes."""
        for link in self.links:
            audience = self._audiences.get(link.target.url)
            if audience is None:
                audience = _Audience(Folder(link, "bench_notify_dir"), link, self.counts[0])
                self._audiences[link.target.url] = audience
                await audience.folder.make()
            request = requests.opening(audience.folder.path, requests.LIST, options=requests.DIRECTORY)
            for _ in range(self.settings.qdepth):
                opened = await link.files.tree.create(request, audience.folder.path)
                watch = _Watch(link.files.tree, opened.file_id, audience)
                await watch.ask()
                self._watches.append(watch)

    def start(self) -> None:
        """Starts the watchers and then the changers."""
        self._watching = [asyncio.ensure_future(watch.run()) for watch in self._watches]
        super().start()

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """A changer for each directory."""
        return [self._change(audience) for audience in self._audiences.values()]

    async def _change(self, audience: _Audience) -> None:
        tree, run, number = audience.changer.files.tree, secrets.token_hex(4), 0
        while self.more(2 * audience.watchers):
            number += 1
            name = f"{run}_{number}.tmp"
            audience.expect(_ADDED, name)
            opened = await tree.create(_new_file(f"{audience.folder.path}/{name}"), name)
            await audience.everybody()
            audience.expect(_REMOVED, name)
            await tree.close(opened.file_id)
            await audience.everybody()

    async def finished(self) -> None:
        """The changers have ended, or a watcher has failed."""
        changers = asyncio.ensure_future(super().finished())
        try:
            done, _ = await asyncio.wait([changers, *self._watching], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            changers.cancel()

    async def stop(self) -> None:
        """Ends changers, then watchers."""
        await super().stop()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def clean(self) -> None:
        """Closes the watchers' opens and removes the directory."""
        for watch in self._watches:
            await watch.close()
        for audience in self._audiences.values():
            await audience.folder.remove()


class _Watch:
    """One watcher: an open of the directory and the request that waits there."""

    def __init__(self, tree: Tree, file_id: FileId, audience: _Audience) -> None:
        self._tree = tree
        self._file_id = file_id
        self._audience = audience
        self._pending: Pending | None = None
        self._number = audience.watchers
        audience.watchers += 1

    async def ask(self) -> None:
        """Sends the next request; the server remembers what happens until it comes."""
        body = ChangeNotifyRequest(0, _BUFFER_BYTES, self._file_id, int(CompletionFilter.FILE_NAME)).pack()
        self._pending = await self._tree.post(Element(Command.CHANGE_NOTIFY, body, patient=True))

    async def run(self) -> None:
        """Takes notifications until it is cancelled."""
        while self._pending is not None:
            reply = await self._pending.future
            if reply.status == NTStatus.SUCCESS:
                changes = parse_notifications(ChangeNotifyResponse.parse(reply.message).buffer)
                self._audience.told(self._number, changes)
            elif reply.status != NTStatus.NOTIFY_ENUM_DIR:
                raise remote_error(reply.status, self._audience.folder.path, "watching")
            await self.ask()

    async def close(self) -> None:
        """Takes the request back and closes the directory."""
        if self._pending is not None:
            self._tree.connection.abandon([self._pending])
            self._pending = None
        with contextlib.suppress(OSError):
            await self._tree.close(self._file_id)


def _new_file(path: str) -> CreateRequest:
    access = FILE_GENERIC_WRITE | int(FileAccess.DELETE)
    disposition = int(CreateDisposition.CREATE)
    return requests.opening(path, access, disposition=disposition, options=_FILE_OPTIONS)
