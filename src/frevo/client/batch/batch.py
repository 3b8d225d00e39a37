"""Files and whole folders up and down: parallel over files, resumable, small ones in one round trip."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat as modes
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from frevo.client.address import join
from frevo.client.batch import verify
from frevo.client.batch.local_file import read_file, write_new, write_over
from frevo.client.batch.parts import part_of, resumed_at, steps
from frevo.client.batch.pool import Pool
from frevo.client.errors import ConnectionLost
from frevo.client.lasting.retry import Attempts
from frevo.client.share.file import File, check_end
from frevo.client.share.share import Share
from frevo.client.transfer.small import SMALL_BYTES
from frevo.client.transfer.spread import SPREAD_BYTES
from frevo.client.tree.stat import Stat
from frevo.wire.dtyp.filetime import to_unix_ns

#: How many files are transferred at a time, and how many large ones among them.
PARALLEL = 32
_LARGE_AT_A_TIME = 4


class Report(Protocol):
    """Receives the progress of a transfer."""

    def found(self, size: int) -> None:
        """Another file, of *size* bytes, will be transferred."""

    def advanced(self, size: int) -> None:
        """*size* more bytes are done."""

    def finished(self, path: str) -> None:
        """One file is done."""

    def failed(self, path: str, error: OSError) -> None:
        """One file or directory failed; the rest continues."""


class Totals(msgspec.Struct):
    """What was done."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0
    errors: list[tuple[str, OSError]] = msgspec.field(default_factory=list)
    #: (source, SHA-256) of what was verified.
    digests: list[tuple[str, str]] = msgspec.field(default_factory=list)

    def add(self, other: Totals) -> None:
        """Adds the counts of *other*."""
        self.files += other.files
        self.bytes += other.bytes
        self.skipped += other.skipped
        self.errors += other.errors
        self.digests += other.digests

    def failed(self, path: str, error: OSError, report: Report) -> None:
        """Reports and counts the failure of one file; a lost connection is raised, as it ends the whole transfer."""
        if isinstance(error, ConnectionError):
            raise error
        self.errors.append((path, error))
        report.failed(path, error)


class Plan(msgspec.Struct):
    """How to transfer. update: leave out what is there with the same size and time. verify: compare by SHA-256."""

    recursive: bool = False
    update: bool = False
    parallel: int = PARALLEL
    verify: bool = False


_Job = tuple[str, str, int, int]  # from, to, size, time in ns
_Pairs = Sequence[tuple[str, str]]  # from, to
_Do = Callable[[Share, _Job, "Plan", Totals, Report], Awaitable[None]]


def part_name(name: str, size: int, modified_ns: int) -> str:
    """The name of an incomplete file. Each version of the source has its own, so that resuming never mixes two."""
    identity = f"{name}\0{size}\0{modified_ns // 1000}".encode(errors="surrogatepass")
    return f".frevo-{hashlib.sha256(identity).hexdigest()[:20]}.part"


