"""A program on a pseudo-terminal: a person's keystrokes in, the screen's contents out."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from peers import programs

_STEERING = re.compile(rb"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[=>78])")


class Typist:
    """Types, and waits for what must appear."""

    def __init__(self, fd: int, process: subprocess.Popen[bytes]) -> None:
        self._fd = fd
        self.process = process
        self.seen = ""

    def type(self, keys: str) -> None:
        """Sends keystrokes; Enter is a carriage return."""
        os.write(self._fd, keys.encode())

    def expect(self, text: str, timeout_s: float = 20) -> str:
        """Waits until *text* has appeared after what was expected before; everything up to there."""
        assert self.appears(text, timeout_s), f"{text!r} did not appear; there was {self.seen[-2000:]!r}"
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def appears(self, text: str, timeout_s: float) -> bool:
        """Whether *text* appears within so many seconds."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            if not select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return False
            self.seen += self._read()
        return True

    def end(self, timeout_s: float = 30) -> int:
        """Waits for the program's end; its exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; there was {self.seen[-2000:]!r}"
            if select.select([self._fd], [], [], 0.05)[0]:
                self.seen += self._read()
        return self.process.returncode

    def _read(self) -> str:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: the other end is closed
            data = b""
        assert data or self.process.poll() is None or self.seen, "the program ended"
        return _STEERING.sub(b"", data).decode(errors="replace")


@contextmanager
def typist(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Iterator[Typist]:
    """Runs *command* on a terminal of its own until the block ends."""
    setsid = programs.need("setsid")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    try:
        process = subprocess.Popen(
            [setsid, "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env},
        )
        os.close(theirs)
        try:
            yield Typist(ours, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    finally:
        os.close(ours)
