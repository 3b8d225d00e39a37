"""`frevo put`: files and directories of this machine to a share."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command
from frevo.cli.progress import add_transfer_options, conclude, reporter

_EXAMPLES = """\
  frevo put report.pdf smb://eve@nas/docs             into the directory docs
  frevo put report.pdf smb://eve@nas/docs/final.pdf   under another name
  frevo put -r ~/Pictures smb://eve@nas/photos        a directory, several files at a time
  frevo put -ru ~/Pictures smb://eve@nas/photos       only what is new

An upload that was interrupted leaves `.frevo-….part` files; the same command again goes on where it stopped.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo put`."""
    parser = add_command(subparsers, "put", "upload files or directories to a share", _EXAMPLES)
    parser.add_argument("local", metavar="LOCAL", help="file or directory of this machine")
    parser.add_argument("url", metavar="URL", help="smb://host/share/path: the new name, or a directory")
    add_transfer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Uploads."""

    async def work() -> int:
        from frevo.client import batch
        from frevo.client.address import join

        place = remote.location(args.url)
        local = Path(args.local)
        local.stat()
        started = time.monotonic()
        plan = batch.Plan(args.recursive, args.update, args.parallel or batch.PARALLEL)
        async with remote.open_share(args, args.url) as share:
            path = place.path
            if not path or (await share.exists(path) and (await share.stat(path)).is_dir()):
                path = join(path, local.resolve().name)
            with reporter(args) as report:
                totals = await batch.upload(share, args.local, path, plan, report)
        return conclude(args, totals, started)

    return remote.run_async(work)
