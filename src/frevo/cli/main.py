"""Entry point: parses the command line, runs one subcommand, turns every error into a message and an exit code.

Exit codes: 0 success; 1 an error that was reported, or part of the work failed; 2 invalid command line; 70 a bug
(FREVO_DEBUG=1 shows where); 130 interrupted; 141 the reader of the output exited.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from frevo import __version__
from frevo.cli.common import UsageError, printable
from frevo.errors import FrevoError

#: Subcommands in the order of the help; each is a module of this package.
COMMANDS = (
    *("serve", "user", "tls", "testparm", "status", "doctor"),
    *("ls", "tree", "cat", "get", "put", "cp", "rm", "mv", "mkdir", "stat", "watch", "shares", "shell"),
    *("mount", "umount", "bench", "lab"),
)

_EPILOG = """\
examples:
  frevo serve ~/Documents                     share a folder, and print how to connect
  frevo serve ~/photos --read-only --user eve share it read-only with eve
  frevo serve -c /etc/frevo/smb.conf          share as configured in smb.conf
  frevo user add eve -c /etc/frevo/smb.conf   create an account for eve
  frevo testparm -c /etc/frevo/smb.conf       check a configuration
  frevo status                                who is connected
  frevo get -r smb://eve@nas/photos ~/photos  download a directory (also ls, put, cat, rm, …)
  frevo shell smb://eve@nas/photos            interactive, like smbclient

`frevo COMMAND --help` explains each command. Documentation: README.md, docs/client.md and docs/.
Exit codes: 0 success; 1 an error, or part of the work failed; 2 invalid command line; 130 interrupted.
"""


class _Parser(argparse.ArgumentParser):
    """Subcommands complain about unknown arguments themselves, with their own usage, not with that of `frevo`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser with these subcommands; loading one takes longer than many commands run."""
    parser = _Parser(
        prog="frevo",
        description="SMB 3.1.1 file server and client for Linux.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"frevo {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in commands:
        importlib.import_module(f"frevo.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return the exit code. Without *argv*, run that of the process and exit.

    Modules imported by such a process live as long as it does. Looking for garbage among them would cost 10 ms at the
    start and 20 ms when the interpreter exits: more than a log-on and a small file.
    """
    if argv is not None:
        return guarded(lambda: _main(argv))
    gc.disable()
    try:
        return guarded(lambda: _main(sys.argv[1:]))
    finally:
        gc.freeze()


def _collect_from_here() -> None:
    """Exclude what every command imports from garbage collection."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _import_asyncio() -> None:
    """Import asyncio without its TLS, which nobody here uses: the `ssl` module takes a tenth of the time to start."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio works without: not every Python has it
    try:
        importlib.import_module("asyncio")
    finally:
        del sys.modules["ssl"]


def _main(words: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):  # names may have what the locale's encoding cannot say
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if words == ["--version"]:
        commands: Sequence[str] = ()
    else:
        _import_asyncio()
        commands = words[:1] if words and words[0] in COMMANDS else COMMANDS
    parser = build_parser(commands)
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:  # argparse has printed its message, help or version
        return stop.code if isinstance(stop.code, int) else 2
    if args.command is None:
        parser.print_help()
        return 2
    command = importlib.import_module(f"frevo.cli.{args.command}")
    _collect_from_here()
    code: int = command.run(args)
    sys.stdout.flush()
    return code


def guarded(action: Callable[[], int]) -> int:
    """The exit code of *action*; its exceptions become messages on standard error, never a traceback."""
    try:
        return action()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away: there is no one to tell
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except UsageError as error:
        return _complain(str(error), 2)
    except FrevoError as error:
        return _complain(str(error), 1)
    except OSError as error:
        prefix = f"{error.filename}: " if error.filename is not None else ""
        return _complain(f"{prefix}{error.strerror or error}", 1)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return _complain(f"this is a bug in frevo: {text} (FREVO_DEBUG=1 shows where)", 70)


def _complain(message: str, code: int) -> int:
    if os.environ.get("FREVO_DEBUG", "") not in ("", "0"):
        traceback.print_exc()
    with contextlib.suppress(OSError):
        print(printable(f"frevo: {message}"), file=sys.stderr)
    return code
