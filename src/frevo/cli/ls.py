"""`frevo ls`: lists a directory on a share."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, one_line
from frevo.cli.open_shares import is_pattern
from frevo.text import json_text

if TYPE_CHECKING:
    from frevo.client import Share
    from frevo.client.tree.stat import Stat

_EXAMPLES = """\
  frevo ls smb://eve@nas/photos             the share's root
  frevo ls -l smb://eve@nas/photos/2026     with attributes, sizes and times (UTC)
  frevo ls -R smb://eve@nas/photos          with all subdirectories
  frevo ls 'smb://eve@nas/photos/**/*.jpg'  matching names in all subdirectories
  frevo ls --snapshots smb://eve@nas/photos earlier versions, to use as in the next line
  frevo ls smb://eve@nas/photos/@GMT-2026.11.23-08.00.00/2026
  frevo ls --json smb://eve@nas/photos | jq '.[].size'

Up to 10,000 entries are sorted; longer listings appear in the server's order, page by page, and use little memory (as
with --unsorted). Control characters are shown as \\x1b; --json keeps the real ones.
"""
#: Entries that are kept to be sorted: a few megabytes.
SORTED_MAX = 10_000
_LINES_HELD = 200


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo ls`."""
    parser = add_command(subparsers, "ls", "list a directory on a share", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path; *, ?, [abc] and ** are wildcards")
    parser.add_argument("-l", "--long", action="store_true", help="show attributes, size and time")
    parser.add_argument("-H", "--human", action="store_true", help="show sizes like 1.5 MiB")
    parser.add_argument("-R", "--recursive", action="store_true", help="include all subdirectories")
    parser.add_argument(
        "-U",
        "--unsorted",
        action="store_true",
        help="use the server's order, and print entries as they arrive",
    )
    parser.add_argument("--snapshots", action="store_true", help="list the earlier versions on the server")
    parser.add_argument("--json", action="store_true", help="print a JSON array, one entry per line")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """List."""
    form = Form(args.long, args.human, args.json)

    async def work() -> int:
        location = remote.location(args.url)
        listing = Listing(args.recursive)
        async with remote.open_share(args, args.url) as share:
            if args.snapshots:
                show_snapshots(await share.snapshots(location.path), json=args.json)
                return 0
            await show(listing.found(share, location.path), form, unsorted=args.unsorted)
        return 1 if listing.failed else 0

    return remote.run_async(work)


Found = tuple[str, "Stat"]


def show_snapshots(names: list[str], *, json: bool) -> None:
    """Print the snapshots' names, one per line or as a JSON array."""
    if json:
        remote.print_json(names)
    else:
        print("".join(f"{one_line(name)}\n" for name in names), end="")


class Listing:
    """The result of a path: a file itself, the entries of a directory, or the matches of a pattern."""

    def __init__(self, recursive: bool = False) -> None:
        self._recursive = recursive
        self.failed = False  # a directory below could not be read; it was said

    async def found(self, share: Share, path: str) -> AsyncIterator[Found]:
        """(path or name, metadata), one by one. OSError if there is nothing."""
        if await is_pattern(share, path):
            none = True
            async for entry in share.glob(path):
                none = False
                yield entry.path, entry.stat()
            if none:
                raise FileNotFoundError(errno.ENOENT, "no match", path)
            return
        known = await share.stat(path)
        if not known.is_dir():
            yield path, known
            return
        async for item in self._below(share, path):
            yield item

    async def _below(self, share: Share, top: str) -> AsyncIterator[Found]:
        """Names relative to *top*; keeps only the names of directories in memory."""
        pending = [""]
        while pending:
            inner = pending.pop()
            try:
                async with aclosing(share.scandir(f"{top}/{inner}")) as entries:
                    async for entry in entries:
                        name = f"{inner}/{entry.name}" if inner else entry.name
                        if self._recursive and entry.is_dir() and not entry.is_symlink():
                            pending.append(name)
                        yield name, entry.stat()
            except ConnectionError:
                raise
            except OSError as error:
                if not inner:
                    raise
                self.failed = True
                remote.complain(inner, error)


class Form(msgspec.Struct, frozen=True):
    """The output format of an entry."""

    long: bool = False
    human: bool = False
    json: bool = False

    def line(self, name: str, known: Stat) -> str:
        """One entry without the line end."""
        if self.json:
            return json_text(remote.described(name, known))
        shown = f"{one_line(name)}/" if known.is_dir() else one_line(name)
        if not self.long:
            return shown
        size = remote.human(known.size) if self.human else str(known.size)
        letters = remote.attribute_letters(known.attributes)
        return f"{letters:6} {size:>14} {remote.when(known.st_mtime)} {shown}"


async def show(found: AsyncIterator[Found], form: Form, *, unsorted: bool = False) -> int:
    """Print what was *found*, sorted if it is not too much; returns the count."""
    held: list[tuple[str, str]] = []
    out = _Lines(form.json)
    count = 0
    try:
        async for name, known in found:
            count += 1
            if unsorted:
                out.put(form.line(name, known))
                continue
            held.append((name.casefold(), form.line(name, known)))
            if len(held) > SORTED_MAX:
                print(f"frevo: more than {SORTED_MAX} entries: not sorted", file=sys.stderr)
                unsorted = True
                out.put_all(held)
    finally:  # what came before an error is shown, too
        if held or count or sys.exception() is None:
            held.sort()
            out.put_all(held)
            out.end()
    return count


class _Lines:
    """Standard output: lines, or elements of a JSON array, written in blocks of some thousand characters."""

    def __init__(self, array: bool) -> None:
        self._array = array
        self._before = "[" if array else ""
        self._after = "" if array else "\n"
        self._held: list[str] = []

    def put(self, line: str) -> None:
        """Add an entry."""
        self._held += (self._before, line, self._after)
        if self._array:
            self._before = ",\n"
        if len(self._held) > 3 * _LINES_HELD:
            self._write()

    def _write(self) -> None:
        sys.stdout.write("".join(self._held))
        self._held.clear()

    def put_all(self, held: list[tuple[str, str]]) -> None:
        """Add all of *held*, and empty it."""
        for _, line in held:
            self.put(line)
        held.clear()

    def end(self) -> None:
        """Finish the array."""
        if self._array:
            self._held.append("[]\n" if self._before == "[" else "]\n")
        self._write()
