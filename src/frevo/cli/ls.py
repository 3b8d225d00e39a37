"""`frevo ls`: what is in a directory of a share."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, printable

if TYPE_CHECKING:
    from frevo.client.stat import Stat

_EXAMPLES = """\
  frevo ls smb://eve@nas/photos             names in the share's root
  frevo ls -l smb://eve@nas/photos/2026     with sizes and times
  frevo ls 'smb://eve@nas/photos/**/*.jpg'  names that match, in all directories below
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo ls`."""
    parser = add_command(subparsers, "ls", "list a directory of a share", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path; *, ?, [abc] and ** match names")
    parser.add_argument("-l", "--long", action="store_true", help="attributes, size and time of each")
    parser.add_argument("-H", "--human", action="store_true", help="sizes as 1.5 MiB")
    remote.add_json_option(parser)
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Lists; names go out as they come, so that large directories need no memory, except sorted on a terminal."""

    async def work() -> int:
        place = remote.location(args.url)
        async with remote.open_share(args, args.url) as share:
            found: list[tuple[str, Stat]] = []
            if any(letter in place.path for letter in "*?["):
                found = [(entry.path, entry.stat()) async for entry in share.glob(place.path)]
            else:
                known = await share.stat(place.path)
                if not known.is_dir():
                    found = [(place.path, known)]
                else:
                    found = [(entry.name, entry.stat()) async for entry in share.scandir(place.path)]
        found.sort(key=lambda item: item[0].casefold())
        if args.json:
            remote.print_json([remote.described(name, known) for name, known in found])
        else:
            lines = (_line(args, name, known) for name, known in found)
            sys.stdout.writelines(f"{line}\n" for line in lines)
        return 0

    return remote.run_async(work)


def _line(args: argparse.Namespace, name: str, known: Stat) -> str:
    name = printable(name).replace("\n", "?")
    shown = f"{name}/" if known.is_dir() else name
    if not args.long:
        return shown
    size = remote.human(known.size) if args.human else str(known.size)
    letters = remote.attribute_letters(known.attributes)
    return f"{letters:6} {size:>14} {remote.when(known.st_mtime)} {shown}"
