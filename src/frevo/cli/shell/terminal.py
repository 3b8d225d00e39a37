"""The shell on a terminal: prompt with history and completion; Ctrl-C ends the running command, not the shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from frevo.cli.shell.completion import ShellCompleter
from frevo.cli.shell.session import Leave, Shell

#: The history file is cut to its newer half when it is larger.
_HISTORY_BYTES_MAX = 1 << 20


def history_file() -> Path:
    """`history` in the XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "frevo" / "history"


class _File(FileHistory):
    def store_string(self, string: str) -> None:
        """A full disk is no reason to end."""
        with contextlib.suppress(OSError):
            super().store_string(string)


def open_history(path: Path) -> History:
    """The lines of earlier shells, readable by the user only; in memory if the file is not available."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "r+b") as file:
            os.fchmod(fd, 0o600)
            if os.fstat(fd).st_size > _HISTORY_BYTES_MAX:
                file.seek(-_HISTORY_BYTES_MAX // 2, os.SEEK_END)
                newer = file.read().partition(b"\n\n")[2]
                file.seek(0)
                file.truncate()
                file.write(newer)
    except OSError:
        return InMemoryHistory()
    return _File(str(path))


def _keys() -> KeyBindings:
    """Tab continues after a unique name: into the directory."""
    keys = KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and len(buffer.complete_state.completions) > 1:
            buffer.complete_next()
        else:
            buffer.complete_state = None
            buffer.start_completion(insert_common_part=True)

    return keys


class Terminal:
    """Reads lines from a terminal and runs them."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._running: asyncio.Task[int] | None = None
        self._session: PromptSession[str] = PromptSession(
            history=open_history(history_file()),
            completer=ShellCompleter(shell),
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            enable_history_search=True,
            key_bindings=_keys(),
        )
        shell.ask = self._ask
        shell.history = self._session.history.get_strings

    async def run(self) -> int:
        """Run until `exit` or Ctrl-D. Always 0: the user has seen the errors."""
        print("`help` lists the commands, Tab completes names, Ctrl-D ends.")
        while True:
            try:
                line = await self._session.prompt_async(f"{self._shell.title}> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return 0
            try:
                await self._one(line)
            except Leave:
                return 0

    async def _one(self, line: str) -> None:
        self._running = asyncio.get_running_loop().create_task(self._shell.run(line))
        with self._interrupts():
            try:
                await self._running
            except asyncio.CancelledError:
                if not self._running.cancelled():  # this task itself is cancelled
                    raise
                print("interrupted", file=sys.stderr)
            finally:
                self._running.cancel()
                self._running = None

    @contextlib.contextmanager
    def _interrupts(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

    def _interrupt(self) -> None:
        if self._running is not None and self._shell.interruptible:
            self._running.cancel()

    async def _ask(self, question: str) -> str:
        """A prompt while a command runs; Ctrl-C and Ctrl-D end the command."""
        asking: PromptSession[str] = PromptSession()
        try:
            return await asking.prompt_async(question)
        except (KeyboardInterrupt, EOFError):
            raise asyncio.CancelledError from None
        finally:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
