"""`frevo mv`: another name for a file or directory of a share."""

from __future__ import annotations

import argparse

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

_EXAMPLES = """\
  frevo mv smb://eve@nas/docs/a.txt smb://eve@nas/docs/b.txt
  frevo mv smb://eve@nas/docs/a.txt smb://eve@nas/docs/archive   into the directory archive
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo mv`."""
    parser = add_command(subparsers, "mv", "rename or move within a share", _EXAMPLES)
    parser.add_argument("source", metavar="URL", help="smb://host/share/path")
    parser.add_argument("target", metavar="URL", help="the new name, or a directory, on the same share")
    parser.add_argument("-n", "--no-replace", action="store_true", help="leave an existing file alone")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Renames."""

    async def work() -> int:
        from frevo.client.address import join

        source, target = remote.location(args.source), remote.location(args.target)
        if not remote.same_share(source, target):
            raise remote.UsageError("a rename stays on one share: use frevo cp, then frevo rm")
        async with remote.open_share(args, args.source) as share:
            path = target.path
            if await share.exists(path) and (await share.stat(path)).is_dir():
                path = join(path, source.path.rpartition("/")[2])
            await share.rename(source.path, path, replace=not args.no_replace)
        return 0

    return remote.run_async(work)
