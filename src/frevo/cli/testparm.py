"""`frevo testparm`: checks a configuration and prints it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from frevo.cli.common import (
    DEFAULT_FILES,
    Subparsers,
    add_command,
    add_config_option,
    default_file,
    load_or_explain,
    printable,
)
from frevo.cli.config_remarks import explain
from frevo.config import Config
from frevo.config.global_keys import GLOBAL_KEYS
from frevo.config.key import Key
from frevo.config.share_keys import SHARE_KEYS

_EXAMPLES = """\
  frevo testparm                       check /etc/frevo/smb.conf, else /etc/samba/smb.conf
  frevo testparm -c ./smb.conf         check this file and print the keys that differ from their defaults
  frevo testparm -c ./smb.conf -v      print every key

Reports everything that is wrong, unknown or not used, with file and line. The exit code is 1 if there is an error: a
share with an error is not served; with an error in a server key, nothing is. `frevo serve` reports the same.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo testparm`."""
    parser = add_command(subparsers, "testparm", "check a configuration file", _EXAMPLES)
    add_config_option(parser, "the smb.conf to check")
    parser.add_argument("file", nargs="?", metavar="FILE", help="same as -c FILE")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also print keys that have their default value"
    )
    parser.add_argument(
        "-s", "--suppress-prompt", action="store_true", help="accepted for compatibility with Samba"
    )


def run(args: argparse.Namespace) -> int:
    """Check the file and print it; 1 if it has errors."""
    path = args.config or args.file or default_file()
    if path is None:
        print(f"frevo: no configuration found: use -c FILE, or create {DEFAULT_FILES[0]}", file=sys.stderr)
        return 1
    config = load_or_explain(path)
    if config is None:
        return 1
    said = explain(config)
    failed = any(problem.severity == "error" for problem in (*config.problems, *said))
    if failed and not config.shares:
        return 1
    print(
        f"# {path} "
        + ("has errors: some shares are not served." if failed else "is a valid configuration for frevo.")
    )
    print(printable(render(config, verbose=args.verbose)), end="")
    return int(failed)


def render(config: Config, *, verbose: bool = False) -> str:
    """*config* as smb.conf text: the keys that differ from their defaults, or with *verbose* all."""
    lines = ["[global]"]
    lines += _lines(GLOBAL_KEYS, config.globals, None if verbose else _defaults(GLOBAL_KEYS))
    lines += _lines(SHARE_KEYS, config.globals.defaults, None if verbose else _defaults(SHARE_KEYS))
    for share in config.shares.values():
        base = {key.attribute: getattr(config.globals.defaults, key.attribute) for key in SHARE_KEYS}
        lines += ["", f"[{share.name}]", *_lines(SHARE_KEYS, share, None if verbose else base)]
    return "\n".join(lines) + "\n"


def _defaults(keys: Iterable[Key]) -> dict[str, object]:
    return {key.attribute: key.default() for key in keys}


def _lines(keys: Iterable[Key], values: object, base: dict[str, object] | None) -> list[str]:
    lines = []
    for key in keys:
        value = getattr(values, key.attribute)
        if base is None or value != base[key.attribute]:
            lines.append(f"    {key.name} = {key.kind.format(value)}")
    return lines
