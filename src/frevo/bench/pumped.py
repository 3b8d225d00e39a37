"""The workloads whose loops run in the data plane: read, write, echo and open, as in smb2.bench, and mixed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from frevo.bench.faults import sentence
from frevo.bench.folder import Folder
from frevo.bench.links import Link, at_once, largest
from frevo.bench.load import Load
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally
from frevo.client.connection.messages import FileId
from frevo.client.transfer.data import read_bytes
from frevo.client.transfer.pump import Pump, PumpEnd, new_pump, start_pump
from frevo.client.tree import requests
from frevo.client.tree.tree import Tree
from frevo.errors import FrevoError
from frevo.transport.base import PumpSettings
from frevo.wire.dtyp.access import FILE_GENERIC_READ, FILE_GENERIC_WRITE
from frevo.wire.fscc import FileEndOfFileInformation, FileInfoClass
from frevo.wire.smb2 import CreateDisposition, CreateOptions, CreateRequest, FileAccess

_READ_WRITE_DELETE = FILE_GENERIC_READ | FILE_GENERIC_WRITE | int(FileAccess.DELETE)
_FILE_OPTIONS = int(CreateOptions.NON_DIRECTORY_FILE | CreateOptions.DELETE_ON_CLOSE)


class PumpLoad(Load):
    """A pump for each connection with the queue depth as its window."""

    #: What the pump calls the parts.
    classes: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        super().__init__(settings, links)
        self._pumps: list[Pump] = []
        self._pumps_of: list[list[Pump]] = []  # by connection

    @abstractmethod
    def pumps_for(self, link: Link, operations: int) -> list[Pump]:
        """New pumps of one connection; 0 operations means no limit."""

    def make_loops(self) -> None:
        """Make all pumps; divides a limit among them."""
        limit = self.settings.operations
        shares = divided(limit or 0, len(self.links))
        for link, share in zip(self.links, shares, strict=True):
            if limit is None or share:
                self._pumps_of.append(self.pumps_for(link, share))

    def start(self) -> None:
        """Start all pumps."""
        self._pumps = [pump for pumps in self._pumps_of for pump in pumps]
        Pump.begin(self._pumps)

    def tallies(self) -> tuple[Tally, ...]:
        """The sum of all pumps."""
        found = Pump.sums(self._pumps)
        return tuple(Tally.of(found[name]) if name in found else Tally() for name in self.classes)

    def by_connection(self) -> list[int]:
        """The sums of the pumps of each connection."""
        return [sum(pump.operations for pump in pumps) for pumps in self._pumps_of]

    async def finished(self) -> None:
        """Return when all pumps have ended; raises the first error."""
        ends = [asyncio.ensure_future(self._finished(pump)) for pump in self._pumps]
        try:
            await asyncio.gather(*ends)
        finally:
            for end in ends:
                end.cancel()

    async def _finished(self, pump: Pump) -> None:
        _check(await pump.finished())

    async def stop(self) -> None:
        """Wait up to a second for responses in flight, then abandon them."""
        for pump in self._pumps:
            pump.stop()
        if not self._pumps:
            return
        ends = [asyncio.ensure_future(pump.finished()) for pump in self._pumps]
        _, late = await asyncio.wait(ends, timeout=1.0)
        for task in late:
            task.cancel()
        if late:
            await asyncio.gather(*(pump.abandon() for pump in self._pumps), return_exceptions=True)

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def check(self) -> None:
        """Nothing to verify."""

    async def clean(self) -> None:
        """Nothing to remove."""


def divided(count: int, loops: int) -> list[int]:
    """*count* operations divided among the loops; the first ones get the remainder."""
    return [count // loops + (index < count % loops) for index in range(loops)]


def _check(end: PumpEnd) -> None:
    """Raise an error if a pump ended in the wrong way."""
    if end.reason == "status":
        raise FrevoError(sentence(end.code, 1))
    if end.reason not in ("done", "abandoned"):
        raise FrevoError(_REASONS.get(end.reason, f"the loop ended: {end.reason}"))


_REASONS = {
    "lost": "the connection to the server was lost",
    "data": "the server returned different data than was written",
    "eof": "a file ended early",
}


class EchoLoad(PumpLoad):
    """Like smb2.bench.echo. Needs a session, but no share."""

    parts: ClassVar[tuple[str, ...]] = ("echo",)
    classes: ClassVar[tuple[str, ...]] = ("echo",)
    needs_share: ClassVar[bool] = False

    def pumps_for(self, link: Link, operations: int) -> list[Pump]:
        """One pump."""
        tree = Tree(link.server.connection, link.server.session, "", encrypt=False)
        return [new_pump(tree, PumpSettings("echo", window=self.settings.qdepth, operations=operations))]


class OpenLoad(PumpLoad):
    """Like smb2.bench.path-contention-shared: every loop opens the URL's path for its attributes and closes it."""

    parts: ClassVar[tuple[str, ...]] = ("open", "close")
    classes: ClassVar[tuple[str, ...]] = ("create", "close")

    async def prepare(self) -> None:
        """Open the path once, so that a missing path fails early."""
        for link in self.links:
            path = link.files.base
            opened = await link.files.tree.create(_attributes_of(path), path)
            await link.files.tree.close(opened.file_id)

    def pumps_for(self, link: Link, operations: int) -> list[Pump]:
        """One pump."""
        body = _attributes_of(link.files.base).pack()
        settings = PumpSettings("open", bodies=[body], window=self.settings.qdepth, operations=operations)
        return [new_pump(link.files.tree, settings)]


