"""`frevo shell`: works on a share interactively, like smbclient."""

from __future__ import annotations

import argparse
import io
import sys

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

_EXAMPLES = """\
  frevo shell smb://eve@nas/photos                      `help` lists the commands, Tab completes names
  frevo shell smb://eve@nas/photos -c 'cd 2026; ls'     run commands and exit
  frevo shell smb://eve@nas/photos -c '-mkdir in; cd in; prompt; mput *.jpg'
  frevo shell smb://eve@nas/photos < commands.txt       one command per line; # starts a comment

Quote names that contain spaces: get "my report.pdf". Both slashes separate directories. Ctrl-C interrupts the running
command, not the shell; after a lost connection, the next command reconnects. In scripts (-c and standard input), a
failed command sets the exit code to 1 and the script continues, except after cd and lcd, which end it; a leading -
ignores the failure (-mkdir in). The history is in ~/.local/state/frevo/history.
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo shell`."""
    parser = add_command(subparsers, "shell", "work on a share interactively", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/directory")
    parser.add_argument(
        "-c",
        "--command",
        dest="script",
        metavar="COMMANDS",
        help="run these commands, separated by ;, and exit",
    )
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the commands of -c, of a terminal, or of standard input."""
    from frevo.cli.shell.session import Shell
    from frevo.cli.shell.words import split_script

    async def work() -> int:
        shell = Shell(args)
        try:
            await shell.begin()
            if args.script is not None:
                return await shell.script(split_script(args.script))
            if sys.stdin.isatty() and sys.stdout.isatty():
                from frevo.cli.shell.terminal import Terminal

                return await Terminal(shell).run()
            if isinstance(sys.stdin, io.TextIOWrapper):  # names that are not UTF-8 are refused later
                sys.stdin.reconfigure(errors="surrogateescape")
            return await shell.script(line.rstrip("\r\n") for line in sys.stdin)
        finally:
            await shell.close()

    return remote.run_async(work)
