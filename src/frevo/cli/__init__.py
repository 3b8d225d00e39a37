"""The `frevo` command: one file per subcommand, each with `add_parser(subparsers)` and `run(args) -> int`."""

from __future__ import annotations

from frevo.cli.main import main

__all__ = ["main"]
