"""`frevo umount`: ends a `frevo mount`."""

from __future__ import annotations

import argparse

from frevo.cli.common import Subparsers, add_command

_EXAMPLES = """\
  frevo umount ~/photos
  frevo umount --lazy ~/photos      even if programs are using it; they will get errors
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo umount`."""
    parser = add_command(subparsers, "umount", "unmount a share", _EXAMPLES)
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--lazy", action="store_true", help="unmount even if in use")


def run(args: argparse.Namespace) -> int:
    """Unmount; returns when everything written is on the server, because close() has waited for it."""
    from frevo.fuse import mounting

    mounting.unmount(args.directory, lazy=args.lazy)
    return 0
