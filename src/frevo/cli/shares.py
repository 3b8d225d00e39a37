"""`frevo shares`: lists a server's shares."""

from __future__ import annotations

import argparse

from msgspec.structs import asdict

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, one_line

_EXAMPLES = """\
  frevo shares smb://eve@nas              the server's shares
  frevo shares smb://eve@nas --all        also administrative shares such as IPC$
  frevo shares smb://nas --guest --json   for programs
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo shares`."""
    parser = add_command(subparsers, "shares", "list a server's shares", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host")
    parser.add_argument("-a", "--all", action="store_true", help="include administrative shares")
    remote.add_json_option(parser)
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """List the shares."""

    async def work() -> int:
        async with remote.open_server(args, args.url) as server:
            found = [one for one in await server.shares() if args.all or not one.special]
        if args.json:
            remote.print_json([asdict(one) for one in found])
            return 0
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            print(one_line(f"{one.name:{width}}  {one.kind:8}{one.comment}".rstrip()))
        return 0

    return remote.run_async(work)
