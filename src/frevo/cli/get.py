"""`frevo get`: downloads files and directories from a share."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares
from frevo.cli.progress import add_transfer_options, conclude, plan_of, reporter

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo get smb://eve@nas/docs/a.txt                  to the current directory
  frevo get smb://eve@nas/docs/a.txt b.txt            with another name
  frevo get 'smb://eve@nas/docs/*.pdf' ~/Documents    several files, by wildcard or name
  frevo get -r smb://eve@nas/photos/2026 ~/Pictures   a directory, several files in parallel
  frevo get -ru smb://eve@nas/photos ~/Pictures       only files that are new or changed
  frevo get --verify smb://eve@nas/iso/disk.img       compare SHA-256 of both sides afterwards

An interrupted download leaves `.frevo-….part` files; run the same command again to resume it.
--verify reads both sides again: the server's file over the connection, the local one from disk. A file that differs
does not get its final name. With --update, it also compares files that look unchanged, and transfers those that differ.
Exit code 1: some files failed (each is named); the rest was transferred.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo get`."""
    parser = add_command(subparsers, "get", "download files or directories from a share", _EXAMPLES)
    parser.usage = "frevo get [OPTION]... URL... [LOCAL]"
    text = (
        "smb://host/share/path (* and ? are wildcards); the last argument may be a local file or "
        "directory (.)"
    )
    parser.add_argument("locations", metavar="URL", nargs="+", help=text)
    add_transfer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Download."""
    urls, local = sources(args.locations)
    started = time.monotonic()

    async def work() -> int:
        from frevo.client import batch

        totals = batch.Totals()
        async with Shares(args) as shares:
            found = await shares.matching(urls)
            several = len(found) > 1 or any("*" in url or "?" in url for url in urls)
            with reporter(args) as report:
                for share, pairs in targets(found, local, several).items():
                    totals.add(await batch.download_all(share, pairs, plan_of(args), report))
        return conclude(args, totals, started)

    return remote.run_async(work)


def sources(locations: list[str]) -> tuple[list[str], str]:
    """The URLs and the local path after them; UsageError for other combinations."""
    urls, local = locations, "."
    if len(locations) > 1 and not remote.is_remote(locations[-1]):
        urls, local = locations[:-1], locations[-1]
    for url in urls:
        remote.location(url)
    return urls, local


def targets(found: list[tuple[Share, str]], local: str, several: bool) -> dict[Share, list[tuple[str, str]]]:
    """The target path of each of *found*, by share. Creates nothing yet."""
    destination = Path(local)
    inside = destination.is_dir() or local.endswith("/")
    if destination.exists() and not destination.is_dir() and not destination.is_file():
        raise UsageError(f"{local} is neither a file nor a directory: use frevo cat to write to it")
    if several and not inside:
        raise UsageError(f"{local} is not a directory: create it first, or write {local}/")
    pairs: dict[Share, list[tuple[str, str]]] = {}
    taken: set[str] = set()
    for share, path in found:
        name = path.rpartition("/")[2] or share.name
        target = os.fspath(destination / name if inside else destination)
        if inside and Path(target).is_symlink() and Path(target).is_dir():
            raise UsageError(
                f"{target} is a symbolic link to a directory; frevo does not follow it: remove it first"
            )
        if target in taken:
            raise UsageError(f"two of these files are called {name}: download them to different directories")
        taken.add(target)
        pairs.setdefault(share, []).append((path, target))
    return pairs
