"""`frevo get` and `put`, every other one with Ctrl-C in the middle; those that end must have moved the right bytes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.soak.client import Ended, Post
from benchmarks.soak.ledger import Ledger, note_fault
from benchmarks.soak.storage import file_name
from benchmarks.soak.words import BLOCK

#: The file that is downloaded: its size does not change.
_FILE = 0
#: What a transfer that was interrupted leaves behind, to go on from there.
PARTS = ".frevo-*.part"
#: What is uploaded, and its name in the share.
UPLOAD = "upload"
_INTERRUPTED = 130
_TIMEOUT_S = 90.0
_CTRL_C_S = 0.5
_LOOK_S = 0.005
_REST_S = 0.5


def run(post: Post) -> None:
    """One transfer after the other until the round is over."""
    ledger, rng = post.ledger(), post.rng
    ended = Ended(ledger)
    here = post.folder / f"transfers {post.life}"
    here.mkdir()
    try:
        while not ended():
            upload, interrupt_s = rng.randrange(2), rng.random() * _CTRL_C_S if rng.randrange(2) else 0.0
            words = ["--no-sign"] if rng.randrange(2) else []
            (_put if upload else _get)(post, ledger, here, words, interrupt_s)
            time.sleep(_REST_S)
    finally:
        shutil.rmtree(here)


def _get(post: Post, ledger: Ledger, here: Path, words: list[str], interrupt_s: float) -> None:
    size = post.shape.tail_start * BLOCK
    before = ledger.before(_FILE, 0, size)
    copy = here / "download"
    words = ["get", "--quiet", *words, f"{post.url}/{file_name(_FILE)}", str(copy)]
    if _transfer(post, ledger, words, here, interrupt_s):
        found, _ = ledger.check(_FILE, 0, size, copy.read_bytes(), before)
        for text in found:
            note_fault(post.folder, "frevo get", text)
        copy.unlink()


def _put(post: Post, ledger: Ledger, here: Path, words: list[str], interrupt_s: float) -> None:
    source = here / "source"
    if not source.exists():
        source.write_bytes(os.urandom(1 << 20) * 40)
    there = post.share / UPLOAD
    words = ["put", "--quiet", *words, str(source), f"{post.url}/{UPLOAD}"]
    if _transfer(post, ledger, words, post.share, interrupt_s) and there.read_bytes() != source.read_bytes():
        note_fault(post.folder, "frevo put", f"{there} is not what was sent")


def _under_way(process: subprocess.Popen[str], target: Path) -> bool:
    """Waits until the first data has arrived: before, Ctrl-C would be about Python's start. False if it has ended."""
    begun = time.time()
    while process.poll() is None:
        for part in target.glob(PARTS):
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime > begun:  # and not what another one has left
                    return True
        time.sleep(_LOOK_S)
    return False


def _transfer(post: Post, ledger: Ledger, words: list[str], target: Path, interrupt_s: float) -> bool:
    """Whether it was done; notes a fault if it failed. *target*: the folder that gets the file."""
    environment = {**os.environ, "FREVO_USER": post.user, "FREVO_PASSWORD": post.password}
    command = [sys.executable, "-m", "frevo", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                          text=True) as process:  # fmt: skip
        try:
            if interrupt_s and _under_way(process, target):
                time.sleep(interrupt_s)
                process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            note_fault(post.folder, f"frevo {words[0]}", f"no end within {_TIMEOUT_S:g} s: {said}")
            return False
    ledger.count(post.member, "transfers")
    if interrupt_s and process.returncode in (_INTERRUPTED, -signal.SIGINT):
        ledger.count(post.member, "interrupts")
        return False
    if process.returncode:
        note_fault(post.folder, f"frevo {' '.join(words)}", f"exit code {process.returncode}: {said}")
    return process.returncode == 0
