"""Shell commands that change names and attributes on the share."""

from __future__ import annotations

import errno
import re

from frevo.cli import rm as rm_command
from frevo.cli.common import UsageError
from frevo.cli.open_shares import expand, is_directory, one_by_one
from frevo.cli.shell.session import Shell
from frevo.client import Share
from frevo.client.address import join

_ATTRIBUTES = {"r": 0x01, "h": 0x02, "s": 0x04, "a": 0x20}


async def _found(shell: Shell, arguments: list[str]) -> list[tuple[Share, str]]:
    share = await shell.share()
    found = []
    for word in arguments:
        path = shell.path(word)
        if not path:
            raise UsageError("that is the whole share: give a path in it")
        found += [(share, one) for one in await expand(share, path)]
    return found


async def rm(shell: Shell, arguments: list[str]) -> int:
    """Remove files; for a pattern, only the files that match."""

    async def removed(share: Share, path: str) -> None:
        known = await share.stat(path, follow=False)
        if known.is_dir() and not known.is_symlink():
            raise IsADirectoryError(errno.EISDIR, "it is a directory: use rmdir or deltree", path)
        await share.remove(path)

    found = await _found(shell, arguments)
    if any("*" in word or "?" in word for word in arguments):
        found = [(share, path) for share, path in found if not await is_directory(share, path)]
        if not found:
            raise FileNotFoundError(errno.ENOENT, "no matching file", " ".join(arguments))
    return await one_by_one(found, removed)


async def deltree(shell: Shell, arguments: list[str]) -> int:
    """Remove files, and directories with everything in them."""

    async def removed(share: Share, path: str) -> None:
        await rm_command.remove(share, path, recursive=True)

    return await one_by_one(await _found(shell, arguments), removed)


async def mkdir(shell: Shell, arguments: list[str]) -> int:
    """Create directories and missing parents."""
    share = await shell.share()
    return await one_by_one([(share, shell.path(word)) for word in arguments], Share.makedirs)


async def rmdir(shell: Shell, arguments: list[str]) -> int:
    """Removes empty directories."""
    return await one_by_one(await _found(shell, arguments), Share.rmdir)


async def rename(shell: Shell, arguments: list[str]) -> None:
    """Rename; does not replace an existing file."""
    share, source, target = await _two(shell, arguments)
    await share.rename(source, target)


async def copy(shell: Shell, arguments: list[str]) -> None:
    """Copy on the server."""
    share, source, target = await _two(shell, arguments)
    if await is_directory(share, source):
        raise IsADirectoryError(errno.EISDIR, "it is a directory: use `frevo cp -r`", source)
    await share.copy(source, target)


async def _two(shell: Shell, arguments: list[str]) -> tuple[Share, str, str]:
    share = await shell.share()
    source, target = shell.path(arguments[0]), shell.path(arguments[1])
    if not target or await is_directory(share, target):
        target = join(target, source.rpartition("/")[2])
    return share, source, target


async def setmode(shell: Shell, arguments: list[str]) -> int:
    """Sets and clears attributes."""
    if not re.fullmatch(r"([+-][rhsa]+)+", arguments[1]):
        raise UsageError("expected attributes as letters of rhsa after + or -: setmode a.txt +r-h")

    async def changed(share: Share, path: str) -> None:
        attributes = (await share.stat(path)).attributes
        sign = "+"
        for letter in arguments[1]:
            if letter in "+-":
                sign = letter
            elif sign == "+":
                attributes |= _ATTRIBUTES[letter]
            else:
                attributes &= ~_ATTRIBUTES[letter]
        await share.set_attributes(path, attributes & sum(_ATTRIBUTES.values()))

    return await one_by_one(await _found(shell, arguments[:1]), changed)
