"""Shell commands that change nothing on the share."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from frevo.cli import remote
from frevo.cli import stat as stat_command
from frevo.cli import tree as tree_command
from frevo.cli import watch as watch_command
from frevo.cli.cat import print_file
from frevo.cli.common import UsageError
from frevo.cli.ls import Form, Found, Listing, show
from frevo.cli.open_shares import expand, one_by_one
from frevo.cli.shell.session import Shell, shown

_PIECE_BYTES = 1 << 20


async def ls(shell: Shell, arguments: list[str]) -> int:
    """List the directory, or the matches of a pattern."""
    share, listing = await shell.share(), Listing(shell.recurse)
    path = shell.path(arguments[0] if arguments else "")
    await show(_relative(shell, listing.found(share, path)), Form(long=True))
    return 1 if listing.failed else 0


async def _relative(shell: Shell, found: AsyncIterator[Found]) -> AsyncIterator[Found]:
    """Paths below the directory, shown relative to it."""
    async for name, known in found:
        yield shell.seen(name), known


async def cd(shell: Shell, arguments: list[str]) -> None:
    """Change the directory."""
    if arguments:
        await shell.enter(shell.path(arguments[0]))
    else:
        await pwd(shell, [])


async def pwd(shell: Shell, arguments: list[str]) -> None:
    """The directory's URL."""
    shown(shell.url)


async def lcd(shell: Shell, arguments: list[str]) -> None:
    """Change the local directory."""
    os.chdir(Path(arguments[0]).expanduser() if arguments else Path.home())
    await lpwd(shell, [])


async def lpwd(shell: Shell, arguments: list[str]) -> None:
    """Print the local directory."""
    shown(str(Path.cwd()))


async def cat(shell: Shell, arguments: list[str]) -> int:
    """Print files."""
    share = await shell.share()
    found = [(share, path) for word in arguments for path in await expand(share, shell.path(word))]
    return await one_by_one(found, print_file)


async def more(shell: Shell, arguments: list[str]) -> int:
    """Show a file in the pager; prints it if standard output is not a terminal."""
    if not sys.stdout.isatty():
        return await cat(shell, arguments)
    share = await shell.share()
    async with share.open(shell.path(arguments[0])) as file:
        pager = shlex.split(os.environ.get("PAGER", "")) or ["less"]
        try:
            process = await shell.child(*pager, stdin=subprocess.PIPE)
        except FileNotFoundError:
            raise UsageError(f"cannot find the pager {pager[0]}: set PAGER, or use cat") from None
        assert process.stdin is not None
        try:
            while data := await file.read(_PIECE_BYTES):
                process.stdin.write(data)
                await process.stdin.drain()
            process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):  # the reader has seen enough
            pass
        return await shell.ended(process)


async def stat(shell: Shell, arguments: list[str]) -> None:
    """Print all metadata."""
    path = shell.path(arguments[0] if arguments else "")
    stat_command.show(await stat_command.facts(await shell.share(), path, everything=bool(path)))


async def du(shell: Shell, arguments: list[str]) -> int:
    """Sum up the sizes below a directory."""
    files = directories = size = failed = 0

    def problem(directory: str, error: OSError) -> None:
        nonlocal failed
        if isinstance(error, ConnectionError):
            raise error
        failed += 1
        remote.complain(directory, error)

    share = await shell.share()
    async for _, inner, others in share.walk(shell.path(arguments[0] if arguments else ""), problem):
        directories += len(inner)
        files += len(others)
        size += sum(entry.stat().size for entry in others)
    shown(f"{files} files, {directories} directories, {size} bytes ({remote.human(size)})")
    return 1 if failed else 0


async def df(shell: Shell, arguments: list[str]) -> None:
    """Print the free space on the share."""
    space = await (await shell.share()).statvfs()
    used = space.total - space.free
    shown(
        f"{remote.human(space.total)} total, {remote.human(used)} used, {remote.human(space.available)} available"
    )


async def tree(shell: Shell, arguments: list[str]) -> int:
    """Print a directory tree."""
    path = shell.path(arguments[0] if arguments else "")
    return await tree_command.show(await shell.share(), path, path or ".")


async def watch(shell: Shell, arguments: list[str]) -> None:
    """Print changes until Ctrl-C."""
    path = shell.path(arguments[0] if arguments else "")
    await watch_command.show(await shell.share(), path, recursive=shell.recurse)


async def showconnect(shell: Shell, arguments: list[str]) -> None:
    """Print the connection and its protection."""
    share = await shell.share()
    shown(shell.url)
    stat_command.show(await stat_command.of_share(share))


async def local(shell: Shell, arguments: list[str]) -> int:
    """Run a local command; without one, the user's shell."""
    command = " ".join(arguments) or os.environ.get("SHELL", "/bin/sh")
    try:
        process = await shell.child(command, shell=True)
        return 1 if await shell.ended(process) else 0
    except asyncio.CancelledError:
        shell.interruptible = True
        raise
