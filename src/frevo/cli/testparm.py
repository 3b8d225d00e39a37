"""`frevo testparm`: checks a configuration and shows what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from frevo.cli.common import (
    DEFAULT_FILES,
    Subparsers,
    add_command,
    add_config_option,
    default_file,
    load_or_explain,
    printable,
)
from frevo.config import Config, ShareConfig
from frevo.config.global_keys import GLOBAL_KEYS
from frevo.config.key import Key
from frevo.config.macros import macros_in
from frevo.config.share_keys import SHARE_KEYS

_EXAMPLES = """\
  frevo testparm                       check /etc/frevo/smb.conf, else /etc/samba/smb.conf
  frevo testparm -c ./smb.conf         check this file, print what differs from the defaults
  frevo testparm -c ./smb.conf -v      print every key

Every unknown key and ill-typed value is reported with file and line; then the exit code is 1.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo testparm`."""
    parser = add_command(subparsers, "testparm", "check a configuration file", _EXAMPLES)
    add_config_option(parser, "the smb.conf to check")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the same as -c FILE")
    parser.add_argument("-v", "--verbose", action="store_true", help="print keys that have their default too")
    parser.add_argument("-s", "--suppress-prompt", action="store_true", help="accepted for Samba's habit")


def run(args: argparse.Namespace) -> int:
    """Check the file, print it; 1 when it cannot be used."""
    path = args.config or args.file or default_file()
    if path is None:
        print(f"frevo: no configuration: use -c FILE, or make {DEFAULT_FILES[0]}", file=sys.stderr)
        return 1
    config = load_or_explain(path)
    if config is None:
        return 1
    for share in config.shares.values():
        problem = folder_problem(share)
        if problem:
            print(printable(f"{path}: warning: [{share.name}] {problem}"), file=sys.stderr)
    print(f"# {path} is a valid configuration for frevo.")
    print(printable(render(config, verbose=args.verbose)), end="")
    return 0


def folder_problem(share: ShareConfig) -> str:
    """What is wrong with the folder of *share* on this machine, or nothing."""
    path = share.path.replace("%%", "")
    if not share.path or macros_in(share.path):
        return ""
    path = share.path.replace("%%", "%")
    if not Path(path).exists():
        return f"the folder {path} does not exist"
    return "" if Path(path).is_dir() else f"{path} is not a folder"


def render(config: Config, *, verbose: bool = False) -> str:
    """*config* as smb.conf text: what differs from the defaults, or with *verbose* everything."""
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
