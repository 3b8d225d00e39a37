"""`frevo mkdir`: new directories on a share."""

from __future__ import annotations

import argparse

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

_EXAMPLES = """\
  frevo mkdir smb://eve@nas/photos/2026
  frevo mkdir -p smb://eve@nas/photos/2026/11/23
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo mkdir`."""
    parser = add_command(subparsers, "mkdir", "make directories on a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path")
    parser.add_argument(
        "-p", "--parents", action="store_true", help="those above it too; no error when it is there"
    )
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Makes them one after the other."""

    async def work() -> int:
        for url in args.urls:
            async with remote.open_share(args, url) as share:
                path = remote.location(url).path
                if args.parents:
                    await share.makedirs(path, exist_ok=True)
                else:
                    await share.mkdir(path)
        return 0

    return remote.run_async(work)
