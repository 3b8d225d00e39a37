"""The files and directories that the kernel knows: their position in the tree, and their latest metadata."""

from __future__ import annotations

import errno
import os
import stat as modes
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from frevo.client.address import join
from frevo.client.tree.stat import Stat
from frevo.fuse import abi
from frevo.wire.smb2 import FileAttributes

if TYPE_CHECKING:
    from frevo.mount.handles import Handle
    from frevo.mount.locking import FileLocks
    from frevo.mount.writing import Writes

_READONLY = int(FileAttributes.READONLY)


class Node(msgspec.Struct, eq=False):
    """One file or directory. *name* is as on the server; *gone*: it has no name any more."""

    number: int
    parent: Node | None
    name: str
    stat: Stat | None = None
    fresh_until: float = 0.0
    kernel_size: int = 0  # the size that the kernel was told
    lookups: int = 0  # references that the kernel holds
    gone: bool = False
    children: dict[str, Node] = msgspec.field(default_factory=dict)
    handles: set[Handle] = msgspec.field(default_factory=set)
    writes: Writes | None = None
    locks: FileLocks | None = None
    #: Of a directory: the names in it, case-folded, while they are fresh.
    names: set[str] | None = None
    names_until: float = 0.0
    #: Of a directory: how many known names had to be looked up since it was listed.
    lookups_missed: int = 0
    changes: int = 0  # of a directory: how often we have created or removed something in it
    #: (last write, size) of the data that the kernel may have in its page cache.
    cached: tuple[int, int] | None = None
    packed: bytes | None = None

    @property
    def path(self) -> str:
        """The path within the share. ESTALE if it no longer has a name."""
        parts: list[str] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            if node.gone:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            parts.append(node.name)
            node = node.parent
        return "/".join(reversed(parts))

    def at(self, name: str) -> str:
        """The path of *name* in this directory."""
        return join(self.path, name)

    def learn(self, stat: Stat, fresh_until: float) -> None:
        """Takes the server's metadata; data that is still on its way to the server counts as written."""
        if self.writes is not None and self.writes.end > stat.size:
            stat = resized(stat, self.writes.end)
        self.stat, self.fresh_until, self.packed = stat, fresh_until, None

    def resize(self, size: int) -> None:
        """Sets the size; the rest of the metadata is out of date from now on."""
        if self.stat is not None and self.stat.size != size:
            self.stat = resized(self.stat, size)
        self.fresh_until, self.packed, self.kernel_size = 0.0, None, size

    def count(self, links: int) -> None:
        """Sets the number of links; the rest of the metadata is out of date from now on."""
        if self.stat is not None:
            self.stat = replace(self.stat, links=links)
        self.fresh_until, self.packed = 0.0, None


def resized(stat: Stat, size: int) -> Stat:
    """*stat* with another size."""
    return replace(stat, size=size, allocation_size=max(stat.allocation_size, size))


class Table:
    """All nodes that the kernel may refer to, by number."""

    def __init__(self) -> None:
        self.root = Node(abi.ROOT_ID, None, "", lookups=1)
        self._nodes = {abi.ROOT_ID: self.root}
        self._next = abi.ROOT_ID + 1

    def __getitem__(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def __len__(self) -> int:
        return len(self._nodes)

    def found(self, parent: Node, name: str, stat: Stat) -> Node:
        """The node of *name* in *parent* for the metadata *stat*; a new one if another file now has the name."""
        node = parent.children.get(name)
        if node is not None and is_another(node.stat, stat):
            self.removed(node)
            node = None
        if node is None:
            node = Node(self._next, parent, name)
            self._next += 1
            self._nodes[node.number] = parent.children[name] = node
        return node

    def of_file(self, file_id: int) -> list[Node]:
        """All known nodes of a file, which may have several names."""
        return [
            node for node in self._nodes.values() if node.stat is not None and node.stat.file_id == file_id
        ]

    def forget(self, number: int, lookups: int) -> None:
        """The kernel has dropped *lookups* of its references."""
        node = self._nodes.get(number)
        if node is None or node is self.root:
            return
        node.lookups -= lookups
        if node.lookups <= 0:
            self._nodes.pop(number, None)
            self._detach(node)

    def removed(self, node: Node) -> None:
        """Its name has been deleted or is another file's now."""
        self._detach(node)
        node.gone = True
        node.count(max(0, node.stat.links - 1) if node.stat is not None else 0)

    def moved(self, node: Node, parent: Node, name: str) -> None:
        """The node has been renamed; what had that name before is gone."""
        former = parent.children.get(name)
        if former is not None and former is not node:
            self.removed(former)
        self._detach(node)
        node.parent, node.name = parent, name
        parent.children[name] = node

    @staticmethod
    def _detach(node: Node) -> None:
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]


def is_another(known: Stat | None, found: Stat) -> bool:
    """Whether *found* is of another file than *known*."""
    if known is None:
        return False
    if known.file_id and found.file_id and known.file_id != found.file_id:
        return True
    return modes.S_IFMT(known.st_mode) != modes.S_IFMT(found.st_mode)


class Appearance(msgspec.Struct, frozen=True):
    """Owner and permissions as Linux shows them; SMB has none of this kind."""

    uid: int
    gid: int
    umask: int

    def mode(self, stat: Stat) -> int:
        """All permissions except the umask's; a file with the read-only attribute cannot be written."""
        if stat.is_symlink():
            return modes.S_IFLNK | 0o777
        if stat.is_dir():
            kept = 0o777 & ~self.umask
            return modes.S_IFDIR | kept | (kept & 0o444) >> 2  # a directory that can be listed can be entered
        return modes.S_IFREG | (0o777 & ~self.umask & ~(0o222 if stat.attributes & _READONLY else 0))

    def attributes(self, node: Node) -> bytes:
        """fuse_attr of *node*, of which something is known, for the kernel."""
        stat = node.stat
        assert stat is not None
        node.kernel_size = stat.size
        if node.packed is None:
            times = (stat.st_atime_ns, stat.st_mtime_ns, stat.st_ctime_ns)
            blocks = -(-stat.allocation_size // 512)
            links = 0 if node.gone and stat.is_dir() else stat.links
            node.packed = abi.attributes(
                inode_number(node, stat), stat.size, blocks, times, self.mode(stat), links, self.uid, self.gid
            )
        return node.packed


def inode_number(node: Node, stat: Stat) -> int:
    """The inode number that programs see: the server's file number, or ours if it has none."""
    return stat.file_id & ((1 << 64) - 1) or node.number
