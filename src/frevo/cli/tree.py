"""`frevo tree`: shows a directory tree on a share."""

from __future__ import annotations

import argparse
import errno
from contextlib import aclosing
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, one_line
from frevo.cli.ls import SORTED_MAX

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo tree smb://eve@nas/photos            the whole share
  frevo tree -L 2 smb://eve@nas/photos/2026  two levels

Directories with more than 10,000 entries are not sorted: files come first, in the server's order.
"""


#: No file system of people is deeper, and a server that makes up directories comes to an end.
_LEVELS_MAX = 400


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo tree`."""
    parser = add_command(subparsers, "tree", "show a directory tree on a share", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path")
    parser.add_argument(
        "-L", "--level", type=_levels, metavar="N", default=_LEVELS_MAX, help="show at most N levels"
    )
    parser.add_argument("-d", "--directories", action="store_true", help="show directories only")
    remote.add_connection_options(parser)


class _Counts:
    directories = files = failed = 0


def run(args: argparse.Namespace) -> int:
    """Print the tree as it is read."""

    async def work() -> int:
        location = remote.location(args.url)
        async with remote.open_share(args, args.url) as share:
            return await show(share, location.path, one_line(str(location)), args.level, args.directories)

    return remote.run_async(work)


async def show(
    share: Share, path: str, title: str, levels: int = _LEVELS_MAX, directories: bool = False
) -> int:
    """Print the tree below *path*; the exit code is 1 if a directory could not be read."""
    counts = _Counts()
    if not (await share.stat(path)).is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
    print(one_line(title))
    await _print(share, path, "", directories, levels, counts)
    print(f"\n{counts.directories} directories, {counts.files} files")
    return 1 if counts.failed else 0


async def _print(
    share: Share, path: str, indent: str, only_directories: bool, levels: int, counts: _Counts
) -> None:
    """One directory. A large one is not sorted, and only its directories are kept in memory."""
    if levels <= 0:
        return
    held: list[tuple[str, bool]] = []
    streamed = False
    try:
        async with aclosing(share.scandir(path)) as entries:
            async for entry in entries:
                folder = entry.is_dir() and not entry.is_symlink()
                counts.directories += folder
                counts.files += not folder
                if folder or not (only_directories or streamed):
                    held.append((entry.name, folder))
                elif streamed and not only_directories:
                    print(f"{indent}├── {one_line(entry.name)}")
                if len(held) > SORTED_MAX and not streamed:
                    streamed = True
                    for name, _ in (one for one in held if not one[1]):
                        print(f"{indent}├── {one_line(name)}")
                    held = [one for one in held if one[1]]
    except ConnectionError:
        raise
    except OSError as error:
        counts.failed += 1
        remote.complain(path, error)
    held.sort(key=lambda one: one[0].casefold())
    for index, (name, folder) in enumerate(held):
        last = index == len(held) - 1
        print(f"{indent}{'└── ' if last else '├── '}{one_line(name)}")
        if folder:
            inner = indent + ("    " if last else "│   ")
            await _print(share, f"{path}/{name}", inner, only_directories, levels - 1, counts)


def _levels(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of levels (1 or more)")
    return number
