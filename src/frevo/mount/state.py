"""Shared by the operations of one mount: nodes, server, freshness of metadata, and errors as errno."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Coroutine, Iterable
from typing import Any

from frevo.client.errors import RemoteError
from frevo.client.tree.stat import Stat
from frevo.fuse import abi
from frevo.fuse.session import Request, Session
from frevo.mount.handles import Handle, Numbers
from frevo.mount.name_mapping import is_too_long, to_remote
from frevo.mount.nodes import Appearance, Node, Table, is_another
from frevo.mount.remote import Remote
from frevo.mount.writing import Budget
from frevo.wire.erref import NTStatus

#: Statuses that mean something else for a Linux program than for a client on Windows.
_NUMBERS = {
    NTStatus.DELETE_PENDING: errno.ENOENT,
    NTStatus.NETWORK_NAME_DELETED: errno.EIO,
    NTStatus.USER_SESSION_DELETED: errno.EIO,
    NTStatus.NETWORK_SESSION_EXPIRED: errno.EIO,
    NTStatus.NOT_A_REPARSE_POINT: errno.EINVAL,
}


def errno_of(error: Exception) -> int:
    """The errno for a program."""
    if isinstance(error, RemoteError) and error.ntstatus in _NUMBERS:
        return _NUMBERS[error.ntstatus]
    if isinstance(error, ConnectionError):
        return errno.EIO
    return getattr(error, "errno", None) or errno.EIO


def failure(number: int) -> OSError:
    """An exception for *number*."""
    return OSError(number, os.strerror(number))


class State:
    """One mount. *cache_s*: how long names and attributes are cached."""

    session: Session

    def __init__(self, remote: Remote, appearance: Appearance, cache_s: float) -> None:
        self.remote = remote
        self.appearance = appearance
        self.cache_s = cache_s
        self.table = Table()
        self.numbers = Numbers()
        self.budget = Budget()
        self._closing: set[asyncio.Task[None]] = set()
        self._now = asyncio.get_running_loop().time

    # -- cached metadata

    def fresh_until(self) -> float:
        """The time until which metadata received now is fresh."""
        return self._now() + self.cache_s

    def is_fresh(self, node: Node) -> bool:
        """Whether the metadata of *node* is fresh."""
        return node.stat is not None and self._now() < node.fresh_until

    async def refresh(self, node: Node) -> None:
        """Gets the metadata of *node* from the server, after writes under way have arrived."""
        if node.writes is not None:
            await node.writes.settle()
        known = await self._asked(node)
        if node.stat is not None and is_another(node.stat, known):
            self.table.removed(node)
            raise failure(errno.ESTALE)  # the kernel looks the name up again
        node.learn(known, self.fresh_until())

    async def _asked(self, node: Node) -> Stat:
        handle = next(iter(node.handles), None)
        if handle is not None and not handle.file.closed:
            try:
                known = await handle.file.stat()
            except OSError:
                if node.gone:
                    raise
            else:
                return self._without_name(known) if node.gone else known
        return await self.remote.stat(node.path)

    @staticmethod
    def _without_name(known: Stat) -> Stat:
        return Stat(
            known.size, known.attributes, known.creation_time, known.last_access_time, known.last_write_time,
            known.change_time, known.allocation_size, known.file_id, 0,
        )  # fmt: skip

    # -- responses

    def entry(self, node: Node) -> bytes:
        """The response that gives the kernel a reference to *node*."""
        node.lookups += 1
        return abi.entry(node.number, self.fresh_s(node), self.appearance.attributes(node))

    def fresh_s(self, node: Node) -> float:
        """How long the kernel may cache the metadata of *node*: no longer than we do."""
        left = node.fresh_until - self._now()
        return left if left > 0 else self.cache_s

    def attributes(self, node: Node) -> bytes:
        """The response with the metadata of *node*."""
        return abi.attr_out(self.fresh_s(node), self.appearance.attributes(node))

    def parent_and_name(self, request: Request, offset: int = 0) -> tuple[Node, str]:
        """The directory and the name (as the server has it) of a request."""
        return self.table[request.node], remote_name(request.name(offset))

    def found(self, parent: Node, name: str, stat: Stat) -> bytes:
        """The response that gives the kernel *name* with its new metadata *stat*."""
        node = self.table.found(parent, name, stat)
        node.learn(stat, self.fresh_until())
        return self.entry(node)

    def changed(self, directory: Node) -> None:
        """Called after creating or removing something in *directory*: its metadata is out of date."""
        directory.fresh_until, directory.packed = 0.0, None
        directory.changes += 1

    def appeared(self, directory: Node, name: str) -> None:
        """Called after creating *name* in *directory*."""
        self.changed(directory)
        if directory.names is not None:
            directory.names.add(name.casefold())

    def vanished(self, node: Node) -> None:
        """Called if another client has removed *node*: what is known of its directory is out of date."""
        if node.parent is not None:
            node.parent.fresh_until, node.parent.names = 0.0, None
        self.table.removed(node)

    def recount(self, stat: Stat) -> None:
        """All nodes of the file get its new number of links, and the kernel asks for their metadata again."""
        for node in self.table.of_file(stat.file_id) if stat.file_id else ():
            node.count(stat.links)
            self.session.notify(abi.invalidate_attributes(node.number))

    # -- which names there are

    def lists(self, directory: Node, names: Iterable[str], fresh_until: float) -> None:
        """Records that *directory* contains exactly these names."""
        directory.names = {name.casefold() for name in names}
        directory.names_until = fresh_until

    def lacks(self, directory: Node, name: str) -> bool:
        """Whether *directory* is known not to contain this name in any case."""
        if directory.names is None:
            return False
        if self._now() >= directory.names_until:
            directory.names = None
            return False
        return name.casefold() not in directory.names

    # -- opens that go away

    def close_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs *work*, which `closed` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def closed(self) -> bool:
        """Waits for the closes that are under way; whether there were any."""
        if not self._closing:
            return False
        await asyncio.wait(set(self._closing))
        return True

    def writer_of(self, node: Node) -> Handle | None:
        """An open of *node* that may write."""
        return next((one for one in node.handles if one.writable and not one.file.closed), None)


def remote_name(name: str) -> str:
    """*name* in the server's form; ENAMETOOLONG if it is too long for any server."""
    mapped = to_remote(name)
    if is_too_long(mapped):
        raise failure(errno.ENAMETOOLONG)
    return mapped
