"""Shared by several subcommands: options, finding and loading the configuration, text that is safe for a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from frevo.errors import FrevoError
from frevo.text import one_line as one_line
from frevo.text import printable as printable

if TYPE_CHECKING:
    from frevo.config import Config, ConfigProblem

#: What `add_parser` of a subcommand is given.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

#: Where a configuration is looked for when a command needs one and `-c` names none.
DEFAULT_FILES = ("/etc/frevo/smb.conf", "/etc/samba/smb.conf")


class UsageError(FrevoError):
    """The arguments contradict each other: exit code 2."""


def add_command(subparsers: Subparsers, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """A subparser with *summary* as its help and *examples* at the end."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def seconds(most: int, *, zero: bool = False) -> Callable[[str], float]:
    """The type of an option in seconds, up to *most*; 0 is allowed only with *zero*."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (0 <= value <= most and (value or zero)):
            first = "0" if zero else "more than 0"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {first} to {most}")
        return value

    return parse


def private_dir_options(config_help: str) -> argparse.ArgumentParser:
    """A parent parser with `-c` and `--private-dir`, for the actions of commands that work on a private folder."""
    options = argparse.ArgumentParser(add_help=False)
    add_config_option(options, config_help)
    options.add_argument(
        "--private-dir", metavar="DIR", help="the private folder itself, whatever the configuration says"
    )
    return options


def add_config_option(parser: argparse.ArgumentParser, what: str = "the smb.conf to read") -> None:
    """`-c FILE`."""
    parser.add_argument("-c", "--config", metavar="FILE", help=what)


def default_file() -> str | None:
    """The first of the usual configuration files that exists."""
    return next((name for name in DEFAULT_FILES if Path(name).is_file()), None)


def load_or_explain(path: str, overrides: Mapping[str, str] | None = None) -> Config | None:
    """The configuration at *path*; prints its problems to standard error. None if it cannot be used."""
    from frevo.config import ConfigErrors, load

    try:
        config = load(path, overrides)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        return None
    print_problems(config.problems)
    return config


def print_problems(problems: Iterable[ConfigProblem]) -> None:
    """One line per problem on standard error."""
    for problem in problems:
        print(printable(str(problem)), file=sys.stderr)
