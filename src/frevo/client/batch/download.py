"""Files and folders from a share to local folders, resumable; small files take one round trip."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

from frevo.client.address import join
from frevo.client.batch import verify
from frevo.client.batch.jobs import (
    TIME_TOLERANCE_NS,
    Job,
    Pairs,
    Plan,
    Report,
    Totals,
    part_name,
    run_batch,
    same_content,
)
from frevo.client.batch.local_file import write_new, write_over
from frevo.client.batch.parts import resumed_at, steps
from frevo.client.share.file import File, check_end
from frevo.client.share.share import Share
from frevo.client.transfer.small import SMALL_BYTES
from frevo.wire.dtyp.filetime import to_unix_ns


async def download(share: Share, path: str, local: str, plan: Plan, report: Report) -> Totals:
    """Downloads *path* as *local*, which is the name of the file or folder to make."""
    return await download_all(share, [(path, local)], plan, report)


async def download_all(share: Share, pairs: Pairs, plan: Plan, report: Report) -> Totals:
    """Downloads each (path, local) of *pairs*. What fails is listed in the totals' errors, and the rest is done.

    A lost connection is raised. After a cancellation the next download continues with the part files.
    """
    totals = Totals()
    jobs = _downloads(share, pairs, plan, report, totals)
    return await run_batch(share, jobs, _download_file, plan, report, totals, several=True)


async def _downloads(
    share: Share, pairs: Pairs, plan: Plan, report: Report, totals: Totals
) -> AsyncIterator[Job]:
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
) -> AsyncIterator[Job]:
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


async def _download_file(share: Share, job: Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    if plan.update and _same(target, size, modified) and await same_content(share, source, target, plan):
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


async def _download_small(share: Share, job: Job) -> bool:
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


async def _download_large(share: Share, job: Job, plan: Plan, totals: Totals, report: Report) -> None:
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


async def _stream_down(file: File, job: Job, fd: int, report: Report) -> None:
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


def _same(path: str, size: int, modified_ns: int) -> bool:
    try:
        known = Path(path).stat()
    except OSError:
        return False
    return known.st_size == size and abs(known.st_mtime_ns - modified_ns) < TIME_TOLERANCE_NS
