"""FUSE requests about open directories: the listing contains all metadata of each entry (READDIRPLUS)."""

from __future__ import annotations

import errno
import os
import stat as modes

from frevo.client.share.listing import DirEntry
from frevo.client.tree.stat import Stat
from frevo.fuse import abi
from frevo.fuse.abi import Opcode
from frevo.fuse.session import Answer, Handler, Request
from frevo.mount.handles import DirectoryHandle
from frevo.mount.name_mapping import from_remote
from frevo.mount.nodes import Node, inode_number
from frevo.mount.remote import UNLINKED_PREFIX, listed
from frevo.mount.state import State, failure

#: "." and "..": they must be in the listing; the kernel looks them up itself.
_DOTS = (b".", b"..")


class Directories:
    def __init__(self, state: State) -> None:
        self._state = state

    def handlers(self) -> dict[int, Handler]:
        """The handlers by opcode."""
        return {
            Opcode.OPENDIR: self.opendir,
            Opcode.READDIR: self.readdir,
            Opcode.READDIRPLUS: self.readdir,
            Opcode.RELEASEDIR: self.releasedir,
            Opcode.FSYNCDIR: self.fsyncdir,
        }

    def opendir(self, request: Request) -> Answer:
        """Sends no request: the listing begins with the first READDIR."""
        handle = DirectoryHandle(self._state.table[request.node])
        return abi.open_out(self._state.numbers.add(handle))

    def releasedir(self, request: Request) -> Answer:
        """Forgets the entries and ends an unfinished listing."""
        number, *_ = abi.RELEASE.unpack_from(request.body)
        handle = self._state.numbers.pop(number, DirectoryHandle)
        self._stop(handle)
        return b""

    def fsyncdir(self, request: Request) -> Answer:
        """Nothing to do: names are on the server as soon as their creation is answered."""
        return b""

    def _stop(self, handle: DirectoryHandle) -> None:
        source, handle.source = handle.source, None
        closing = getattr(source, "aclose", None)
        if closing is not None:
            self._state.close_later(closing())

    async def readdir(self, request: Request) -> Answer:
        """As many entries from *offset* on as fit into the kernel's buffer."""
        number, offset, size, *_ = abi.READ.unpack_from(request.body)
        handle = self._state.numbers.get(number, DirectoryHandle)
        plus = request.opcode == Opcode.READDIRPLUS
        if offset == 0:
            self._stop(handle)
            handle.entries, handle.broken = [], False
            handle.source = self._state.remote.share.scandir(handle.node.path)
            handle.node.lookups_missed = 0
            handle.begun = (self._state.fresh_until(), handle.node.changes)
        made = bytearray()
        while True:
            entry: DirEntry | bytes
            if offset < len(_DOTS):
                entry = _DOTS[offset]
            elif await self._has(handle, offset - len(_DOTS)):
                entry = handle.entries[offset - len(_DOTS)]
            else:
                break
            offset += 1
            added = self._packed(handle.node, entry, offset, plus, size - len(made))
            if added is None:
                break
            made += added
        return made

    async def _has(self, handle: DirectoryHandle, index: int) -> bool:
        while index >= len(handle.entries) and handle.source is not None:
            try:
                entry = await anext(handle.source)
            except StopAsyncIteration:
                handle.source = None
                until, changes = handle.begun
                if changes == handle.node.changes:
                    self._state.lists(handle.node, (entry.name for entry in handle.entries), until)
            except BaseException:  # cancelled, or the server failed: the directory does not end here
                handle.source, handle.broken = None, True
                raise
            else:
                if not entry.name.startswith(UNLINKED_PREFIX):
                    handle.entries.append(entry)
        if handle.broken and index >= len(handle.entries):
            raise failure(errno.EIO)
        return index < len(handle.entries)

    def _packed(
        self, directory: Node, entry: DirEntry | bytes, offset: int, plus: bool, room: int
    ) -> bytes | None:
        """One entry, None if it is longer than *room*."""
        if isinstance(entry, bytes):
            node = directory.parent if entry == b".." and directory.parent is not None else directory
            number = inode_number(node, node.stat) if node.stat is not None else node.number
            line = abi.directory_entry(number, offset, modes.S_IFDIR >> 12, entry)
            made = bytes(abi.ENTRY_SIZE) + line if plus else line
            return made if len(made) <= room else None
        name = os.fsencode(from_remote(entry.name))
        if abi.ENTRY_SIZE * plus + abi.DIRENT_SIZE + len(name) + 8 > room:
            return None
        found = listed(entry)
        kind = self._state.appearance.mode(found) >> 12
        if not plus:
            return abi.directory_entry(found.file_id or offset, offset, kind, name)
        node = self._learned(directory, entry.name, found)
        assert node.stat is not None
        line = abi.directory_entry(inode_number(node, node.stat), offset, kind, name)
        return self._state.entry(node) + line

    def _learned(self, directory: Node, name: str, found: Stat) -> Node:
        node = self._state.table.found(directory, name, found)
        # About a file that is open here, we may know more than the listing.
        if node.stat is None or not (node.handles or node.writes):
            node.learn(found, self._state.fresh_until())
        return node
