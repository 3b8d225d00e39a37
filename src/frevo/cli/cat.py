"""`frevo cat`: the contents of files on standard output."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo cat smb://eve@nas/docs/notes.txt
  frevo cat smb://eve@nas/backup/home.tar | tar t
"""
_PIECE_BYTES = 4 << 20


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo cat`."""
    parser = add_command(subparsers, "cat", "print files of a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints them one after the other."""

    async def work() -> int:
        for url in args.urls:
            async with remote.open_share(args, url) as share:
                await _print(share, remote.location(url).path)
        return 0

    return remote.run_async(work)


async def _print(share: Share, path: str) -> None:
    out = sys.stdout.buffer
    sys.stdout.flush()
    buffer = bytearray(_PIECE_BYTES)
    async with share.open(path) as file:
        while count := await file.readinto(buffer):
            out.write(memoryview(buffer)[:count])
    out.flush()
