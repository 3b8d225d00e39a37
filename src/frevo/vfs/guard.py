"""Hides the server's own secrets from all shares: the private directory with its contents, the keytab, TLS keys.

They are identified by device and inode, so that no symbolic link, hard link, bind mount or renamed folder exposes
them. For clients they do not exist. The directory is always read with the server's own rights, whatever user is
acting.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from frevo.aio.acting import as_identity
from frevo.aio.syscalls import AT_FDCWD, FileStatus, statx
from frevo.errors import SMBError
from frevo.vfs.system import proc_path
from frevo.wire.erref import NTStatus

#: Device and inode, as in `FileIdentity`.
Id = tuple[int, int]

#: Changes within this time (units of 100 ns) of a scan may have the same modification time as what was scanned.
_UNSETTLED: Final = 1_000_000
_EPOCH: Final = 116_444_736_000_000_000  # 1970 as FILETIME
_LEVELS_MAX: Final = 4096
#: Folders in the directory that are kept open to see their changes; with more, everything is read at every look.
_BELOW_MAX: Final = 8
#: How long it is believed that the private directory is, or is not, somewhere below a root, in seconds.
_LOOK_AGAIN_S: Final = 1.0


def id_of(status: FileStatus) -> Id:
    """Device and inode."""
    return os.makedev(status.dev_major, status.dev_minor), status.ino


class Guard:
    """Knows the server's own files. A check costs one look at the directory's time, and only on its own device."""

    __slots__ = (
        "_below",
        "_deep",
        "_devices",
        "_fd",
        "_files",
        "_folder",
        "_ids",
        "_inodes",
        "_kept",
        "_settled",
        "_stamp",
        "may_lie_anywhere",
    )

    def __init__(self, folder: str | Path, files: Sequence[str] = ()) -> None:
        self._folder = str(folder)
        self._files = tuple(files)
        self._fd = -1
        self._ids: frozenset[Id] = frozenset()
        self._inodes: frozenset[int] = frozenset()
        self._devices: frozenset[int] = frozenset()
        self._kept: list[Id] = []  # the files among them
        self._stamp = -1
        #: Folders in the directory with their times: a change in them does not show in the directory's own.
        self._below: list[tuple[int, int]] = []
        self._settled = self._deep = False
        #: Whether `lies_below` does not tell all: there are files beside the directory, or it is not there yet.
        self.may_lie_anywhere = True
        self._look()

    def hides(self, identity: Sequence[int | str], *, closely: bool = True) -> bool:
        """Whether the file with this identity (device, inode, ...) is the server's own.

        Without *closely*, uses the last known state: for files that cannot be new in the directory.
        """
        if not closely and self._devices and identity[:2] not in self._ids:
            return False
        if self._devices and identity[0] not in self._devices:
            return False
        self._look()
        return identity[:2] in self._ids

    def inodes(self) -> frozenset[int]:
        """The inodes hidden now, for a first check of many names; `hides` decides for certain."""
        self._look()
        return self._inodes

    def lies_below(self, identity: Sequence[int | str]) -> bool:
        """Whether the directory with this identity contains the private directory at any depth."""
        if self._fd < 0:
            return False
        with as_identity(None):
            fd = os.dup(self._fd)
            try:
                last = None
                for _ in range(_LEVELS_MAX):
                    found = id_of(statx(fd))
                    if found == tuple(identity[:2]):
                        return True
                    if found == last:
                        return False
                    last = found
                    up = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
                    os.close(fd)
                    fd = up
                return True
            finally:
                os.close(fd)

    def _look(self) -> None:
        """Read the directory again if it has changed."""
        if self._fd >= 0 and self._settled:
            status = statx(self._fd)
            same = all(statx(fd).mtime == stamp for fd, stamp in self._below)
            if same and status.mtime == self._stamp and status.nlink and self._file_ids() == self._kept:
                return
        with as_identity(None):
            self._read()

    def _read(self) -> None:
        if self._fd >= 0 and not statx(self._fd).nlink:  # it was removed; there may be a new one
            os.close(self._fd)
            self._fd = -1
        self._kept = self._file_ids()
        ids = set(self._kept)
        try:
            if self._fd < 0:
                self._fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            status = statx(self._fd)
            ids.add(id_of(status))
            self._forget_below()
            self._collect(proc_path(self._fd), ids)
        except OSError:  # there is none yet
            self._settled = False
        else:
            self._stamp = status.mtime
            newest = max(status.mtime, *(stamp for _, stamp in self._below), 0)
            now = time.time_ns() // 100 + _EPOCH
            self._settled = not self._deep and now - newest > _UNSETTLED
        self.may_lie_anywhere = self._fd < 0 or bool(self._files)
        if ids != self._ids:
            self._ids, self._inodes = frozenset(ids), frozenset(inode for _, inode in ids)
            self._devices = frozenset(device for device, _ in ids)

    def _file_ids(self) -> list[Id]:
        """The existing files outside the directory."""
        found = []
        for path in self._files:
            try:
                found.append(id_of(statx(AT_FDCWD, os.fsencode(path), 0)))
            except OSError:
                continue
        return found

    def _collect(self, folder: str, ids: set[Id]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                ids.add((status.st_dev, status.st_ino))
                if entry.is_dir(follow_symlinks=False):
                    self._keep_below(entry.path)
                    self._collect(entry.path, ids)

    def _keep_below(self, folder: str) -> None:
        if len(self._below) >= _BELOW_MAX:
            self._deep = True
            return
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._below.append((fd, statx(fd).mtime))

    def _forget_below(self) -> None:
        below, self._below, self._deep = self._below, [], False
        for fd, _ in below:
            os.close(fd)

    def close(self) -> None:
        """Closing twice is fine."""
        self._forget_below()
        fd, self._fd = self._fd, -1
        self.may_lie_anywhere = True
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class FolderGuard:
    """The secrets that one shared folder could expose. PermissionError if the root is one of them."""

    __slots__ = ("_guard", "_holds", "_look_again_at", "_mount", "_root")

    def __init__(self, guard: Guard, root_fd: int) -> None:
        status = statx(root_fd)
        self._guard = guard
        self._root, self._mount = id_of(status), status.mnt_id
        self._holds, self._look_again_at = False, 0.0
        if guard.hides(self._root):
            raise PermissionError(errno.EACCES, "the server's private directory cannot be shared")

    def hides(self, status: FileStatus) -> bool:
        """Whether this is one of the server's own files, which do not exist for clients."""
        may_be_new = self._may_be_new(status)
        if not may_be_new and status.ino not in self._guard._inodes:  # the usual one, in the way of every CREATE
            return False
        return self._guard.hides(id_of(status), closely=may_be_new)

    def _may_be_new(self, status: FileStatus) -> bool:
        """Whether a new server file could appear here: below the root, through a mount, or as another link."""
        if (
            self._guard.may_lie_anywhere
            or status.mnt_id != self._mount
            or (status.nlink > 1 and not stat_module.S_ISDIR(status.mode))
        ):
            return True
        now = time.monotonic()
        if now >= self._look_again_at:  # folders may have been moved meanwhile
            self._look_again_at = now + _LOOK_AGAIN_S
            self._holds = self._guard.lies_below(self._root)
        return self._holds

    def inodes(self) -> frozenset[int]:
        """As `Guard.inodes`."""
        return self._guard.inodes()

    def check_stays(self, directory: Sequence[int | str]) -> None:
        """ACCESS_DENIED for a directory that must not be deleted or moved because it contains the private directory."""
        if self._guard.lies_below(directory):
            raise SMBError(NTStatus.ACCESS_DENIED, "it contains the server's private directory")
