"""`frevo cp`: copies files between shares; on one server, the server itself copies."""

from __future__ import annotations

import argparse
import errno
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares
from frevo.cli.progress import add_transfer_options, conclude, plan_of, reporter

if TYPE_CHECKING:
    from frevo.client import Share
    from frevo.client.batch import Plan, Report, Totals
    from frevo.client.share.file import File

_EXAMPLES = """\
  frevo cp smb://eve@nas/docs/a.txt smb://eve@nas/docs/b.txt    copied by the server itself
  frevo cp smb://eve@nas/docs/a.txt smb://eve@other/docs        to another server
  frevo cp 'smb://eve@nas/docs/*.txt' smb://eve@nas/docs/old    several files into a directory
  frevo cp -r smb://eve@nas/docs/2025 smb://eve@nas/docs/copy   a directory and everything in it

--verify reads the source and the copy back and compares their SHA-256.
Exit code 1: some files failed (each is named); the rest was copied.
"""
_PIECE_BYTES = 8 << 20
_Job = tuple[str, str, int, int]


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo cp`."""
    parser = add_command(subparsers, "cp", "copy from share to share", _EXAMPLES)
    parser.add_argument(
        "sources", metavar="URL", nargs="+", help="smb://host/share/path; * and ? are wildcards"
    )
    parser.add_argument(
        "target", metavar="TARGET", help="smb://host/share/path: the new name, or a directory"
    )
    parser.add_argument("-n", "--no-replace", action="store_true", help="do not replace existing files")
    add_transfer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Copies."""
    for url in (*args.sources, args.target):
        remote.location(url)
    started = time.monotonic()

    async def work() -> int:
        from frevo.client.address import join
        from frevo.client.batch import Totals

        totals = Totals()
        async with Shares(args) as shares:
            found = await shares.matching(args.sources)
            target, to, inside = await shares.destination(args.target, len(found) > 1)
            with reporter(args) as report:
                for share, path in found:
                    destination = join(to, path.rpartition("/")[2] or share.name) if inside else to
                    copying = _Copying(share, target, args.no_replace, plan_of(args), report, totals)
                    await copying.run(path, destination)
        return conclude(args, totals, started)

    return remote.run_async(work)


class _Copying:
    """One source with everything in it."""

    def __init__(
        self, source: Share, target: Share, keep: bool, plan: Plan, report: Report, totals: Totals
    ) -> None:
        self._source, self._target = source, target
        self._keep, self._plan, self._report, self._totals = keep, plan, report, totals

    async def run(self, path: str, to: str) -> None:
        """Copy; reports and counts failures."""
        from frevo.client.batch import run_batch

        jobs = self._jobs(path, to)
        await run_batch(self._source, jobs, self._one, self._plan, self._report, self._totals)

    async def _jobs(self, path: str, to: str) -> AsyncIterator[_Job]:
        from frevo.client.address import join

        try:
            found = await self._source.stat(path)
            if found.is_dir() and not self._plan.recursive:
                raise UsageError(f"{path or self._source.name} is a directory: use --recursive")
        except OSError as error:
            self._totals.failed(path, error, self._report)
            return
        if not found.is_dir():
            yield path, to, found.size, found.st_mtime_ns
            return
        if self._source is self._target and f"{to}/".casefold().startswith(f"{path}/".casefold()):
            raise UsageError("a directory cannot be copied into itself")
        async for directory, directories, others in self._source.walk(path, onerror=self._problem):
            folder = join(to, directory[len(path) :].strip("/")) if directory != path else to
            try:
                await self._target.makedirs(folder, exist_ok=True)
            except OSError as error:
                directories.clear()
                self._problem(directory, error)
                continue
            for entry in others:
                known, name = entry.stat(), entry.name
                yield join(directory, name), join(folder, name), known.size, known.st_mtime_ns

    def _problem(self, path: str, error: OSError) -> None:
        self._totals.failed(path, error, self._report)

    async def _one(self, _: Share, job: _Job, plan: Plan, totals: Totals, report: Report) -> None:
        path, to, size, modified = job
        if await self._is_there(to, size, modified):
            totals.skipped += 1
            report.advanced(size)
            return
        if self._source is self._target:
            await self._source.copy(path, to, overwrite=not self._keep)
            report.advanced(size)
        else:
            await self._through_here(path, to, size, modified, report)
        if plan.verify:
            from frevo.client.batch.verify import compare_remote

            digest = await compare_remote(self._source, path, self._target, to)
            totals.digests.append((path, digest))
        await self._target.set_times(to, modified_ns=modified)  # so that --update knows it the next time
        totals.files += 1
        totals.bytes += size
        report.finished(path)

    async def _is_there(self, to: str, size: int, modified_ns: int) -> bool:
        if not self._keep and not self._plan.update:
            return False
        try:
            known = await self._target.stat(to)
        except FileNotFoundError:
            return False
        same = known.size == size and abs(known.st_mtime_ns - modified_ns) < 2_000_000_000
        return self._keep or same

    async def _refuse_itself(self, path: str, to: str) -> None:
        """Refuse to copy a file onto itself: a share may have two names, and opening the target empties it."""
        try:
            known, there = await self._source.stat(path), await self._target.stat(to)
        except FileNotFoundError:
            return
        if replace(known, last_access_time=0) == replace(there, last_access_time=0) and known.file_id:
            raise OSError(errno.EINVAL, "source and target are the same file", path)

    async def _through_here(self, path: str, to: str, size: int, modified_ns: int, report: Report) -> None:
        """The copy gets its name when it is complete; a failed one leaves nothing, and keeps an existing file."""
        from frevo.client.address import join
        from frevo.client.batch import part_name

        await self._refuse_itself(path, to)
        folder, _, name = to.rpartition("/")
        part = join(folder, part_name(name, size, modified_ns))
        async with self._source.open(path) as read:
            try:
                await self._written(read, part, report)
                await self._target.rename(part, to, replace=not self._keep)
            except BaseException:
                with suppress(OSError):
                    await self._target.remove(part)
                raise

    async def _written(self, read: File, part: str, report: Report) -> None:
        async with self._target.open(part, "wb") as write:
            buffer = bytearray(max(1, min(_PIECE_BYTES, read.opened.end_of_file)))
            while count := await read.readinto(buffer):
                await write.write(memoryview(buffer)[:count])
                report.advanced(count)
