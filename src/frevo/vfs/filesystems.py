"""Tells slow file systems from fast ones by the kernel's mount table, without accessing any of them.

Reference: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

#: What lies on a disk of this machine, in its memory or in the kernel. Everything else (FUSE, NFS, SMB, 9p, Ceph,
#: clusters, automounters) depends on a program or a machine that may not respond.
_LOCAL: Final = (
    "bcachefs btrfs cramfs devtmpfs efivarfs erofs exfat ext2 ext3 ext4 f2fs hfs hfsplus hugetlbfs iso9660 jffs2 jfs "
    "minix msdos nilfs2 ntfs ntfs3 overlay proc ramfs reiserfs rootfs squashfs sysfs tmpfs ubifs udf vfat xfs zfs"
)
LOCAL: Final = frozenset(_LOCAL.split())
#: As many links as the kernel follows in one path.
_LINKS_MAX: Final = 40
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the mount table."""

    point: str  # where it is mounted
    type: str  # as in /proc/filesystems; with FUSE the part after the dot says whose: "fuse.sshfs"

    @property
    def slow(self) -> bool:
        """Whether calls may wait for something other than this machine's kernel and disks."""
        return self.type not in LOCAL


def mounts(table: Path = Path("/proc/self/mountinfo")) -> list[Mount]:
    """All mounts of this process's namespace, older ones first; empty without /proc."""
    try:
        text = table.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        columns, kind = fields.split(" "), rest.split(" ")
        if len(columns) > 4 and kind[0]:
            found.append(Mount(_ESCAPE.sub(_unescaped, columns[4]), kind[0]))
    return found


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def mount_of(path: str, table: list[Mount]) -> Mount | None:
    """The mount of an absolute *path* without links: the newest of the deepest."""
    found: Mount | None = None
    for mount in table:
        if is_inside(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def is_inside(path: str, folder: str) -> bool:
    """Whether an absolute *path* without links is *folder* or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def slow_mount(path: str, table: list[Mount]) -> Mount | None:
    """The slow mount that contains the folder *path* (absolute), else one below it; None if all are local.

    Follows links itself, and looks at nothing inside a slow mount.
    """
    todo = deque(part for part in path.split("/") if part)
    at = "/"
    links = 0
    while True:
        mount = mount_of(at, table)
        if mount is not None and mount.slow:
            return mount
        if not todo:
            return next((mount for mount in table if mount.slow and is_inside(mount.point, at)), None)
        part = todo.popleft()
        if part in (".", ".."):
            at = os.path.dirname(at) if part == ".." else at  # noqa: PTH120 (a string, not the disk)
            continue
        step = f"{at.rstrip('/')}/{part}"
        target = None if any(mount.point == step for mount in table) else _link(step)
        if target is None:
            at = step
            continue
        links += 1
        if links > _LINKS_MAX:
            return None  # opening it will say ELOOP
        if target.startswith("/"):
            at = "/"
        todo.extendleft(reversed([piece for piece in target.split("/") if piece]))


def _link(path: str) -> str | None:
    """The target of a symbolic link; None if it is not a link or does not exist."""
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return None
