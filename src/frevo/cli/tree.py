"""`frevo tree`: a directory of a share and everything below it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, printable

if TYPE_CHECKING:
    from frevo.client import DirEntry, Share

_EXAMPLES = """\
  frevo tree smb://eve@nas/photos            the whole share
  frevo tree -L 2 smb://eve@nas/photos/2026  two levels
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo tree`."""
    parser = add_command(subparsers, "tree", "show a directory of a share and all below it", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path")
    parser.add_argument("-L", "--level", type=int, metavar="N", default=1 << 30, help="so many levels deep")
    parser.add_argument("-d", "--directories", action="store_true", help="directories only")
    remote.add_connection_options(parser)


class _Counts:
    directories = files = 0


def run(args: argparse.Namespace) -> int:
    """Prints the tree as it is found."""

    async def work() -> int:
        place = remote.location(args.url)
        counts = _Counts()
        async with remote.open_share(args, args.url) as share:
            await share.stat(place.path)
            print(printable(str(place)))
            await _print(share, place.path, "", args, args.level, counts)
        print(f"\n{counts.directories} directories, {counts.files} files")
        return 0

    return remote.run_async(work)


async def _print(
    share: Share, path: str, indent: str, args: argparse.Namespace, levels: int, counts: _Counts
) -> None:
    from frevo.client.address import join

    if levels <= 0:
        return
    found: list[DirEntry] = [entry async for entry in share.scandir(path)]
    shown = sorted(
        (entry for entry in found if entry.is_dir() or not args.directories),
        key=lambda entry: entry.name.casefold(),
    )
    for index, entry in enumerate(shown):
        last = index == len(shown) - 1
        print(f"{indent}{'└── ' if last else '├── '}{printable(entry.name)}")
        if entry.is_dir() and not entry.is_symlink():
            counts.directories += 1
            inner = join(path, entry.name)
            await _print(share, inner, indent + ("    " if last else "│   "), args, levels - 1, counts)
        else:
            counts.files += 1
