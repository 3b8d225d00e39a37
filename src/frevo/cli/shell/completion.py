"""Completion of the shell's lines: commands, names on the share, local names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from frevo.cli.common import UsageError, one_line
from frevo.cli.shell import commands, words
from frevo.cli.shell.session import Shell

#: More names would not help.
_NAMES_MAX = 1000
_SECONDS = 3.0


class ShellCompleter(Completer):
    """Asks the server with a wildcard, so that large directories are not listed; never connects."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Nothing: completion needs the server."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Completions of the word before the cursor; none if the server does not respond."""
        line = document.text_before_cursor
        try:
            async with asyncio.timeout(_SECONDS):
                found = await self._candidates(line)
        except (OSError, UsageError, TimeoutError):
            return
        word = words.scan(line)[-1]
        for text, directory in found:
            new = words.quoted(text, closed=not directory)
            shown = text.rstrip("/").rpartition("/")[2] + ("/" if directory else "")
            yield Completion(new, word.start - len(line), display=one_line(shown))

    async def _candidates(self, line: str) -> list[tuple[str, bool]]:
        """(the whole word, whether it is a directory)."""
        known = words.scan(line.removeprefix("!") if line.startswith("!") else line)
        if line.startswith("!"):
            return await asyncio.to_thread(_here, known[-1].text)
        if len(known) == 1:
            return [(name, False) for name in commands.names() if name.startswith(known[0].text.lower())]
        kind = commands.find(known[0].text.lstrip("-")).kind(len(known) - 2)
        if kind == "c":
            return [(name, False) for name in commands.names() if name.startswith(known[-1].text)]
        if kind == "l":
            return await asyncio.to_thread(_here, known[-1].text)
        return await self._there(known[-1].text) if kind == "r" else []

    async def _there(self, text: str) -> list[tuple[str, bool]]:
        share = self._shell.connected
        text = text.replace("\\", "/")
        folder, slash, begin = text.rpartition("/")
        if share is None or any(letter in begin for letter in '*?<>"'):
            return []
        found: list[tuple[str, bool]] = []
        path = self._shell.path(f"{folder}{slash}")
        async with aclosing(share.scandir(path, f"{begin}*")) as entries:
            async for entry in entries:
                if entry.name.casefold().startswith(begin.casefold()) and len(found) < _NAMES_MAX:
                    ending = "/" if entry.is_dir() else ""
                    found.append((f"{folder}{slash}{entry.name}{ending}", entry.is_dir()))
        return sorted(found, key=lambda one: one[0].casefold())


def _here(text: str) -> list[tuple[str, bool]]:
    folder, slash, begin = text.rpartition("/")
    found: list[tuple[str, bool]] = []
    with os.scandir(Path(f"{folder}{slash}" or ".").expanduser()) as entries:
        for entry in entries:
            hidden = entry.name.startswith(".") and not begin.startswith(".")
            if entry.name.startswith(begin) and not hidden and len(found) < _NAMES_MAX:
                ending = "/" if entry.is_dir() else ""
                found.append((f"{folder}{slash}{entry.name}{ending}", bool(ending)))
    return sorted(found, key=lambda one: one[0].casefold())
