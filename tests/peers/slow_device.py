"""A disk with ext4 that can be told to respond no more: a loop device over a file of FUSE."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.programs import missing
from peers.stuck_fuse import READ, StuckFuse, stuck_fuse

_IMAGE_BYTES = 24 << 20


@contextmanager
def slow_device(folder: Path, content: Path) -> Iterator[StuckFuse]:
    """Mounts a file system with what is in *content*, to be read only, at *folder*. While `stuck` is set, reads of what
    the kernel does not have in memory do not end."""
    if shutil.which("mke2fs") is None or shutil.which("losetup") is None:
        missing("mke2fs and losetup make the disk")
    image = folder.with_name(folder.name + "-image")
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    # Without a journal and with all metadata in one place, mounting reads little, and reading a file no metadata.
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-d", str(content)]
    subprocess.run(["mke2fs", *options, str(image)], check=True)
    below = folder.with_name(folder.name + "-below")
    below.mkdir()
    with stuck_fuse(below, {"image": image.read_bytes()}) as fuse:
        fuse.holds = {READ}
        mount = ["mount", "-o", "loop,ro", str(below / "image"), str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"no loop device here: {done.stderr.strip()}")
        try:
            yield fuse
        finally:
            fuse.let_go()
            subprocess.run(["umount", str(folder)], check=True)
