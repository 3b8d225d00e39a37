"""The options of `python -m benchmarks`, checked before anything is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from peers import programs

from benchmarks import network
from benchmarks.rows import ROWS, Row
from frevo.config import ConfigErrors, load_text

_MIB_MAX = 1 << 20


def number(least: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """A number from *least* on, for argparse."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least:g}")
        return value

    return parse


def setting(text: str) -> str:
    """A line for frevo's [global] as KEY=VALUE, for argparse."""
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        found = load_text(f"[global]\n{text}\n").problems
    except ConfigErrors as error:
        raise argparse.ArgumentTypeError(str(error).partition(": error: ")[2]) from None
    if unknown := [problem for problem in found if problem.message.startswith("unknown key")]:
        raise argparse.ArgumentTypeError(
            f"`{unknown[0].key}`: {unknown[0].message.partition(': ignored')[0]}"
        )
    return text


def folder(text: str) -> Path:
    """A folder that exists, for argparse."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def report_file(text: str) -> Path:
    """A file that can be written at the end, for argparse: its folder is made now."""
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {text}: {error.strerror}") from None
    return path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds --set: lines for the configuration of frevo's server."""
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="KEY=VALUE", help="a line for "
        "frevo's [global]")  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Everything that can be said."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="frevo and Samba's smbd under the same load: ratios of rate and of processor time, and the goals.",
        epilog="example: python -m benchmarks --only READ --rounds 7 --json out.json --html out.html",
    )
    add = made.add_argument
    add("--quick", action="store_true", help="a smoke test: everything once, short and small")
    add(
        "--rounds",
        type=number(1),
        default=5,
        metavar="N",
        help="runs of each load against each server (default 5)",
    )
    add("--launches", type=number(1), default=1, metavar="N", help="start all servers N times, as two launches of one "
        "program differ by up to 7 %% (default 1)")  # fmt: skip
    add(
        "--seconds", type=number(0.1, float), default=1.5, metavar="S", help="length of one run (default 1.5)"
    )
    add(
        "--only", action="append", default=[], metavar="TEXT", help="rows with TEXT in their name; see --list"
    )
    add("--list", action="store_true", help="name the rows, and do nothing")
    add("--size", type=number(1), default=1024, metavar="MIB", help="the file of get and put (default 1024)")
    add(
        "--sessions",
        type=number(0),
        default=1000,
        metavar="N",
        help="idle sessions to hold; 0: skip (default 1000)",
    )
    add(
        "--folder",
        type=folder,
        help="where to store the files (default: /dev/shm, to keep the disk out of it)",
    )
    add_settings(made)
    add("--rungs", action="store_true", help="force each way to read and write, too, and show them beside frevo's own "
        "choice")  # fmt: skip
    add("--veth", action="store_true", help="over a veth pair between two network namespaces (as root) instead of the "
        "loopback")  # fmt: skip
    add(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="compare with the frevo of another checkout, not with smbd",
    )
    add("--patience", type=number(0, float), default=5.0, metavar="S", help="seconds to wait for an idle machine "
        "(default 5)")  # fmt: skip
    add("--json", type=report_file, metavar="FILE", help="write every sample here")
    add("--html", type=report_file, metavar="FILE", help="write a page with plots here")
    return made


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with `rows`: those to measure. Ends the program, with a sentence that says what to do, if they make
    no sense or if a program is missing."""
    made = parser()
    options = made.parse_args(arguments)
    if options.against is not None and not (options.against / ".venv/bin/frevo").exists():
        made.error(f"{options.against} has no .venv/bin/frevo: run `make build` there")
    if options.quick:
        options.rounds, options.seconds, options.size = 1, 0.2, min(options.size, 16)
        options.launches = 1
        options.sessions, options.patience = min(options.sessions, 20), 0.0
    options.rows = chosen(options)
    if not options.rows:
        made.error(f"no row has {' or '.join(map(repr, options.only))} in its name: --list shows them")
    if options.list:
        return options
    if missing := [name for name in needed(options) if programs.find(name) is None]:
        packages = " ".join(programs.PACKAGES[name] for name in missing)
        made.error(
            f"{', '.join(missing)} missing: apt-get install {packages}, or run `make bench`, which does"
        )
    if options.veth and (reason := network.why_not()):
        made.error(f"--veth: {reason}")
    return options


def chosen(options: argparse.Namespace) -> list[Row]:
    """The rows to measure."""
    return [
        row
        for row in ROWS
        if not (options.quick and row.long)
        # Rows with sides of their own compare programs of this checkout.
        and not (options.against is not None and row.sides)
        and (not options.only or any(text.lower() in row.name.lower() for text in options.only))
    ]


def needed(options: argparse.Namespace) -> list[str]:
    """The programs of others that these rows use."""
    names = ["smbd", "smbpasswd"] if options.against is None else []
    names += ["smbtorture"] if any(row.name.startswith("smbtorture") for row in options.rows) else []
    return names + (["smbclient"] if any("smbclient" in row.sides for row in options.rows) else [])
