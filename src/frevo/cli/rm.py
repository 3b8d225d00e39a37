"""`frevo rm`: removes files and directories on a share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares, expand, one_by_one

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo rm smb://eve@nas/docs/old.txt
  frevo rm 'smb://eve@nas/docs/*.tmp'       by wildcard, quoted to protect it from the local shell
  frevo rm -r smb://eve@nas/docs/drafts     a directory and everything in it

Exit code 1: some could not be removed (each is named); the rest was removed.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo rm`."""
    parser = add_command(subparsers, "rm", "remove files or directories on a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path; * and ? are wildcards")
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="remove directories with everything in them"
    )
    parser.add_argument("-f", "--force", action="store_true", help="no error if it does not exist")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Remove them one after the other."""

    async def removed(share: Share, path: str) -> None:
        await remove(share, path, recursive=args.recursive, force=args.force)

    async def work() -> int:
        found = []
        async with Shares(args) as shares:
            for url in args.urls:
                share, path = await shares.at(url)
                if not path:
                    raise UsageError(f"{url} is a whole share: add the path to remove")
                try:
                    found += [(share, one) for one in await expand(share, path)]
                except FileNotFoundError:
                    if not args.force:
                        raise
            return await one_by_one(found, removed)

    return remote.run_async(work)


async def remove(share: Share, path: str, *, recursive: bool, force: bool = False) -> None:
    """Remove a file, a link or an empty directory; with *recursive* a directory and everything in it; with *force*,
    ignore a missing one."""
    try:
        known = await share.stat(path, follow=False)
        if not known.is_dir() or known.is_symlink():
            await share.remove(path)
        elif recursive:
            await share.rmtree(path)
        else:
            await share.rmdir(path)
    except FileNotFoundError:
        if not force:
            raise
