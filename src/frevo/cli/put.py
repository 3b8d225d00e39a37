"""`frevo put`: uploads files and directories to a share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares, is_directory
from frevo.cli.progress import add_transfer_options, conclude, plan_of, reporter

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo put report.pdf smb://eve@nas/docs             into the directory docs
  frevo put report.pdf smb://eve@nas/docs/final.pdf   with another name
  frevo put *.pdf smb://eve@nas/docs/2026/            several files; the slash creates the directory if needed
  frevo put -r ~/Pictures smb://eve@nas/photos        a directory, several files in parallel
  frevo put -ru ~/Pictures smb://eve@nas/photos       only files that are new or changed
  frevo put --verify disk.img smb://eve@nas/iso       compare SHA-256 of both sides afterwards

An interrupted upload leaves `.frevo-….part` files; run the same command again to resume it.
--verify reads both sides again: the local file from disk, the server's file over the connection. With --update, it also
compares files that look unchanged, and transfers those that differ.
Exit code 1: some files failed (each is named); the rest was transferred.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo put`."""
    parser = add_command(subparsers, "put", "upload files or directories to a share", _EXAMPLES)
    parser.usage = "frevo put [OPTION]... LOCAL... URL"
    parser.add_argument("locals", metavar="LOCAL", nargs="+", help="local file or directory")
    parser.add_argument("url", metavar="URL", help="smb://host/share/path: the new name, or a directory")
    add_transfer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Upload."""
    remote.location(args.url)
    for local in args.locals:
        Path(local).lstat()
    started = time.monotonic()

    async def work() -> int:
        from frevo.client import batch

        async with Shares(args) as shares:
            share, path = await shares.at(args.url)
            pairs = await targets(share, args.locals, path, args.url.endswith(("/", "\\")))
            with reporter(args) as report:
                folder = path if args.url.endswith(("/", "\\")) else ""
                totals = await batch.upload_all(share, pairs, plan_of(args), report, folder=folder)
        return conclude(args, totals, started)

    return remote.run_async(work)


async def targets(share: Share, sources: Sequence[str], path: str, slash: bool) -> list[tuple[str, str]]:
    """Where each of *sources* goes: into the directory *path*, which need not be there when it ends in a *slash*, or
    under this name. Nothing is made yet."""
    from frevo.client.address import join
    from frevo.client.batch import sendable

    if path and not slash and not await is_directory(share, path):
        if len(sources) > 1:
            raise UsageError(f"{path} is not a directory on the share: create it first, or write {path}/")
        return [(sources[0], path)]
    pairs = []
    for source in sources:
        name = Path(source).name
        name = Path(source).resolve().name if name in ("", "..") else name
        if not name:
            raise UsageError(f"{source} has no name: give its name on the share")
        pairs.append((source, join(path, sendable(name))))
    if len({target.casefold() for _, target in pairs}) < len(pairs):
        raise UsageError("two of these files have the same name: upload them to different directories")
    return pairs
