"""`frevo mkdir`: creates directories on a share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares, one_by_one

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo mkdir smb://eve@nas/photos/2026
  frevo mkdir -p smb://eve@nas/photos/2026/11/23
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo mkdir`."""
    parser = add_command(subparsers, "mkdir", "create directories on a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path")
    parser.add_argument(
        "-p",
        "--parents",
        action="store_true",
        help="create parent directories too; no error if the directory exists",
    )
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Create them one after the other."""

    async def made(share: Share, path: str) -> None:
        if args.parents:
            await share.makedirs(path, exist_ok=True)
        else:
            await share.mkdir(path)

    async def work() -> int:
        async with Shares(args) as shares:
            found = [await shares.at(url) for url in args.urls]
            if not all(path for _, path in found):
                raise UsageError("cannot create a share: give a directory in one")
            return await one_by_one(found, made)

    return remote.run_async(work)