class _Undoable:
    """The report of one file, whose progress can be taken back."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._done = 0
        self.found, self.finished, self.failed = report.found, report.finished, report.failed

    def advanced(self, size: int) -> None:
        """*size* more bytes are done."""
        self._done += size
        self._report.advanced(size)

    def take_back(self) -> int:
        """Reports that nothing is done; how many bytes were."""
        done = self._done
        self.advanced(-done)
        return done


async def _repeat(do: _Do, share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    """Does *job*, repeated as `lasting.retry` says; each attempt continues where the last one stopped."""
    undoable, attempts = _Undoable(report), Attempts()
    first: ConnectionLost | None = None
    while True:
        try:
            return await do(share, job, plan, totals, undoable)
        except ConnectionLost as error:
            if error.unsent:  # nothing was connected again: the first error says more
                raise first or error from None
            first = error
            if not attempts.again(error, undoable.take_back()):
                raise


async def run_batch(
    share: Share, jobs: AsyncIterator[_Job], do: _Do, plan: Plan, report: Report, totals: Totals,
    several: bool = False,
) -> Totals:  # fmt: skip
    """Does *jobs*, several at a time. A failure is reported and counted; a connection that stays lost ends them all.

    *do* gets *share*, or another connection to it when there are to be *several*.
    """
    large = asyncio.Semaphore(_LARGE_AT_A_TIME)

    async def one(other: Share, job: _Job) -> None:
        if job[2] > SMALL_BYTES:
            async with large:  # a very large file uses all connections by itself
                where = share if job[2] >= SPREAD_BYTES else other
                await _repeat(do, where, job, plan, totals, report)
            return
        try:
            await do(other, job, plan, totals, report)
        except ConnectionLost:
            await _repeat(do, other, job, plan, totals, report)

    def failed(job: _Job, error: OSError) -> None:
        totals.failed(job[0], error, report)

    async def found() -> AsyncIterator[_Job]:
        async for job in jobs:
            report.found(job[2])
            yield job

    try:
        await Pool(share, one, failed, plan.parallel, several).run(found())
    except ConnectionLost as error:
        error.strerror = f"{error.strerror}; run the same command again to resume"
        raise
    return totals


# -- down


async def download(share: Share, path: str, local: str, plan: Plan, report: Report) -> Totals:
    """Downloads *path* as *local*, which is the name of the file or folder to make."""
    return await download_all(share, [(path, local)], plan, report)


async def download_all(share: Share, pairs: _Pairs, plan: Plan, report: Report) -> Totals:
    """Downloads each (path, local) of *pairs*. What fails is listed in the totals' errors, and the rest is done.

    A lost connection is raised. After a cancellation the next download continues with the part files.
    """
    totals = Totals()
    jobs = _downloads(share, pairs, plan, report, totals)
    return await run_batch(share, jobs, _download_file, plan, report, totals, several=True)


async def _downloads(
    share: Share, pairs: _Pairs, plan: Plan, report: Report, totals: Totals
) -> AsyncIterator[_Job]:
    for path, local in pairs:
        try:
            found = await share.stat(path)
            if found.is_dir() and not plan.recursive:
                raise IsADirectoryError(errno.EISDIR, "it is a directory: use --recursive", path)
        except OSError as error:
            totals.failed(path, error, report)
            continue
        if found.is_dir():
            async for job in _downloads_below(share, path, local, report, totals):
                yield job
        else:
            yield path, local, found.size, found.st_mtime_ns


async def _downloads_below(
    share: Share, path: str, local: str, report: Report, totals: Totals
) -> AsyncIterator[_Job]:
    def problem(directory: str, error: OSError) -> None:
        totals.failed(directory, error, report)

    async for directory, directories, others in share.walk(path, onerror=problem):
        inner = directory[len(path.strip("/")) :].strip("/")
        folder = str(Path(local, inner))
        try:
            _make_folder(folder, below=bool(inner))
        except OSError as error:
            directories.clear()
            totals.failed(directory, error, report)
            continue
        seen = set[str]()
        for entry in others:
            if entry.is_file() and entry.name not in seen:
                seen.add(entry.name)
                known = entry.stat()
                target = f"{folder}/{entry.name}"
                yield join(directory, entry.name), target, known.size, known.st_mtime_ns


def _make_folder(folder: str, *, below: bool) -> None:
    """Makes a directory's folder. The server chose the name of one *below* the first: no link may lead it elsewhere."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except ValueError as error:  # a name that this system cannot have
        raise OSError(errno.EINVAL, str(error), folder) from None
    if below and Path(folder).is_symlink():
        text = (
            "it is a local symbolic link, which downloads do not follow: download this directory separately"
        )
        raise OSError(errno.EEXIST, text, folder)


