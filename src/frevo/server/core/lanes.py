"""Decides which folders need a lane: from the kernel's mount table, at the first tree connect and when it changes, and
from the time that calls take."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.aio.acting import as_identity
from frevo.config import ShareConfig
from frevo.server.core.lane import Lane
from frevo.server.core.moving import move_to_lanes, move_to_loop
from frevo.server.core.pace import SLOW_S, Pace, RunDelay
from frevo.server.core.shares import NAMES_INLINE
from frevo.vfs.filesystems import Mount, mount_of, mounts, slow_mount
from frevo.vfs.local import LocalBackend

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.state import Tree

log = logging.getLogger("frevo.server")

_TABLE = "/proc/self/mountinfo"


class Lanes:
    """The lanes of a server: one for each file system, by its mount point, and for each folder with
    `frevo:inline metadata = no`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = server.loop
        #: By purpose and mount point or folder.
        self._lanes: dict[tuple[str, str], Lane] = {}
        #: Of local file systems that have been slow at least once, by mount point.
        self._paces: dict[str, Pace] = {}
        self._run_delay = RunDelay()

    def of(self, path: str, share: ShareConfig, table: list[Mount] | None = None) -> Lane | None:
        """The lane that the folder *path* needs according to *table* (default: the current one), or None. Makes no call
        to a slow file system."""
        inline = share.frevo_inline_metadata
        if inline == "yes":
            return None
        table = mounts() if table is None else table
        mount = slow_mount(path, table)
        if mount is not None:
            return self._lane("type", mount.point, f"{mount.type} may not respond")
        if inline == "no":
            return self._lane("set", path, "frevo:inline metadata = no")
        return self._slow_disk(path, table) if self._paces else None

    def _lane(self, purpose: str, place: str, reason: str) -> Lane:
        lane = self._lanes.get((purpose, place))
        if lane is None:
            log.info("%s: calls run in threads of their own: %s", place, reason)
            lane = self._lanes[purpose, place] = Lane(self._loop, place, reason=reason)
        return lane

    def _slow_disk(self, path: str, table: list[Mount]) -> Lane | None:
        """The lane of the disk that holds the local folder *path*, if the disk is slow at the moment."""
        mount = mount_of(os.path.realpath(path), table)
        lane = self._lanes.get(("disk", mount.point)) if mount is not None else None
        return None if lane is None or lane.inline else lane

    # -- disks ------------------------------------------------------------------------------------------------

    def blocked(self, tree: Tree, took_s: float) -> None:
        """A request on *tree* has blocked the loop for *took_s*, more than `SLOW_S`: after several, its file system
        gets a lane."""
        backend = tree.backend
        if tree.share.config.frevo_inline_metadata != "auto" or not isinstance(backend, LocalBackend):
            return
        with as_identity(None):
            took_s -= self._run_delay.since_last()
            mount = mount_of(backend.folder.root, mounts()) if took_s > SLOW_S else None
        if mount is not None:
            pace = self._paces.setdefault(mount.point, Pace())
            if pace.blocked(took_s, self._loop.time()):
                self._loop.call_soon(self._leave_the_loop, mount, pace)

    def _leave_the_loop(self, mount: Mount, pace: Pace) -> None:
        lane = self._lanes.get(("disk", mount.point))
        if lane is None:
            lane = Lane(self._loop, mount.point, reason=f"{mount.type} is slow", pace=pace, ended=self._return)
            self._lanes["disk", mount.point] = lane
        elif not lane.inline:
            return
        log.info("%s (%s) is slow: calls run in threads of their own", mount.point, mount.type)
        lane.begin()
        pace.enter(self._loop.time())
        self.look_again()

    def _return(self, lane: Lane) -> None:
        for (purpose, place), known in self._lanes.items():
            if known is lane and purpose == "disk":
                log.info("%s has been fast for long: calls run in the event loop again", place)
        move_to_loop(self._server, lane, NAMES_INLINE)

    # -- the mount table, and the end -------------------------------------------------------------------------

    def look_again(self) -> None:
        """Gives trees that are served in the loop and need a lane by now their lane."""
        with as_identity(None):
            table = mounts()
            move_to_lanes(self._server, lambda share, path: self.of(path, share.config, table))

    @property
    def busy(self) -> bool:
        """Whether calls or closes are under way."""
        return any(lane.busy for lane in self._lanes.values())

    async def drain(self, timeout: float) -> None:
        """Waits for closes that are under way, at most *timeout* seconds."""
        deadline = self._loop.time() + timeout
        for (_, point), lane in self._lanes.items():
            if not await lane.drain(max(0.0, deadline - self._loop.time())):
                log.warning("%s does not respond: leaving its open files to the kernel", point)

    def stop(self) -> None:
        """Stops every lane."""
        for lane in self._lanes.values():
            lane.stop()
        self._run_delay.close()


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
