"""`frevo status`: shows who is connected to the local servers, as tables or in smbstatus's JSON."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from frevo.cli.common import Subparsers, add_command, add_config_option, load_or_explain
from frevo.folders import default_private_dir
from frevo.status.control import ControlError, ask, find_servers
from frevo.text import json_text

_EXAMPLES = """\
  frevo status                            tables of sessions, connected shares and open files
  frevo status --json | jq .sessions      in the format of smbstatus --json
  frevo status -c /etc/frevo/smb.conf     the server with this configuration (its `private dir`)
  frevo status --watch 2                  repeat every 2 seconds, until Ctrl-C
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo status`."""
    parser = add_command(subparsers, "status", "show who is connected and what is open", _EXAMPLES)
    add_config_option(parser, "the server's smb.conf")
    parser.add_argument("--private-dir", metavar="DIR", help="the server's private folder")
    parser.add_argument("--pid", type=int, metavar="N", help="the server with this process ID")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object in the format of smbstatus --json"
    )
    parser.add_argument(
        "--watch", type=float, nargs="?", const=2.0, metavar="S", help="repeat every S seconds (2)"
    )


def run(args: argparse.Namespace) -> int:
    """Query and print; 1 if no server responds."""
    private_dir = args.private_dir
    if private_dir is None and args.config:
        config = load_or_explain(args.config)
        if config is None:
            return 1
        private_dir = config.globals.private_dir
    private_dir = private_dir or default_private_dir()
    while True:
        code = _show(private_dir, args)
        if code or args.watch is None:
            return code
        time.sleep(min(max(args.watch, 0.1), 3600.0))


def _show(private_dir: str, args: argparse.Namespace) -> int:
    servers = _chosen(private_dir, args.pid)
    if not servers:
        which = f"with process id {args.pid} " if args.pid else ""
        print(
            f"frevo: no running server {which}found in {private_dir}\n"
            "       (use -c smb.conf to find a server with another `private dir`)",
            file=sys.stderr,
        )
        return 1
    if args.json and len(servers) > 1:
        others = ", ".join(map(str, servers))
        print(f"frevo: {len(servers)} servers are running ({others}): choose one with --pid", file=sys.stderr)
        return 1
    snapshots = [ask(path, "status") for path in servers.values()]
    _print(snapshots, as_json=args.json, clear=args.watch is not None)
    return 0


def _chosen(private_dir: str, pid: int | None) -> dict[int, Path]:
    servers = find_servers(private_dir)
    if pid is None:
        return servers
    return {pid: servers[pid]} if pid in servers else {}


def _print(snapshots: list[Any], *, as_json: bool, clear: bool) -> None:
    if as_json:
        for snapshot in snapshots:
            print(json_text(snapshot), flush=True)
        return
    from rich.console import Console

    from frevo.status.tables import show

    console = Console(highlight=False)
    if clear:
        console.clear()
    for snapshot in snapshots:
        if not isinstance(snapshot, dict):
            raise ControlError("the server sent an invalid response")
        show(snapshot, console)
