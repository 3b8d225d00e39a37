"""`frevo mv`: renames files or directories on a share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command
from frevo.cli.open_shares import Shares, one_by_one

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo mv smb://eve@nas/docs/a.txt smb://eve@nas/docs/b.txt
  frevo mv smb://eve@nas/docs/a.txt smb://eve@nas/docs/archive   into the directory archive
  frevo mv 'smb://eve@nas/docs/*.old' smb://eve@nas/docs/archive several
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo mv`."""
    parser = add_command(subparsers, "mv", "rename or move within a share", _EXAMPLES)
    parser.add_argument(
        "sources", metavar="URL", nargs="+", help="smb://host/share/path; * and ? are wildcards"
    )
    parser.add_argument("target", metavar="TARGET", help="the new name, or a directory, on the same share")
    parser.add_argument("-n", "--no-replace", action="store_true", help="do not replace an existing file")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Rename."""
    target = remote.location(args.target)
    for url in args.sources:
        if not remote.same_share(remote.location(url), target):
            raise UsageError("cannot rename across shares: use frevo cp, then frevo rm")

    async def work() -> int:
        from frevo.client.address import join

        async with Shares(args) as shares:
            found = await shares.matching(args.sources)
            _, to, inside = await shares.destination(args.target, len(found) > 1)

            async def renamed(share: Share, path: str) -> None:
                destination = join(to, path.rpartition("/")[2]) if inside else to
                try:
                    await share.rename(path, destination, replace=not args.no_replace)
                except FileExistsError as error:
                    error.strerror = f"{destination}: {error.strerror}"
                    raise

            return await one_by_one(found, renamed)

    return remote.run_async(work)
