"""Local files and folders to a share, resumable; small files take one round trip."""

from __future__ import annotations

import errno
import os
import stat as modes
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
from frevo.client.batch.local_file import read_file
from frevo.client.batch.parts import part_of, resumed_at, steps
from frevo.client.share.share import Share
from frevo.client.transfer.small import SMALL_BYTES
from frevo.client.tree.stat import Stat


async def upload(share: Share, local: str, path: str, plan: Plan, report: Report) -> Totals:
    """Uploads the local file or folder *local* as *path*."""
    return await upload_all(share, [(local, path)], plan, report)


async def upload_all(share: Share, pairs: Pairs, plan: Plan, report: Report, folder: str = "") -> Totals:
    """Uploads each (local, path) of *pairs*; errors and cancellation as in `download_all`.

    *folder*: this directory on the share is made, once there is something to put into it.
    """
    totals = Totals()
    jobs = _uploads(share, pairs, plan, report, totals, folder)
    return await run_batch(share, jobs, _upload_file, plan, report, totals, several=True)


async def _uploads(
    share: Share, pairs: Pairs, plan: Plan, report: Report, totals: Totals, folder: str
) -> AsyncIterator[Job]:
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
) -> AsyncIterator[Job]:
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


async def _upload_file(share: Share, job: Job, plan: Plan, totals: Totals, report: Report) -> None:
    source, target, size, modified = job
    same = plan.update and await _same_there(share, target, size, modified)
    if same and await same_content(share, target, source, plan):
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


async def _upload_small(share: Share, job: Job) -> bool:
    """Returns False when the file has changed since it was listed."""
    source, target, size, modified = job
    data = read_file(source, size + 1)
    if len(data) != size:
        return False
    await share.write_small(target, data, modified_ns=modified)
    return True


async def _upload_large(share: Share, job: Job, plan: Plan, totals: Totals, report: Report) -> None:
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
    return known.is_file() and known.size == size and abs(known.st_mtime_ns - modified_ns) < TIME_TOLERANCE_NS
