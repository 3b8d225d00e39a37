"""A share that is a local folder: what transfers of whole files use of `Share`, without a server."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from frevo.client.share.listing import DirEntry
from frevo.client.tree.stat import Stat
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.fscc import DirectoryEntry
from frevo.wire.smb2 import FileAttributes


def attributes_of(path: Path) -> int:
    if path.is_symlink():
        return int(FileAttributes.REPARSE_POINT)
    return int(FileAttributes.DIRECTORY) if path.is_dir() else 0


def stat_of(path: Path) -> Stat:
    known = path.stat()
    time = from_unix_ns(known.st_mtime_ns)
    return Stat(known.st_size, attributes_of(path), time, time, time, time)


class LocalFile:
    """An open file. A copy ends after `share.cut_after` bytes, with `share.error` if there is one."""

    def __init__(self, share: LocalShare, path: Path, mode: str) -> None:
        self.share, self.path = share, str(path)
        if "a" in mode:  # as SMB has it: writes go where they say, not to the end
            path.touch()
        self._raw = path.open(mode.replace("a", "r"), buffering=0)
        if "a" in mode:
            self._raw.seek(0, os.SEEK_END)
        known = stat_of(path)
        self.opened = SimpleNamespace(end_of_file=known.size, last_write_time=known.last_write_time)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._raw.close()

    def tell(self) -> int:
        return self._raw.tell()

    async def size(self) -> int:
        return os.fstat(self._raw.fileno()).st_size

    async def truncate(self, size: int) -> int:
        os.ftruncate(self._raw.fileno(), size)
        return size

    async def preadinto(self, buffer: Any, offset: int) -> int:
        return os.preadv(self._raw.fileno(), [buffer], offset)

    def _copy(
        self, source: int, start: int, target: int, to: int, size: int, progress: Callable[[int], None]
    ) -> int:
        end = self.share.cut_after
        wanted = size if end is None else min(size, end)
        data = os.pread(source, wanted, start)
        os.pwrite(target, data, to)
        self.share.moved.append((start, len(data)))
        progress(len(data))
        if end is not None and self.share.error is not None:
            raise self.share.error
        return len(data)

    async def copy_to(
        self, fd: int, offset: int, size: int, *, local_offset: int, local: str, progress: Callable[[int], None]
    ) -> int:  # fmt: skip
        return self._copy(self._raw.fileno(), offset, fd, local_offset, size, progress)

    async def copy_from(
        self, fd: int, offset: int, size: int, *, local_offset: int, local: str, progress: Callable[[int], None]
    ) -> int:  # fmt: skip
        return self._copy(fd, local_offset, self._raw.fileno(), offset, size, progress)


class LocalShare:
    """The files below *root*."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.calls: list[str] = []
        self.moved: list[tuple[int, int]] = []  # (position, bytes) of each large copy
        self.cut_after: int | None = None
        self.error: Exception | None = None

    def at(self, path: str) -> Path:
        return self.root / path

    async def on_connection(self, index: int) -> None:
        return None

    async def stat(self, path: str) -> Stat:
        self.calls.append(f"stat {path}")
        return stat_of(self.at(path))

    async def walk(self, top: str, onerror: Callable[[str, OSError], object]) -> AsyncIterator[Any]:
        pending = [top]
        while pending:
            directory = pending.pop(0)
            try:
                found = sorted(self.at(directory).iterdir())
            except OSError as error:
                onerror(directory, error)
                continue
            entries = [self._entry(directory, path) for path in found]
            directories = [entry for entry in entries if entry.is_dir()]
            yield directory, directories, [entry for entry in entries if not entry.is_dir()]
            pending += [entry.path for entry in directories]

    @staticmethod
    def _entry(directory: str, path: Path) -> DirEntry:
        known = path.lstat()
        raw = DirectoryEntry(
            path.name,
            attributes_of(path),
            last_write_time=from_unix_ns(known.st_mtime_ns),
            end_of_file=known.st_size,
        )
        return DirEntry(path.name, directory, raw)

    def open(self, path: str, mode: str = "rb") -> LocalFile:
        return LocalFile(self, self.at(path), mode)

    async def read_small(self, path: str, size: int) -> bytes:
        self.calls.append(f"read_small {path}")
        return self.at(path).read_bytes()[:size]

    async def write_small(self, path: str, data: bytes, *, modified_ns: int | None = None) -> None:
        self.calls.append(f"write_small {path}")
        self.at(path).write_bytes(data)
        if modified_ns is not None:
            os.utime(self.at(path), ns=(modified_ns, modified_ns))

    async def makedirs(self, path: str, *, exist_ok: bool) -> None:
        self.calls.append(f"makedirs {path}")
        self.at(path).mkdir(parents=True, exist_ok=exist_ok)

    async def set_times(self, path: str, *, modified_ns: int) -> None:
        os.utime(self.at(path), ns=(modified_ns, modified_ns))

    async def rename(self, source: str, target: str, *, replace: bool) -> None:
        if not replace and self.at(target).exists():
            raise FileExistsError(errno.EEXIST, "exists", target)
        self.at(source).replace(self.at(target))

    async def remove(self, path: str) -> None:
        self.at(path).unlink()


class Report:
    """Adds up what a transfer reports."""

    def __init__(self) -> None:
        self.size = self.done = 0
        self.files: list[str] = []
        self.errors: list[tuple[str, str]] = []

    def found(self, size: int) -> None:
        self.size += size

    def advanced(self, size: int) -> None:
        self.done += size

    def finished(self, path: str) -> None:
        self.files.append(path)

    def failed(self, path: str, error: OSError) -> None:
        self.errors.append((path, str(error)))
