"""`frevo watch`: prints changes in a directory on a share as they happen."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, one_line
from frevo.text import json_text

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo watch smb://eve@nas/docs               until Ctrl-C
  frevo watch -r smb://eve@nas/docs/inbox      with all subdirectories
  frevo watch --json --count 1 smb://nas/in    wait for one change; a JSON object per line
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo watch`."""
    parser = add_command(subparsers, "watch", "print changes in a directory", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/directory")
    parser.add_argument("-r", "--recursive", action="store_true", help="include subdirectories")
    parser.add_argument("--count", type=_count, metavar="N", help="stop after N changes")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Watch until interrupted, until the directory disappears, or until there were enough changes."""

    async def work() -> int:
        location = remote.location(args.url)
        async with remote.open_share(args, args.url) as share:
            await show(share, location.path, recursive=args.recursive, form_json=args.json, count=args.count)
        return 0

    return remote.run_async(work)


async def show(
    share: Share, path: str, *, recursive: bool, form_json: bool = False, count: int | None = None
) -> None:
    """Print changes until there were *count*, or until the directory disappears."""
    seen = 0
    async for change in share.watch(path, recursive=recursive):
        if form_json:
            line = json_text({"action": change.action, "path": change.path})
        else:
            line = one_line(f"{change.action:12} {change.path}")
        print(line, flush=True)
        seen += 1
        if count is not None and seen >= count:
            break


def _count(text: str) -> int:
    """A positive number of the command line."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of changes (1 or more)")
    return number