async def _download_file(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    if plan.update and _same(target, size, modified) and await _verified(share, source, target, plan):
        totals.skipped += 1
        report.advanced(size)
        return
    if size < SMALL_BYTES and not plan.verify and await _download_small(share, job):
        report.advanced(size)
    else:
        await _download_large(share, job, plan, totals, report)
    totals.files += 1
    totals.bytes += size
    report.finished(source)


async def _download_small(share: Share, job: _Job) -> bool:
    """Returns False when the file has changed since it was listed."""
    source, target, size, modified = job
    data = await share.read_small(source, size + 1)
    if len(data) != size:
        return False
    try:
        _new(target, data, modified)
    except FileExistsError:
        write_over(target, _part_beside(Path(target), size, modified), data, modified)
    return True


def _new(target: str, data: bytes, modified_ns: int) -> None:
    """Makes a new file, and its folder if that is missing: folders are made when there is something to put in."""
    try:
        write_new(target, data, modified_ns)
    except FileNotFoundError:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        write_new(target, data, modified_ns)


def _part_beside(target: Path, size: int, modified_ns: int) -> str:
    """The name under which *target* is written until it is complete."""
    return str(target.with_name(part_name(target.name, size, modified_ns)))


async def _download_large(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    part = _part_beside(Path(target), size, modified)
    async with share.open(source) as file:  # first: if there is no source, nothing is made
        Path(part).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            await _stream_down(file, job, fd, report)
        except BaseException:
            if not os.fstat(fd).st_size:  # the next download could not continue with it
                Path(part).unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
    if plan.verify:
        totals.digests.append((source, await _verify_part(share, source, part)))
    os.utime(part, ns=(modified, modified))
    Path(part).replace(target)


async def _stream_down(file: File, job: _Job, fd: int, report: Report) -> None:
    _, _, size, modified = job
    local = str(Path(f"/proc/self/fd/{fd}").readlink())
    start = resumed_at(os.fstat(fd).st_size, size)
    if (file.opened.end_of_file, to_unix_ns(file.opened.last_write_time)) != (size, modified):
        start = 0  # the part is of another version
        os.ftruncate(fd, 0)
    report.advanced(start)
    more = max(size, file.opened.end_of_file) - start
    count = await file.copy_to(fd, start, more, local_offset=start, local=local, progress=steps(report))
    if count < more:
        await check_end(file, start + count)
    os.ftruncate(fd, start + count)  # the source has become shorter than the part


async def _verify_part(share: Share, source: str, part: str) -> str:
    """Compares, and removes a part that differs, so that the next download does not continue with it."""
    try:
        return await verify.compare(share, source, part)
    except verify.Mismatch:
        Path(part).unlink()
        raise


async def _verified(share: Share, path: str, local: str, plan: Plan) -> bool:
    """Whether two files that look the same are the same; only compared if the plan says so."""
    try:
        return not plan.verify or bool(await verify.compare(share, path, local))
    except verify.Mismatch:
        return False


def _same(path: str, size: int, modified_ns: int) -> bool:
    try:
        known = Path(path).stat()
    except OSError:
        return False
    return known.st_size == size and abs(known.st_mtime_ns - modified_ns) < 2_000_000_000


# -- up


async def upload(share: Share, local: str, path: str, plan: Plan, report: Report) -> Totals:
    """Uploads the local file or folder *local* as *path*."""
    return await upload_all(share, [(local, path)], plan, report)


async def upload_all(share: Share, pairs: _Pairs, plan: Plan, report: Report, folder: str = "") -> Totals:
    """Uploads each (local, path) of *pairs*; errors and cancellation as in `download_all`.

    *folder*: this directory on the share is made, once there is something to put into it.
    """
    totals = Totals()
    jobs = _uploads(share, pairs, plan, report, totals, folder)
    return await run_batch(share, jobs, _upload_file, plan, report, totals, several=True)


async def _uploads(
    share: Share, pairs: _Pairs, plan: Plan, report: Report, totals: Totals, folder: str
) -> AsyncIterator[_Job]:
    missing = folder
    for local, path in pairs:
        try:
            found = Path(local).stat()
            if modes.S_ISDIR(found.st_mode) and not plan.recursive:
                raise IsADirectoryError(errno.EISDIR, "it is a directory: use --recursive", local)
            if not modes.S_ISDIR(found.st_mode) and not modes.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is neither a file nor a directory", local)
            if modes.S_ISREG(found.st_mode):
                with Path(local).open("rb"):  # raises if it cannot be read
                    pass
            if missing:
                await share.makedirs(missing, exist_ok=True)
                missing = ""
        except OSError as error:
            totals.failed(local, error, report)
            continue
        if modes.S_ISDIR(found.st_mode):
            async for job in _uploads_below(share, local, path, report, totals):
                yield job
        else:
            yield local, path, found.st_size, found.st_mtime_ns


async def _uploads_below(
    share: Share, top: str, path: str, report: Report, totals: Totals
) -> AsyncIterator[_Job]:
    """The regular files below *top*, parents first, each after its directory was made; links are skipped."""
    pending = [(top, path)]
    while pending:
        folder, directory = pending.pop()
        try:
            with os.scandir(folder) as entries:
                known = sorted(entries, key=lambda entry: entry.name)
            if directory:
                await share.makedirs(directory, exist_ok=True)
        except OSError as error:
            totals.failed(folder, error, report)
            continue
        below = []
        for entry in known:
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append((entry.path, join(directory, sendable(entry.name))))
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat()
                    yield entry.path, join(directory, sendable(entry.name)), found.st_size, found.st_mtime_ns
            except OSError as error:
                totals.failed(entry.path, error, report)
        pending += reversed(below)


def sendable(name: str) -> str:
    """Returns *name* if a share can have a file of this name; OSError if it would get another name there."""
    bad = [letter for letter in "\\:" if letter in name]
    if bad:
        text = f"names on a share cannot contain {' or '.join(bad)}: rename it first"
        raise OSError(errno.EINVAL, text, name)
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise OSError(errno.EILSEQ, "the name is not UTF-8, but SMB requires Unicode: rename it first", name)
    return name


async def _upload_file(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    same = plan.update and await _same_there(share, target, size, modified)
    if same and await _verified(share, target, source, plan):
        totals.skipped += 1
        report.advanced(size)
        return
    if size < SMALL_BYTES and not plan.verify and await _upload_small(share, job):
        report.advanced(size)
    else:
        await _upload_large(share, job, plan, totals, report)
    totals.files += 1
    totals.bytes += size
    report.finished(source)


async def _upload_small(share: Share, job: _Job) -> bool:
    """Returns False when the file has changed since it was listed."""
    source, target, size, modified = job
    data = read_file(source, size + 1)
    if len(data) != size:
        return False
    await share.write_small(target, data, modified_ns=modified)
    return True


async def _upload_large(share: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    folder, _, name = target.rpartition("/")
    part = join(folder, part_name(name, size, modified))
    await _stream_up(share, source, part, size, report)
    if plan.verify:
        totals.digests.append((source, await _verify_there(share, part, source)))
    await share.set_times(part, modified_ns=modified)
    await share.rename(part, target, replace=True)


async def _verify_there(share: Share, part: str, source: str) -> str:
    try:
        return await verify.compare(share, part, source)
    except verify.Mismatch:
        await share.remove(part)
        raise


async def _stream_up(share: Share, source: str, part: str, size: int, report: Report) -> None:
    with Path(source).open("rb", buffering=0) as local:
        async with part_of(share, part) as file:
            found = file.tell()
            start = resumed_at(found, size)
            report.advanced(start)
            known = os.fstat(local.fileno()).st_size
            more = max(size, known) - start
            count = await file.copy_from(
                local.fileno(), start, more, local_offset=start, local=source, progress=steps(report)
            )
            if found > start + count:
                await file.truncate(start + count)


async def _same_there(share: Share, path: str, size: int, modified_ns: int) -> bool:
    try:
        known: Stat = await share.stat(path)
    except FileNotFoundError:
        return False
    return known.is_file() and known.size == size and abs(known.st_mtime_ns - modified_ns) < 2_000_000_000
