"""The emulation of the kernel's QUIC sockets (tests/peers/kernel-quic), for processes that the tests start.

It is preloaded: sockets of IPPROTO_QUIC become TCP sockets, and their options and messages are checked as the real
module checks them. It says nothing about QUIC itself.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "kernel-quic"


class KernelQuic:
    """An emulated kernel: the environment of its processes, and what they did with its sockets."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.environment = {"LD_PRELOAD": str(_library()), "KERNEL_QUIC_DIR": str(folder)}

    def log(self) -> str:
        """What happened, a line each: the process, and what it did."""
        try:
            return (self.folder / "log").read_text()
        except FileNotFoundError:
            return ""

    def count(self, pattern: str) -> int:
        """How many lines of the log match *pattern* after the process."""
        return len(re.findall(rf"^\d+ {pattern}", self.log(), re.MULTILINE))

    def check(self) -> None:
        """Fails if a process used a socket in a way that the real module refuses, or the ends did not agree."""
        wrong = re.findall(r"^\d+ (?:refused|violation).*$", self.log(), re.MULTILINE)
        assert not wrong, wrong


@functools.cache
def _library() -> Path:
    """The emulation, compiled for this machine once for all tests of the process."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    made = Path(tempfile.mkdtemp(prefix="frevo-kernel-quic-")) / "kernel-quic.so"
    sources = sorted(map(str, SOURCES.glob("*.c")))
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(made), *sources]
    subprocess.run([*command, "-lpthread"], check=True, timeout=60, env={**os.environ, "LC_ALL": "C"})
    return made
