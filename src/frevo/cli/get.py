"""`frevo get`: files and directories of a share to this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command
from frevo.cli.progress import add_transfer_options, conclude, reporter

_EXAMPLES = """\
  frevo get smb://eve@nas/docs/a.txt                  to the current directory
  frevo get smb://eve@nas/docs/a.txt b.txt            under another name
  frevo get -r smb://eve@nas/photos/2026 ~/Pictures   a directory, several files at a time
  frevo get -ru smb://eve@nas/photos ~/Pictures       only what is new

A download that was interrupted leaves `.frevo-….part` files; the same command again goes on where it stopped.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo get`."""
    parser = add_command(subparsers, "get", "download files or directories from a share", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path")
    parser.add_argument("local", metavar="LOCAL", nargs="?", default=".", help="file or directory (.)")
    add_transfer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Downloads."""

    async def work() -> int:
        from frevo.client import batch

        place = remote.location(args.url)
        name = place.path.rpartition("/")[2] or place.share
        local = Path(args.local)
        if local.is_dir() or args.local.endswith("/"):
            local = local / name
        local.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        plan = batch.Plan(args.recursive, args.update, args.parallel or batch.PARALLEL)
        async with remote.open_share(args, args.url) as share:
            with reporter(args) as report:
                totals = await batch.download(share, place.path, str(local), plan, report)
        return conclude(args, totals, started)

    return remote.run_async(work)
