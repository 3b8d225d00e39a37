"""Progress of a transfer: a bar on a terminal, otherwise nothing; always errors; JSON on request."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from frevo.cli import remote
from frevo.cli.common import printable

if TYPE_CHECKING:
    from frevo.client.batch import Plan, Totals

#: Seconds between two looks of the bar.
_DRAW_S = 0.1


class Quiet:
    """Reports errors only."""

    def found(self, size: int) -> None:
        """One more file was found."""

    def advanced(self, size: int) -> None:
        """More bytes were transferred."""

    def finished(self, path: str) -> None:
        """A file is complete."""

    def failed(self, path: str, error: OSError) -> None:
        """Report an error on standard error."""
        remote.complain(path, error)


class Bar(Quiet):
    """A rich progress bar: bytes, rate and time left. Redrawn often enough to look alive, not for every small file."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task
        self._total = self._done = self._files = self._known = 0
        self._name = ""
        self._drawn = 0.0

    def found(self, size: int) -> None:
        """Extend the bar's total."""
        self._total += size
        self._known += 1
        self._draw()

    def advanced(self, size: int) -> None:
        """Advance the bar."""
        self._done += size
        self._draw()

    def finished(self, path: str) -> None:
        """Count a complete file."""
        self._files += 1
        self._name = path
        self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _DRAW_S:
            self._drawn = now
            text = f"{self._files}/{self._known} {printable(self._name)[-40:]}"
            self._progress.update(self._task, total=self._total, completed=self._done, description=text)


@contextmanager
def reporter(args: argparse.Namespace) -> Iterator[Quiet]:
    """A bar if standard error is a terminal and neither --quiet nor --json was given."""
    if args.quiet or args.json or not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    from rich.text import Text

    class Name(BarColumn):
        def render(self, task: Any) -> Any:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    columns = (Name(), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, progress.add_task("", total=0))


def add_transfer_options(parser: argparse.ArgumentParser) -> None:
    """Options of get, put and cp."""
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="transfer directories with everything in them"
    )
    parser.add_argument(
        "-u", "--update", action="store_true", help="skip files that exist with the same size and time"
    )
    parser.add_argument("--verify", action="store_true", help="read both sides again and compare SHA-256")
    parser.add_argument(
        "-j", "--parallel", type=_number, default=0, metavar="N", help="files in parallel (32)"
    )
    connections_help = (
        "the most connections to use for many files (2 to 4) or a large one (1 to 4, depending on local "
        "processors)"
    )
    parser.add_argument(
        "--connections",
        type=_connections,
        default=0,
        metavar="N",
        dest="share_connections",
        help=connections_help,
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    remote.add_json_option(parser)
    remote.add_connection_options(parser)


def plan_of(args: argparse.Namespace) -> Plan:
    """The transfer settings from the options."""
    from frevo.client.batch import PARALLEL, Plan

    return Plan(args.recursive, args.update, args.parallel or PARALLEL, args.verify)


def _number(text: str) -> int:
    """How many files at a time."""
    return _within(text, 1000, "files")


def _connections(text: str) -> int:
    """How many connections."""
    return _within(text, 64, "connections")


def _within(text: str, most: int, what: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what} (1 to {most})")
    return number


def conclude(args: argparse.Namespace, totals: Totals, started: float) -> int:
    """Print the summary and return the exit code: 1 if something failed."""
    seconds = max(time.monotonic() - started, 1e-6)
    if args.json:
        said: dict[str, Any] = {
            "files": totals.files,
            "bytes": totals.bytes,
            "skipped": totals.skipped,
            "seconds": round(seconds, 3),
            "errors": [{"path": path, "error": remote.sentence(error)} for path, error in totals.errors],
        }
        if args.verify:
            said["verified"] = [{"path": path, "sha256": digest} for path, digest in totals.digests]
        remote.print_json(said)
    elif not args.quiet:
        rate = remote.human(totals.bytes / seconds)
        more = f", {totals.skipped} skipped" if totals.skipped else ""
        more += f", {len(totals.digests)} verified by SHA-256" if args.verify else ""
        more += f", {len(totals.errors)} failed" if totals.errors else ""
        size = remote.human(totals.bytes)
        files = "1 file" if totals.files == 1 else f"{totals.files} files"
        print(f"{files}, {size} in {seconds:.1f} s ({rate}/s){more}", file=sys.stderr)
    return 1 if totals.errors else 0
