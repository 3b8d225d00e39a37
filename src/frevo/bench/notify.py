"""The notify workload: one client changes a directory, CHANGE_NOTIFY tells the others ([MS-SMB2] 3.3.5.19)."""

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


class _WatchedDirectory:
    """One directory with its watchers, and the change that they wait for."""

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
        """Call this right before making the change."""
        self._expected = action, name
        self._missing = set(range(self.watchers))
        self._all_seen.clear()
        self._started = time.perf_counter_ns()

    def notified(self, watcher: int, changes: Sequence[tuple[int, str]]) -> None:
        """A watcher got a notification; duplicate and late ones do not count."""
        if watcher in self._missing and self._expected in changes:
            self._tally.record(time.perf_counter_ns() - self._started)
            self._missing.remove(watcher)
            if not self._missing:
                self._all_seen.set()

    async def all_notified(self) -> None:
        """Wait until all watchers are notified; those that are not in time count as errors."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._all_seen.wait()
        except TimeoutError:
            for _ in self._missing:
                self._tally.failed(NTStatus.IO_TIMEOUT)
            self._missing.clear()


class NotifyLoad(PythonLoad):
    """connections x qdepth watchers of one directory; one operation is one notification of one watcher.

    The first connection to each share makes the change (creates a file, then removes it), and the next one when every
    watcher has been notified. Latency runs from sending the change to receiving the notification.
    """

    parts: ClassVar[tuple[str, ...]] = ("notify",)

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        super().__init__(settings, links)
        self._directories: dict[str, _WatchedDirectory] = {}
        self._watches: list[_Watch] = []
        self._watching: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Create the directory, and register every watcher."""
        for link in self.links:
            directory = self._directories.get(link.target.url)
            if directory is None:
                directory = _WatchedDirectory(Folder(link, "bench_notify_dir"), link, self.counts[0])
                self._directories[link.target.url] = directory
                await directory.folder.make()
            request = requests.opening(directory.folder.path, requests.LIST, options=requests.DIRECTORY)
            for _ in range(self.settings.qdepth):
                opened = await link.files.tree.create(request, directory.folder.path)
                watch = _Watch(link.files.tree, opened.file_id, directory)
                await watch.ask()
                self._watches.append(watch)

    def start(self) -> None:
        """Start the watchers and then the changers."""
        self._watching = [asyncio.ensure_future(watch.run()) for watch in self._watches]
        super().start()

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """A changer for each directory."""
        return [self._change(directory) for directory in self._directories.values()]

    async def _change(self, directory: _WatchedDirectory) -> None:
        tree, run, number = directory.changer.files.tree, secrets.token_hex(4), 0
        while self.more(2 * directory.watchers):
            number += 1
            name = f"{run}_{number}.tmp"
            directory.expect(_ADDED, name)
            opened = await tree.create(_new_file(f"{directory.folder.path}/{name}"), name)
            await directory.all_notified()
            directory.expect(_REMOVED, name)
            await tree.close(opened.file_id)
            await directory.all_notified()

    async def finished(self) -> None:
        """Return when the changers have ended; raises a watcher's error."""
        changers = asyncio.ensure_future(super().finished())
        try:
            done, _ = await asyncio.wait([changers, *self._watching], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            changers.cancel()

    async def stop(self) -> None:
        """End the changers, then the watchers."""
        await super().stop()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def clean(self) -> None:
        """Close the watchers' opens and remove the directory."""
        for watch in self._watches:
            await watch.close()
        for directory in self._directories.values():
            await directory.folder.remove()


class _Watch:
    """One watcher: an open of the directory and its pending request."""

    def __init__(self, tree: Tree, file_id: FileId, directory: _WatchedDirectory) -> None:
        self._tree = tree
        self._file_id = file_id
        self._directory = directory
        self._pending: Pending | None = None
        self._number = directory.watchers
        directory.watchers += 1

    async def ask(self) -> None:
        """Send the next request; the server buffers changes until then."""
        body = ChangeNotifyRequest(0, _BUFFER_BYTES, self._file_id, int(CompletionFilter.FILE_NAME)).pack()
        self._pending = await self._tree.post(Element(Command.CHANGE_NOTIFY, body, patient=True))

    async def run(self) -> None:
        """Receive notifications until cancelled."""
        while self._pending is not None:
            reply = await self._pending.future
            if reply.status == NTStatus.SUCCESS:
                changes = parse_notifications(ChangeNotifyResponse.parse(reply.message).buffer)
                self._directory.notified(self._number, changes)
            elif reply.status != NTStatus.NOTIFY_ENUM_DIR:
                raise remote_error(reply.status, self._directory.folder.path, "watching")
            await self.ask()

    async def close(self) -> None:
        """Cancel the request and close the directory."""
        if self._pending is not None:
            self._tree.connection.abandon([self._pending])
            self._pending = None
        with contextlib.suppress(OSError):
            await self._tree.close(self._file_id)


def _new_file(path: str) -> CreateRequest:
    access = FILE_GENERIC_WRITE | int(FileAccess.DELETE)
    disposition = int(CreateDisposition.CREATE)
    return requests.opening(path, access, disposition=disposition, options=_FILE_OPTIONS)
