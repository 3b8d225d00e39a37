"""The shares that one command uses: connects each once, expands wildcards, counts failures."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from frevo.cli import remote
from frevo.cli.common import UsageError

if TYPE_CHECKING:
    from frevo.client import Share


class Shares:
    """The shares in one command's URLs; a context manager that closes them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._stack = AsyncExitStack()
        self._known: dict[tuple[str | int | None, ...], Share] = {}

    async def at(self, url: str) -> tuple[Share, str]:
        """The share of *url* and the path in it. UsageError, or an OSError on connecting."""
        location = remote.location(url)
        key = (location.host, location.port, location.share.casefold(), location.user, location.domain)
        if key not in self._known:
            self._known[key] = await self._stack.enter_async_context(remote.open_share(self._args, url))
        return self._known[key], location.path

    async def matching(self, urls: Sequence[str]) -> list[tuple[Share, str]]:
        """The shares and paths that *urls* match. FileNotFoundError if one matches nothing."""
        found = []
        for url in urls:
            share, path = await self.at(url)
            found += [(share, one) for one in await expand(share, path)]
        return found

    async def destination(self, url: str, several: bool) -> tuple[Share, str, bool]:
        """The share of *url*, the path in it, and whether it is a directory to put things into. UsageError if it is
        not but *several* need one."""
        share, path = await self.at(url)
        inside = not path or await is_directory(share, path)
        if several and not inside:
            raise UsageError(f"{url} is not a directory: create it first with frevo mkdir")
        return share, path, inside

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)


async def is_pattern(share: Share, path: str) -> bool:
    """Whether *path* has wildcards: always for * and ?; for [ unless a file has this name."""
    if "*" in path or "?" in path:
        return True
    return "[" in path and not await share.exists(path)


async def expand(share: Share, path: str) -> list[str]:
    """The paths that match *path*, sorted; *path* itself if it has no wildcards."""
    if not await is_pattern(share, path):
        return [path]
    found = [entry.path async for entry in share.glob(path)]
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no match", path)
    return sorted(found, key=str.casefold)


async def is_directory(share: Share, path: str) -> bool:
    """Whether *path* exists and is a directory."""
    try:
        return (await share.stat(path)).is_dir()
    except FileNotFoundError:
        return False


async def one_by_one(
    found: Sequence[tuple[Share, str]], action: Callable[[Share, str], Awaitable[object]]
) -> int:
    """Call *action* for each; reports failures and continues, except after a lost connection. The exit code."""
    code = 0
    for share, path in found:
        try:
            await action(share, path)
        except ConnectionError:
            raise
        except OSError as error:
            remote.complain(path, error)
            code = 1
    return code
