"""`frevo cat`: the contents of files on standard output."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command
from frevo.cli.open_shares import Shares, one_by_one

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo cat smb://eve@nas/docs/notes.txt
  frevo cat 'smb://eve@nas/logs/2026-11-*.log' | grep error
  frevo cat smb://eve@nas/backup/home.tar | tar t
"""
_PIECE_BYTES = 4 << 20


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo cat`."""
    parser = add_command(subparsers, "cat", "print files on a share", _EXAMPLES)
    parser.add_argument("urls", metavar="URL", nargs="+", help="smb://host/share/path; * and ? are wildcards")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the files one after the other."""

    async def work() -> int:
        async with Shares(args) as shares:
            return await one_by_one(await shares.matching(args.urls), print_file)

    return remote.run_async(work)


async def print_file(share: Share, path: str) -> None:
    """Print the raw contents of one file."""
    out = sys.stdout.buffer
    sys.stdout.flush()
    async with share.open(path) as file:
        buffer = bytearray(max(1, min(_PIECE_BYTES, file.opened.end_of_file)))
        while count := await file.readinto(buffer):
            piece = memoryview(buffer)[:count]
            while piece:  # with PYTHONUNBUFFERED a write may take a part
                piece = piece[out.write(piece) :]
    out.flush()
