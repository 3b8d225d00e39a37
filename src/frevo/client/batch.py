"""Files and whole folders up and down: parallel over files, resumable, small ones in one round trip."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat as modes
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from frevo.client.address import join
from frevo.client.share import Share
from frevo.client.stat import Stat

#: Files that are under way at a time.
PARALLEL = 12
#: Bytes between two looks at the progress; two such buffers a file.
_STEP_BYTES = 4 << 20


class Report(Protocol):
    """Who is told how far it came."""

    def found(self, size: int) -> None:
        """One more file will be transferred."""

    def advanced(self, size: int) -> None:
        """So many bytes more are done."""

    def finished(self, path: str) -> None:
        """One file is done."""

    def failed(self, path: str, error: OSError) -> None:
        """One file or directory failed; the others go on."""


@dataclass(slots=True)
class Totals:
    """What was done."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0
    errors: list[tuple[str, OSError]] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """How to transfer. update: leave out what is there with the same size and time."""

    recursive: bool = False
    update: bool = False
    parallel: int = PARALLEL


_Job = tuple[str, str, int, int]  # from, to, size, time in ns
_Do = Callable[[_Job, "Plan", Totals, Report], Awaitable[None]]


def part_name(name: str, size: int, modified_ns: int) -> str:
    """The name while it is incomplete: another version of the source gets another one, so resuming never mixes two."""
    identity = f"{name}\0{size}\0{modified_ns // 1000}".encode(errors="surrogatepass")
    return f".frevo-{hashlib.sha256(identity).hexdigest()[:20]}.part"


async def _run(jobs: AsyncIterator[_Job], do: _Do, plan: Plan, report: Report) -> Totals:
    """Does *jobs*, some at a time; one that fails is told and counted, a lost connection ends all."""
    totals = Totals()
    free = asyncio.Semaphore(plan.parallel)

    async def one(job: _Job) -> None:
        try:
            await do(job, plan, totals, report)
        except ConnectionError:
            raise
        except OSError as error:
            totals.errors.append((job[0], error))
            report.failed(job[0], error)
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        async for job in jobs:
            await free.acquire()
            report.found(job[2])
            group.create_task(one(job))
    return totals


async def run_batch(jobs: AsyncIterator[_Job], do: _Do, plan: Plan, report: Report) -> Totals:
    """`_run` with the first error of the group instead of the group."""
    try:
        return await _run(jobs, do, plan, report)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


# -- down