def _attributes_of(path: str) -> CreateRequest:
    return requests.opening(path, int(FileAccess.READ_ATTRIBUTES))


class DataLoad(PumpLoad):
    """Read, write and both: an exclusive file for each loop, deleted on close."""

    kind: ClassVar[str]

    def __init__(self, settings: Settings, links: Sequence[Link]) -> None:
        super().__init__(settings, links)
        self._folders: dict[str, Folder] = {}
        self._files: dict[int, list[FileId]] = {}
        self._moving: list[tuple[Link, list[FileId], Pump]] = []
        self._length = settings.file_size or settings.io_size
        self._run = secrets.token_hex(4)

    async def prepare(self) -> None:
        """Create directories and files."""
        limit = largest(self.links, self.kind)
        if self.settings.io_size > limit:
            raise FrevoError(
                f"this server accepts {self.kind}s of at most {limit} bytes: use --io-size {limit} or less"
            )
        for link in self.links:
            folder = self._folders.get(link.target.url)
            if folder is None:
                folder = self._folders[link.target.url] = Folder(link, f"bench_{self.kind}_dir")
                await folder.make()
        await at_once(self._make_files(link) for link in self.links)

    async def _make_files(self, link: Link) -> None:
        files = self._files[link.number] = []
        for number in range(self.settings.qdepth):
            files.append(await self._make(link, self._folders[link.target.url], number))

    async def _make(self, link: Link, folder: Folder, number: int) -> FileId:
        loop = link.number * self.settings.qdepth + number
        name = f"{self._run}_loop_{loop}_conn_{link.number}_loop_{number}.dat"
        path = f"{folder.path}/{name}"
        disposition = int(CreateDisposition.CREATE)
        request = requests.opening(
            path, _READ_WRITE_DELETE, disposition=disposition, options=_FILE_OPTIONS, share_access=0
        )
        file_id = (await link.files.tree.create(request, path)).file_id
        data = FileEndOfFileInformation(self._length).pack()
        await link.files.tree.one(requests.set_file(FileInfoClass.END_OF_FILE, data, file_id), path)
        await _touch(link, file_id, path)
        return file_id

    def pumps_for(self, link: Link, operations: int) -> list[Pump]:
        """One pump for all files; one per file if the order matters."""
        files, settings = self._files[link.number], self.settings
        in_order = not settings.random and self._length > settings.io_size
        groups = [[file_id] for file_id in files] if in_order else [files]
        limits = divided(operations, len(groups)) if operations else [0] * len(groups)
        made = []
        for group, limit in zip(groups, limits, strict=True):
            if limit or not operations:
                made.append(self._new_pump(link, group, len(files) // len(groups), limit))
                self._moving.append((link, group, made[-1]))
        return made

    def _new_pump(self, link: Link, files: list[FileId], window: int, operations: int) -> Pump:
        settings = PumpSettings(
            self.kind,
            files=files,
            io_size=self.settings.io_size,
            window=window,
            length=self._length,
            read_percent=self.settings.reads,
            random=self.settings.random,
            loop=True,
            operations=operations,
            keep_going=True,
            verify=self.settings.verify and self.kind != "write",
        )
        return new_pump(link.files.tree, settings)

    async def _once(self, kind: str, link: Link, file_id: FileId, length: int) -> None:
        """Write the pattern to the first *length* bytes of a file, or compare them with it."""
        size = self.settings.io_size
        tree, verify = link.files.tree, kind == "read"
        settings = PumpSettings(kind, files=[file_id], io_size=size, window=8, length=length, verify=verify)
        pump = start_pump(tree, settings)
        try:
            _check(await pump.finished())
        except asyncio.CancelledError:
            await pump.abandon()
            raise

    async def fill(self) -> None:
        """Write every file once."""
        await at_once(
            self._once("write", link, file_id, self._length)
            for link in self.links
            for file_id in self._files[link.number]
        )

    async def _close_files(self, link: Link) -> None:
        for file_id in self._files.get(link.number, ()):
            with contextlib.suppress(OSError):
                await link.files.tree.close(file_id)

    async def clean(self) -> None:
        """Close the files, which deletes them, and remove the directories."""
        await at_once(self._close_files(link) for link in self.links)
        for folder in self._folders.values():
            await folder.remove()


class ReadLoad(DataLoad):
    """Like smb2.bench.read: the files contain no data unless it is to be verified. Or one existing file, shared."""

    kind: ClassVar[str] = "read"
    parts: ClassVar[tuple[str, ...]] = ("read",)
    classes: ClassVar[tuple[str, ...]] = ("read",)

    async def prepare(self) -> None:
        """Open the file in the URL; otherwise create files, and write them if needed."""
        link = self.links[0]
        known = await link.files.stat()
        if not known.is_dir():
            await self._open_all(known.size)
            return
        await super().prepare()
        if self.settings.verify:
            await self.fill()

    async def _open_all(self, size: int) -> None:
        self._length = min(size, self.settings.file_size or size)
        if self.settings.verify:
            raise FrevoError("--verify needs the bench's own files: give the URL of a directory")
        if self._length < self.settings.io_size:
            raise FrevoError(
                f"the file has {size} bytes, less than one request of {self.settings.io_size}: use a larger file"
            )
        await at_once(self._open(link) for link in self.links)

    async def _open(self, link: Link) -> None:
        path = link.files.base
        request = requests.opening(path, FILE_GENERIC_READ, options=requests.NOT_DIRECTORY)
        files = self._files[link.number] = []
        for _ in range(self.settings.qdepth):
            files.append((await link.files.tree.create(request, path)).file_id)
            await _touch(link, files[-1], path)


async def _touch(link: Link, file_id: FileId, path: str) -> None:
    """A first READ, which a server may answer in another way than all that follow: frevo's does.

    Of a thousand loops on a busy machine, these alone could take the time of a short run.
    """
    await read_bytes(link.files.tree, file_id, 0, 1, path)


class MixedLoad(DataLoad):
    """READs among WRITEs in the same files. If it is to be verified, the files are written first: reads then find what
    every write writes."""

    kind: ClassVar[str] = "mixed"
    parts: ClassVar[tuple[str, ...]] = ("read", "write")
    classes: ClassVar[tuple[str, ...]] = ("read", "write")

    async def prepare(self) -> None:
        """Create files, and write them once."""
        await super().prepare()
        await self.fill()


class WriteLoad(DataLoad):
    """Like smb2.bench.write; reads the data back if it is to be verified."""

    kind: ClassVar[str] = "write"
    parts: ClassVar[tuple[str, ...]] = ("write",)
    classes: ClassVar[tuple[str, ...]] = ("write",)

    @property
    def _scattered(self) -> bool:
        return self.settings.random and self._length > self.settings.io_size

    async def prepare(self) -> None:
        """Create files; for random offsets with verification, fill them first, so that everything can be compared."""
        await super().prepare()
        if self.settings.verify and self._scattered:
            await self.fill()

    async def check(self) -> None:
        """Read the data back."""
        for link, files, pump in self._moving:
            count = pump.statistics()["write"].operations
            for index, file_id in enumerate(files):
                writes = divided(count, len(files))[index]
                length = (
                    self._length if self._scattered else min(writes * self.settings.io_size, self._length)
                )
                if length:
                    await self._once("read", link, file_id, length)
