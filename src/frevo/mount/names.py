"""FUSE requests about names and metadata: LOOKUP, GETATTR, SETATTR, MKDIR, UNLINK, RENAME, STATFS."""

from __future__ import annotations

import errno
import stat as modes
from collections.abc import Awaitable

from frevo.client.errors import RemoteError
from frevo.fuse import abi
from frevo.fuse.abi import Opcode, SetattrValid
from frevo.fuse.session import Answer, Handler, Request
from frevo.mount.name_mapping import NAME_UNITS_MAX
from frevo.mount.nodes import Node, is_another
from frevo.mount.remote import listed
from frevo.mount.state import State, failure, remote_name
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import FileAttributes

_READONLY = int(FileAttributes.READONLY)
_RENAME_NOREPLACE = 1
_TIMES = SetattrValid.ATIME | SetattrValid.MTIME
_STATFS_BLOCK = 4096
#: Cached responses of STATFS.
_SPACES_MAX = 64
#: A directory is listed again instead of looking up single names if these are at least this many, and more than one in
#: this many entries.
_LOOKUPS_MIN = 16
_ENTRIES_A_REQUEST = 50

#: Statuses that may be caused by one of our own closes that is still under way.
_BUSY = (
    NTStatus.SHARING_VIOLATION,
    NTStatus.DIRECTORY_NOT_EMPTY,
    NTStatus.DELETE_PENDING,
    NTStatus.ACCESS_DENIED,
)
#: Statuses of servers without hard links.
_NO_LINKS = (
    NTStatus.NOT_SUPPORTED,
    NTStatus.NOT_IMPLEMENTED,
    NTStatus.INVALID_INFO_CLASS,
    NTStatus.INVALID_DEVICE_REQUEST,
)


