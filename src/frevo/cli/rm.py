"""`frevo rm`: removes files and directories of a share."""

from __future__ import annotations

import argparse

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

_EXAMPLES = """\
  frevo rm smb://eve@nas/docs/old.txt
  frevo rm -r smb://eve@nas/docs/drafts     a directory and everything in it
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo rm`."""
    parser = add_command(subparsers, "rm", "remove files or directories of a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path")
    parser.add_argument("-r", "--recursive", action="store_true", help="directories with all that is in them")
    parser.add_argument("-f", "--force", action="store_true", help="no error for what is not there")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Removes them one after the other."""

    async def work() -> int:
        for url in args.urls:
            path = remote.location(url).path
            if not path:
                raise remote.UsageError(f"{url} is a whole share: name what to remove in it")
            async with remote.open_share(args, url) as share:
                try:
                    known = await share.stat(path, follow=False)
                except FileNotFoundError:
                    if args.force:
                        continue
                    raise
                if not known.is_dir() or known.is_symlink():
                    await share.remove(path)
                elif args.recursive:
                    await share.rmtree(path)
                else:
                    await share.rmdir(path)
        return 0

    return remote.run_async(work)
