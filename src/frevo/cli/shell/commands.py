"""The table of the shell's commands: names, usage, completion of their words, and how to find and run one."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable

import msgspec

from frevo.cli.common import UsageError
from frevo.cli.shell import changing, looking, moving, words
from frevo.cli.shell.session import Leave, Shell, shown

Run = Callable[[Shell, list[str]], Awaitable[int | None]]


class Command(msgspec.Struct, frozen=True):
    """One command. *kinds*: a letter for each word, the last one for all that follow: r(emote), l(ocal), c(ommand)."""

    names: tuple[str, ...]
    usage: str
    text: str
    run: Run
    least: int = 0
    most: int = 1
    kinds: str = "r"

    def kind(self, index: int) -> str:
        """The kind of the word number *index* (0 is the first after the name)."""
        return self.kinds[min(index, len(self.kinds) - 1)] if self.kinds else ""


_MANY = 1 << 30


async def _help(shell: Shell, arguments: list[str]) -> None:
    if arguments:
        command = find(arguments[0])
        shown(f"{command.names[0]} {command.usage}".rstrip())
        shown(f"    {command.text}")
        if len(command.names) > 1:
            shown(f"    also: {', '.join(command.names[1:])}")
        return
    for command in COMMANDS:
        usage = f"{command.names[0]} {command.usage}".rstrip()
        shown(f"  {usage:28} {command.text}")
    shown('Quote names with spaces; * and ? are wildcards; "help COMMAND" explains a command; Tab completes.')


async def _exit(shell: Shell, arguments: list[str]) -> None:
    raise Leave


async def _history(shell: Shell, arguments: list[str]) -> None:
    for number, line in enumerate(shell.history(), 1):
        shown(f"{number:5}  {line}")


COMMANDS: tuple[Command, ...] = (
    Command(("help", "?"), "[COMMAND]", "list the commands, or explain one", _help, kinds="c"),
    Command(
        ("ls", "dir", "l"), "[PATTERN]", "list this directory (recurse: with subdirectories)", looking.ls
    ),
    Command(("cd",), "[DIRECTORY]", "change the directory; without DIR, print it", looking.cd),
    Command(("pwd",), "", "print the directory on the share", looking.pwd, 0, 0),
    Command(("lcd",), "[DIRECTORY]", "change the local directory (default: home)", looking.lcd, kinds="l"),
    Command(("lpwd",), "", "print the local directory", looking.lpwd, 0, 0),
    Command(("get",), "NAME [LOCAL]", "download a file (recurse: a directory)", moving.get, 1, 2, "rl"),
    Command(("put",), "LOCAL [NAME]", "upload a file (recurse: a directory)", moving.put, 1, 2, "lr"),
    Command(
        ("mget",), "PATTERN...", "download matching files (recurse: directories too)", moving.mget, 1, _MANY
    ),
    Command(
        ("mput",),
        "PATTERN...",
        "upload matching files (recurse: directories too)",
        moving.mput,
        1,
        _MANY,
        "l",
    ),
    Command(("reget",), "NAME [LOCAL]", "resume a download", moving.reget, 1, 2, "rl"),
    Command(("reput",), "LOCAL [NAME]", "resume an upload", moving.reput, 1, 2, "lr"),
    Command(
        ("recurse",),
        "[on|off]",
        "switch: include directories with everything in them",
        moving.recurse,
        kinds="",
    ),
    Command(
        ("prompt",), "[on|off]", "switch: ask before each file in mget and mput", moving.prompt, kinds=""
    ),
    Command(("verify",), "[on|off]", "switch: compare SHA-256 of both sides", moving.verify, kinds=""),
    Command(("cat",), "NAME...", "print files", looking.cat, 1, _MANY),
    Command(("more", "less"), "NAME", "read a file page by page ($PAGER)", looking.more, 1),
    Command(("stat", "allinfo"), "[NAME]", "show everything the server knows about a file", looking.stat),
    Command(("du",), "[DIRECTORY]", "add up the sizes of a directory and everything in it", looking.du),
    Command(("df",), "", "show the free space on the share", looking.df, 0, 0),
    Command(("tree",), "[DIRECTORY]", "show a directory and everything in it", looking.tree),
    Command(
        ("watch", "notify"),
        "[DIRECTORY]",
        "print changes until Ctrl-C (recurse: with subdirectories)",
        looking.watch,
    ),
    Command(("rm", "del"), "PATTERN...", "remove files", changing.rm, 1, _MANY),
    Command(("deltree",), "NAME...", "remove directories and everything in them", changing.deltree, 1, _MANY),
    Command(("mkdir", "md"), "NAME...", "create directories", changing.mkdir, 1, _MANY),
    Command(("rmdir", "rd"), "NAME...", "remove empty directories", changing.rmdir, 1, _MANY),
    Command(("rename", "mv"), "OLD NEW", "rename, or move into a directory", changing.rename, 2, 2),
    Command(("cp", "scopy"), "OLD NEW", "copy a file on the server itself", changing.copy, 2, 2),
    Command(
        ("setmode",), "NAME ±rhsa", "set or clear attributes: setmode a.txt +r-h", changing.setmode, 2, 2
    ),
    Command(("showconnect", "info"), "", "show the connection and its protection", looking.showconnect, 0, 0),
    Command(("history",), "", "list earlier commands", _history, 0, 0),
    Command(("exit", "quit", "q"), "", "leave", _exit, 0, 0),
    Command(("!",), "COMMAND", "run a local command: !ls -l", looking.local, 0, _MANY, "l"),
)

_BY_NAME = {name: command for command in COMMANDS for name in command.names}


def find(name: str) -> Command:
    """The command with this name or an unambiguous beginning of it. UsageError suggests similar ones."""
    lower = name.lower()
    if lower in _BY_NAME:
        return _BY_NAME[lower]
    found = {id(command): command for known, command in _BY_NAME.items() if known.startswith(lower)}
    if len(found) == 1:
        return next(iter(found.values()))
    near = sorted({command.names[0] for command in found.values()})
    near = near or difflib.get_close_matches(lower[:20], _BY_NAME, n=1)
    hint = f": did you mean {' or '.join(near)}?" if near else ": `help` lists the commands"
    raise UsageError(f"unknown command {name!r}{hint}")


def names() -> list[str]:
    """Every name of every command."""
    return sorted(_BY_NAME)


async def run(shell: Shell, line: str) -> int:
    """Run one command line and return its exit code. UsageError, and the command's own exceptions."""
    if line.startswith("!"):
        return await looking.local(shell, [line[1:].strip()])
    name, *arguments = words.split(line)
    command = find(name)
    if not command.least <= len(arguments) <= command.most:
        raise UsageError(f"usage: {command.names[0]} {command.usage}".rstrip())
    return await command.run(shell, arguments) or 0
