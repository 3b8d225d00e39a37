"""The state of a shell and how it runs one line: connection, directory, switches, error messages."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from frevo.cli import remote
from frevo.cli.common import UsageError, one_line, printable
from frevo.cli.shell import words

if TYPE_CHECKING:
    from frevo.client import Options, Share

Ask = Callable[[str], Awaitable[str]]


class Leave(Exception):
    """Raised by `exit`."""


class Shell:
    """One share, a directory in it, and the switches `recurse`, `prompt` and `verify`."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._place = remote.location(args.url)
        if not self._place.share:
            raise UsageError(f"{args.url} names no share: smb://host/share (`frevo shares` lists them)")
        self._options: Options | None = None
        self._share: Share | None = None
        self.directory = ""
        self.recurse = False
        self.asking = True
        self.verify = False
        #: Asks the user a question; None in scripts.
        self.ask: Ask | None = None
        #: False while another program has the terminal: it gets Ctrl-C, too.
        self.interruptible = True
        #: What `history` shows, oldest first.
        self.history: Callable[[], Iterable[str]] = list

    # -- the connection

    async def begin(self) -> None:
        """Connect and enter the URL's directory. UsageError, or an OSError of either."""
        self._options = remote.options(self._args, self._place)
        await self.enter(self._place.path)

    async def share(self) -> Share:
        """The share; reconnects if the connection was lost."""
        from frevo.client import connect

        if self._share is not None and self._share.tree.connection.lost:
            print("frevo: connection lost: reconnecting", file=sys.stderr)
            await self.close()
        if self._share is None:
            self._share = await connect(remote.share_url(self._place), self._options)
        return self._share

    @property
    def connected(self) -> Share | None:
        """The share, if connected."""
        lost = self._share is None or self._share.tree.connection.lost
        return None if lost else self._share

    async def close(self) -> None:
        """Ends the connection."""
        if self._share is not None:
            share, self._share = self._share, None
            await share.close()

    # -- places

    @property
    def title(self) -> str:
        """The prompt's text: share:/directory."""
        return one_line(f"{self._place.share}:/{self.directory}")

    @property
    def url(self) -> str:
        """The directory's URL."""
        return f"{remote.share_url(self._place)}/{quote(self.directory)}".rstrip("/")

    def path(self, word: str) -> str:
        """*word* relative to the share's root, seen from the directory; ".." stops at the root."""
        text = remote.speakable(word).replace("\\", "/")
        parts = [] if text.startswith("/") else self.directory.split("/")
        for part in text.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(part for part in parts if part)

    def seen(self, path: str) -> str:
        """*path*, relative to the root, as seen from the directory."""
        return path.removeprefix(f"{self.directory}/") if self.directory else path

    async def enter(self, path: str) -> None:
        """Make *path*, relative to the root, the directory. NotADirectoryError, and exceptions of `stat`."""
        if not (await (await self.share()).stat(path)).is_dir():
            raise NotADirectoryError(20, "it is not a directory", path)
        self.directory = path

    # -- running

    async def script(self, lines: Iterable[str]) -> int:
        """The exit code of *lines*: 1 if one failed. A failed cd ends the script, because the rest would act
        elsewhere."""
        code = 0
        for line in lines:
            try:
                failed = await self.run(line)
            except Leave:
                break
            code = code or failed
            if failed and line.split()[:1] and line.split()[0].lower() in ("cd", "lcd"):
                print("frevo: skipping the rest of the script", file=sys.stderr)
                break
        return code

    async def run(self, line: str) -> int:
        """The exit code of one command line; reports its errors. Raises Leave for `exit`. May be cancelled."""
        from frevo.cli.shell import commands

        line = line.strip()
        tolerant = line.startswith("-")
        line = line[1:].lstrip() if tolerant else line
        if not line or line.startswith("#"):
            return 0
        try:
            code = await commands.run(self, line)
        except UsageError as error:
            code = _said(str(error))
        except BrokenPipeError:  # of our output: no one reads it
            raise
        except OSError as error:
            where = error.filename if isinstance(error.filename, str) else ""
            code = _said(f"{where}: {remote.sentence(error)}" if where else remote.sentence(error))
        finally:
            sys.stdout.flush()
        return 0 if tolerant else code

    async def child(self, *command: str, shell: bool = False, **options: int) -> asyncio.subprocess.Process:
        """Start a program that owns the terminal until the caller has waited for it with `ended`."""
        self.interruptible = False
        sys.stdout.flush()
        try:
            if shell:
                return await asyncio.create_subprocess_shell(command[0], **options)  # type: ignore[arg-type]
            return await asyncio.create_subprocess_exec(*command, **options)  # type: ignore[arg-type]
        except BaseException:
            self.interruptible = True
            raise

    async def ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the program; returns its exit code."""
        try:
            return await process.wait()
        finally:
            self.interruptible = True


def _said(text: str) -> int:
    print(printable(f"frevo: {text}"), file=sys.stderr)
    return 1


def shown(text: str) -> None:
    """Print a line without control characters."""
    print(printable(text))


__all__ = ["Ask", "Leave", "Shell", "shown", "words"]
