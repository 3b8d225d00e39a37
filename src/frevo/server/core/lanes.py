"""Decides which folders need a lane, from the kernel's mount table: at the first tree connect, and when it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from frevo.config import ShareConfig
from frevo.server.core.lane import Lane
from frevo.vfs.filesystems import Mount, mounts, slow_mount

log = logging.getLogger("frevo.server")

_TABLE = "/proc/self/mountinfo"


class Lanes:
    """The lanes of a server, one for each slow file system, by its mount point."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lanes: dict[str, Lane] = {}

    def of(self, path: str, share: ShareConfig, table: list[Mount] | None = None) -> Lane | None:
        """The lane that the folder *path* needs according to *table* (default: the current one), or None. Makes no call
        to a slow file system."""
        inline = share.frevo_inline_metadata
        if inline == "yes":
            return None
        mount = slow_mount(path, mounts() if table is None else table)
        if mount is None:
            return self._lane(path, path) if inline == "no" else None
        return self._lane(mount.point, f"{mount.point} ({mount.type})")

    def _lane(self, key: str, shown: str) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            log.info("%s may be slow: calls to it run in threads of their own", shown)
            lane = self._lanes[key] = Lane(self._loop, key)
        return lane

    @property
    def busy(self) -> bool:
        """Whether calls or closes are under way."""
        return any(lane.busy for lane in self._lanes.values())

    async def drain(self, timeout: float) -> None:
        """Waits for closes that are under way, at most *timeout* seconds."""
        deadline = self._loop.time() + timeout
        for point, lane in self._lanes.items():
            if not await lane.drain(max(0.0, deadline - self._loop.time())):
                log.warning("%s does not respond: leaving its open files to the kernel", point)

    def stop(self) -> None:
        """Stops every lane."""
        for lane in self._lanes.values():
            lane.stop()


class MountWatch:
    """Calls back when the mount table changes. The kernel reports it with POLLPRI, which asyncio cannot wait for, hence
    the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._stop_read, self._stop_write = os.pipe()
        threading.Thread(target=self._wait, name="frevo-mounts", daemon=True).start()

    def _wait(self) -> None:
        try:
            with Path(_TABLE).open("rb") as table:
                poll = select.poll()
                poll.register(table, select.POLLPRI)
                poll.register(self._stop_read, select.POLLIN)
                while all(fd != self._stop_read for fd, _ in poll.poll()):
                    self._loop.call_soon_threadsafe(self._changed)
        except (OSError, RuntimeError):  # no /proc; the loop has ended
            pass
        finally:
            os.close(self._stop_read)

    def close(self) -> None:
        """Ends the thread."""
        os.close(self._stop_write)
