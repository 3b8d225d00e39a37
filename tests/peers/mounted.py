"""A `frevo mount -f` as a subprocess: ready when the directory shows the share, unmounted and checked at the end."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peers import programs
from peers.frevo_server import FREVO
from peers.target import Target

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass(slots=True)
class Mounted:
    """A share as a directory: *path* is the mount, *folder* what is behind it on the server."""

    path: Path
    folder: Path
    target: Target
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


def need_fuse() -> None:
    """Skips the test where FUSE cannot work, and says why; fails it in CI."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        programs.missing(f"/dev/fuse cannot be used here: {error.strerror} (container: --device /dev/fuse)")
    if os.geteuid() and shutil.which("fusermount3") is None:
        programs.missing("mounting needs root or fusermount3: apt-get install fuse3")
    if not os.geteuid():  # is root allowed to mount here?
        tried = programs.run(["unshare", "-m", "true"])
        if tried.status:
            programs.missing(
                f"mounting is not permitted here (container: --cap-add SYS_ADMIN): {tried.output.strip()}"
            )


def environment(target: Target) -> Mapping[str, str]:
    """The credentials of the test's user."""
    return {**os.environ, "FREVO_USER": target.user, "FREVO_PASSWORD": target.password}


@contextmanager
def mounted(
    target: Target, base: Path, *options: str, inner: str = "", share: str = "share"
) -> Iterator[Mounted]:
    """Mounts //target/share/inner below *base* until the block ends."""
    path = base / "mounted here"
    path.mkdir(parents=True)
    log = base / "mount.log"
    url = f"{target.url}/{share}/{inner}"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*FREVO, "mount", "-f", *options, url, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(target),
        )
    result = Mounted(path, target.folder(share) / inner, target, process, log)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        line = process.stdout.readline() if ready else b""
        assert b"is mounted" in line, f"no mount: {line!r}\n{log.read_text(errors='replace')}"
        yield result
    finally:
        _end(result)
    text = log.read_text(errors="replace")
    assert "Traceback" not in text and "internal error" not in text, text


def _end(mount: Mounted) -> None:
    assert mount.process.stdout is not None
    mount.process.stdout.close()
    if mount.process.poll() is None:
        mount.process.send_signal(signal.SIGTERM)
        try:
            mount.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            mount.process.kill()
            mount.process.wait()
            raise AssertionError("frevo mount did not end") from None
        finally:
            programs.run(["umount", "-l", str(mount.path)])  # only if it is still mounted
    assert not is_mounted(mount.path)


def is_mounted(path: Path) -> bool:
    """Whether the kernel has a mount there; asks no file system."""
    shown = str(path).replace(" ", "\\040")
    return any(line.split()[1] == shown for line in Path("/proc/mounts").read_text().splitlines())
