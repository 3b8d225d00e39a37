"""`frevo doctor`: what this machine supports, what it does not and why, and the command that fixes it."""

from __future__ import annotations

import argparse
import sys

from frevo import __version__
from frevo.cli.common import Subparsers, add_command, add_config_option, load_or_explain
from frevo.folders import default_private_dir
from frevo.status.doctor import Check, State, examine
from frevo.text import json_text, printable
from frevo.tls.settings import TlsSettings, settings_of

_EXAMPLES = """\
  frevo doctor                    this machine, and the current folder's file system
  frevo doctor /srv/share         this machine, and that folder's file system
  frevo doctor --json | jq .ok    for programs

The exit code is 1 if something is missing that frevo needs, else 0.
The checks create a temporary folder in PATH and remove it again."""

_MARKS = {State.OK: ("ok", "green"), State.LIMITED: ("--", "yellow"), State.FAILED: ("FAIL", "bold red")}


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo doctor`."""
    parser = add_command(subparsers, "doctor", "check what this machine supports", _EXAMPLES)
    add_config_option(parser, "the smb.conf of the server whose certificates to check")
    parser.add_argument("path", metavar="PATH", nargs="?", default=".", help="the folder to check (.)")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Run all checks and print them; 1 if something that frevo needs is missing."""
    settings = TlsSettings(private_dir=default_private_dir())
    if args.config is not None:
        config = load_or_explain(args.config)
        if config is None:
            return 1
        settings = settings_of(config.globals)
    checks = examine(args.path, settings)
    good = not any(check.state is State.FAILED for check in checks)
    if args.json:
        items = [check.as_json() for check in checks]
        print(json_text({"version": __version__, "ok": good, "checks": items}, indent=2))
    elif sys.stdout.isatty():
        _print_table(checks)
    else:
        _print_plain(checks)
    return 0 if good else 1


def _print_plain(checks: list[Check]) -> None:
    for check in checks:
        print(printable(f"{_MARKS[check.state][0]:4} {check.group:8} {check.name}: {check.text}"))
        if check.fix:
            print(printable(f"{'':14}{check.fix}"))


def _print_table(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("mark", "name", "text"):
        table.add_column(column, no_wrap=column != "text")
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            table.add_row("", Text(group, style="bold"), "")
        mark, style = _MARKS[check.state]
        text = Text(printable(check.text))
        if check.fix:
            text.append(printable(f"\n{check.fix}"), style="cyan")
        table.add_row(Text(mark, style=style), Text(printable(check.name)), text)
    Console(highlight=False).print(table)