async def download(share: Share, path: str, local: str, plan: Plan, report: Report) -> Totals:
    """*path* to the local name *local* (a file, or the folder that is to be the copy)."""

    async def do(job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
        await _download_file(share, job, plan, totals, report)

    return await run_batch(_downloads(share, path, local, plan), do, plan, report)


async def _downloads(share: Share, path: str, local: str, plan: Plan) -> AsyncIterator[_Job]:
    found = await share.stat(path)
    if not found.is_dir():
        yield path, local, found.size, found.st_mtime_ns
        return
    if not plan.recursive:
        raise IsADirectoryError(21, "it is a directory: use --recursive", path)
    async for directory, _, others in share.walk(path):
        inner = directory[len(path.strip("/")) :].strip("/")
        folder = Path(local, inner)
        folder.mkdir(parents=True, exist_ok=True)
        for entry in others:
            if entry.is_file():
                known = entry.stat()
                yield join(directory, entry.name), str(folder / entry.name), known.size, known.st_mtime_ns


async def _download_file(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    place = Path(target)
    if plan.update and _same(place, size, modified):
        totals.skipped += 1
        report.advanced(size)
        return
    part = place.with_name(part_name(place.name, size, modified))
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        start = min(os.fstat(fd).st_size, size)
        report.advanced(start)
        if size <= 65536:
            data = await share.read_small(source, size)
            os.pwrite(fd, data, 0)
            report.advanced(len(data) - start)
        else:
            await _stream_down(share, source, fd, start, size, report)
    finally:
        os.close(fd)
    os.utime(part, ns=(modified, modified))
    part.replace(place)
    totals.files += 1
    totals.bytes += size
    report.finished(source)


async def _stream_down(share: Share, source: str, fd: int, start: int, size: int, report: Report) -> None:
    """One piece is on its way while the other is written."""
    buffers = [bytearray(min(_STEP_BYTES, size)), bytearray(min(_STEP_BYTES, size))]
    async with share.open(source) as file:
        pending: asyncio.Task[int] | None = None
        try:
            pending = asyncio.create_task(file.preadinto(buffers[0], start))
            position, index = start, 0
            while count := await pending:
                pending = asyncio.create_task(file.preadinto(buffers[1 - index], position + count))
                os.pwrite(fd, memoryview(buffers[index])[:count], position)
                position, index = position + count, 1 - index
                report.advanced(count)
        finally:
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.wait([pending])


def _same(place: Path, size: int, modified_ns: int) -> bool:
    try:
        known = place.stat()
    except OSError:
        return False
    return known.st_size == size and abs(known.st_mtime_ns - modified_ns) < 2_000_000_000


# -- up


async def upload(share: Share, local: str, path: str, plan: Plan, report: Report) -> Totals:
    """The local file or folder *local* to *path*."""

    async def do(job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
        await _upload_file(share, job, plan, totals, report)

    return await run_batch(_uploads(share, local, path, plan), do, plan, report)


async def _uploads(share: Share, local: str, path: str, plan: Plan) -> AsyncIterator[_Job]:
    found = Path(local).stat()
    if not modes.S_ISDIR(found.st_mode):
        yield local, path, found.st_size, found.st_mtime_ns
        return
    if not plan.recursive:
        raise IsADirectoryError(21, "it is a directory: use --recursive", local)
    for folder, files in _local_tree(local):
        inner = Path(folder).relative_to(local).as_posix()
        directory = path if inner == "." else join(path, inner)
        if directory:
            await share.makedirs(directory, exist_ok=True)
        for entry in files:
            known = entry.stat()
            yield entry.path, join(directory, entry.name), known.st_size, known.st_mtime_ns


def _local_tree(top: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """(folder, its regular files), parents first; links are left out."""
    pending = [top]
    while pending:
        folder = pending.pop()
        with os.scandir(folder) as entries:
            known = sorted(entries, key=lambda entry: entry.name)
        yield folder, [entry for entry in known if entry.is_file(follow_symlinks=False)]
        pending += [entry.path for entry in reversed(known) if entry.is_dir(follow_symlinks=False)]


async def _upload_file(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    if plan.update and await _same_there(share, target, size, modified):
        totals.skipped += 1
        report.advanced(size)
        return
    if size <= 65536:
        data = Path(source).read_bytes()
        await share.write_small(target, data[:65536], modified_ns=modified)
        report.advanced(len(data))
    else:
        folder, _, name = target.rpartition("/")
        part = join(folder, part_name(name, size, modified))
        await _stream_up(share, source, part, size, report)
        await share.set_times(part, modified_ns=modified)
        await share.rename(part, target, replace=True)
    totals.files += 1
    totals.bytes += size
    report.finished(source)


async def _stream_up(share: Share, source: str, part: str, size: int, report: Report) -> None:
    buffers = [bytearray(min(_STEP_BYTES, size)), bytearray(min(_STEP_BYTES, size))]
    pending: asyncio.Task[int] | None = None
    with Path(source).open("rb", buffering=0) as local:
        async with share.open(part, "a+b") as file:
            position, index = min(file.tell(), size), 0
            report.advanced(position)
            local.seek(position)
            try:
                while count := local.readinto(buffers[index]):
                    if pending is not None:
                        report.advanced(await pending)
                    data = memoryview(buffers[index])[:count]
                    pending = asyncio.create_task(file.pwrite(data, position))
                    await asyncio.sleep(0)  # it sends before the next piece is read
                    position, index = position + count, 1 - index
                if pending is not None:
                    report.advanced(await pending)
            finally:
                if pending is not None and not pending.done():
                    pending.cancel()
                    await asyncio.wait([pending])
            if position != size:
                await file.truncate(position)


async def _same_there(share: Share, path: str, size: int, modified_ns: int) -> bool:
    try:
        known: Stat = await share.stat(path)
    except FileNotFoundError:
        return False
    return known.is_file() and known.size == size and abs(known.st_mtime_ns - modified_ns) < 2_000_000_000