class Names:
    def __init__(self, state: State) -> None:
        self._state = state
        self._space: dict[str, tuple[float, bytes]] = {}  # by path: until when it is believed, and the answer

    def handlers(self) -> dict[int, Handler]:
        """The handlers by opcode."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.FORGET: self.forget,
            Opcode.BATCH_FORGET: self.forget_many,
            Opcode.GETATTR: self.getattr,
            Opcode.SETATTR: self.setattr,
            Opcode.MKDIR: self.mkdir,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename2,
            Opcode.READLINK: self.readlink,
            Opcode.SYMLINK: self.symlink,
            Opcode.LINK: self.link,
            Opcode.STATFS: self.statfs,
        }

    # -- what is there

    def lookup(self, request: Request) -> Answer | Awaitable[Answer]:
        """Looks up a name. That it does not exist may be cached, and is known for a directory that was just created or
        listed."""
        state = self._state
        parent, name = state.parent_and_name(request)
        if state.lacks(parent, name):
            return self._nothing()
        known = parent.children.get(name)
        return (
            state.entry(known) if known is not None and state.is_fresh(known) else self._lookup(parent, name)
        )

    async def _lookup(self, parent: Node, name: str) -> Answer:
        state = self._state
        known = parent.children.get(name)
        if known is not None and await self._listed_again(parent) and state.is_fresh(known):
            return state.entry(known)
        try:
            found = await state.remote.stat(parent.at(name))
        except RemoteError as error:
            if error.errno != errno.ENOENT and error.ntstatus != NTStatus.DELETE_PENDING:
                raise
            return self._nothing()
        return state.found(parent, name, found)

    async def _listed_again(self, parent: Node) -> bool:
        """Lists *parent* again if that is cheaper than looking up so many names; returns whether it did."""
        if not self._state.cache_s:
            return False
        parent.lookups_missed += 1
        if parent.lookups_missed < max(_LOOKUPS_MIN, len(parent.children) // _ENTRIES_A_REQUEST):
            return False
        parent.lookups_missed = 0
        until = self._state.fresh_until()
        async for entry in self._state.remote.share.scandir(parent.path):
            node = parent.children.get(entry.name)
            found = listed(entry)
            if (
                node is not None
                and node.stat is not None
                and not (node.handles or is_another(node.stat, found))
            ):
                node.learn(found, until)
        if (
            self._state.fresh_until() >= until + self._state.cache_s
        ):  # it took too long to be trusted
            parent.lookups_missed = -len(parent.children)
        return True

    def _nothing(self) -> Answer:
        return abi.entry(0, self._state.cache_s, abi.NO_ENTRY_ATTRIBUTES)

    def forget(self, request: Request) -> Answer:
        """The kernel drops references to a node."""
        self._state.table.forget(request.node, *abi.FORGET.unpack_from(request.body))
        return None

    def forget_many(self, request: Request) -> Answer:
        """`forget` of several."""
        for number, lookups in abi.parse_forgets(request.body):
            self._state.table.forget(number, lookups)
        return None

    def getattr(self, request: Request) -> Answer | Awaitable[Answer]:
        """Attributes, from the cache while they are fresh."""
        node = self._state.table[request.node]
        if self._state.is_fresh(node):
            return self._state.attributes(node)
        return self._getattr(node)

    async def _getattr(self, node: Node) -> Answer:
        await self._state.refresh(node)
        return self._state.attributes(node)

    async def statfs(self, request: Request) -> Answer:
        """The space on the file system of the file: there may be several below the root of the share."""
        node = self._state.table[request.node]
        path = "" if node.gone else node.path
        until, answer = self._space.get(path, (0.0, b""))
        if not answer or until <= self._state.fresh_until() - self._state.cache_s:
            space = await self._state.remote.share.statvfs(path)
            total, free, available = (
                size // _STATFS_BLOCK for size in (space.total, space.free, space.available)
            )
            answer = abi.statfs(total, free, available, _STATFS_BLOCK, NAME_UNITS_MAX)
            if len(self._space) >= _SPACES_MAX:
                self._space.clear()
            self._space[path] = (self._state.fresh_until(), answer)
        return answer

    # -- attributes

    async def setattr(self, request: Request) -> Answer:
        """Sets size, times, and from the mode only whether it may be written. Owners are ignored, as by cifs."""
        state = self._state
        node, wanted = state.table[request.node], abi.parse_setattr(request.body)
        if node.writes is not None:
            await node.writes.settle()
        if wanted.valid & SetattrValid.SIZE:
            await self._resize(node, wanted.size)
        attributes = await self._attributes(node, wanted.mode) if wanted.valid & SetattrValid.MODE else None
        if attributes is not None or wanted.valid & _TIMES:
            writer = state.writer_of(node)
            known = await state.remote.set_basic(
                "" if writer else node.path,
                writer.file if writer else None,
                attributes,
                wanted.atime_ns if wanted.valid & SetattrValid.ATIME else None,
                wanted.mtime_ns if wanted.valid & SetattrValid.MTIME else None,
            )
            node.learn(known, state.fresh_until())
        elif wanted.valid & SetattrValid.SIZE or node.stat is None:
            await state.refresh(node)
        return state.attributes(node)

    async def _resize(self, node: Node, size: int) -> None:
        writer = self._state.writer_of(node)
        if writer is not None:
            await writer.data_file.truncate(size)
        else:
            await self._state.remote.truncate(node.path, size)
        node.resize(size)

    async def _attributes(self, node: Node, mode: int) -> int | None:
        """The attributes for *mode*; None if they are already set."""
        if node.stat is None:
            await self._state.refresh(node)
        assert node.stat is not None
        known = node.stat.attributes
        if node.stat.is_dir():
            return None
        new = known & ~_READONLY if mode & 0o222 else known | _READONLY
        return None if new == known else new

    # -- making, removing and renaming

    async def mkdir(self, request: Request) -> Answer:
        """A new directory."""
        state = self._state
        parent, name = state.parent_and_name(request, abi.MKDIR.size)
        found = await state.remote.mkdir(parent.at(name))
        state.appeared(parent, name)
        answer = state.found(parent, name, found)
        state.lists(parent.children[name], (), state.fresh_until())
        return answer

    async def unlink(self, request: Request) -> Answer:
        """Removes a file."""
        parent, name = self._state.parent_and_name(request)
        await self._removed(parent, name, directory=False)
        return b""

    async def rmdir(self, request: Request) -> Answer:
        """Removes an empty directory."""
        parent, name = self._state.parent_and_name(request)
        await self._removed(parent, name, directory=True)
        return b""

    async def _removed(self, parent: Node, name: str, *, directory: bool) -> None:
        state = self._state
        node = parent.children.get(name)
        try:
            await self._delete(node, parent.at(name), directory)
        except RemoteError as error:
            if error.ntstatus not in _BUSY or not await state.closed():
                raise
            await self._delete(node, parent.at(name), directory)
        if node is not None:
            state.table.removed(node)
            if node.stat is not None and node.stat.links and not directory:
                state.recount(node.stat)
        state.changed(parent)

    async def _delete(self, node: Node | None, path: str, directory: bool) -> None:
        if node is not None and node.handles:
            await self._state.remote.unlink_open(path)
        else:
            await self._state.remote.delete(path, directory=directory)

    async def rename(self, request: Request) -> Answer:
        """Renames, replacing what has the new name."""
        (target,) = abi.RENAME.unpack_from(request.body)
        return await self._renamed(request, target, abi.RENAME.size, 0)

    async def rename2(self, request: Request) -> Answer:
        """`rename` with flags; of these RENAME_NOREPLACE."""
        target, flags, _ = abi.RENAME2.unpack_from(request.body)
        if flags & ~_RENAME_NOREPLACE:
            raise failure(errno.EINVAL)
        return await self._renamed(request, target, abi.RENAME2.size, flags)

    async def _renamed(self, request: Request, directory: int, offset: int, flags: int) -> Answer:
        state = self._state
        old, new = map(remote_name, request.names(offset))
        source, target = state.table[request.node], state.table[directory]
        replace = not flags & _RENAME_NOREPLACE
        there = target.children.get(new)
        if replace and there is not None and there.handles and there is not source.children.get(old):
            await state.remote.unlink_open(
                target.at(new)
            )  # a file that is open cannot be replaced, only removed
            state.table.removed(there)
        try:
            await state.remote.rename(source.at(old), target.at(new), replace=replace)
        except RemoteError as error:
            if error.ntstatus not in _BUSY or not await state.closed():
                raise
            await state.remote.rename(source.at(old), target.at(new), replace=replace)
        node = source.children.get(old)
        if node is not None:
            state.table.moved(node, target, new)
        elif (former := target.children.get(new)) is not None:
            state.table.removed(former)
        state.changed(source)
        state.appeared(target, new)
        return b""

    # -- links

    async def readlink(self, request: Request) -> Answer:
        """The target of a link."""
        target = await self._state.remote.readlink(self._state.table[request.node].path)
        return target.encode(errors="surrogateescape")

    async def symlink(self, request: Request) -> Answer:
        """Makes a symbolic link; EOPNOTSUPP if the server has none."""
        state = self._state
        name, target = request.names()
        parent, name = state.table[request.node], remote_name(name)
        found = await state.remote.symlink(parent.at(name), target)
        state.appeared(parent, name)
        return state.found(parent, name, found)

    async def link(self, request: Request) -> Answer:
        """A hard link; EPERM, which programs take as "copy it", if the server has none."""
        state = self._state
        (number,) = abi.LINK.unpack_from(request.body)
        node, (parent, name) = state.table[number], state.parent_and_name(request, abi.LINK.size)
        if node.writes is not None:
            await node.writes.settle()
        await state.closed()  # the response of CLOSE has the old number of links
        try:
            found = await state.remote.link(node.path, parent.at(name))
        except RemoteError as error:
            if error.ntstatus in _NO_LINKS:
                raise failure(errno.EPERM) from None
            raise
        state.recount(found)
        state.appeared(parent, name)
        return state.found(parent, name, found)


def is_regular(mode: int) -> bool:
    """Whether MKNOD asks for a regular file."""
    return modes.S_ISREG(mode) or modes.S_IFMT(mode) == 0
