"""Moves the trees of a file system to a lane and back, while requests are under way.

Both happen between two handlers, in one step. A handler that began in the loop and waits goes on in the lane
(`frevo.server.receive`); one that began in the lane and waits goes on in the loop, through the lane, which then makes
its calls at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from frevo.server.core.lane import Lane
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.vfs.offloaded import OffloadedBackend, OffloadedHandle, offloaded, offloaded_handle

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.shares import Share
    from frevo.server.core.state import Open
    from frevo.vfs.base import Backend


def move_to_lanes(server: Server, lane_of: Callable[[Share, str], Lane | None]) -> None:
    """Moves every backend in the loop for which *lane_of* has a lane, given its share and folder."""
    for share in _shares(server):
        for path, backend in tuple(share.backends.items()):
            if isinstance(backend, LocalBackend) and (lane := lane_of(share, path)) is not None:
                share.backends[path], share.lanes[path] = offloaded(backend, lane), lane
                _give(server, backend, share.backends[path], lane)
                for opened in _opens(server, share.backends[path]):
                    if isinstance(opened.handle, LocalHandle):
                        opened.handle = offloaded_handle(opened.handle, lane)


def move_to_loop(server: Server, lane: Lane, names_inline: int) -> None:
    """Moves every backend of *lane* to the loop; *names_inline*: see `LocalOptions`."""
    for share in _shares(server):
        for path, backend in tuple(share.backends.items()):
            if share.lanes.get(path) is lane and isinstance(backend, OffloadedBackend):
                inner = share.backends[path] = backend.inner
                share.lanes[path] = None
                inner.moved_to(None, names_inline)
                _give(server, backend, inner, None)
                for opened in _opens(server, inner):
                    if isinstance(opened.handle, OffloadedHandle):
                        opened.handle.when_idle(lambda opened=opened: _unwrap(opened))


def _unwrap(opened: Open) -> None:
    if isinstance(opened.handle, OffloadedHandle) and opened.tree.lane is None:
        opened.handle = opened.handle.inner


def _shares(server: Server) -> Iterator[Share]:
    """All shares in use, also those that are no longer configured so."""
    connected = [tree.share for session in server.sessions.values() for tree in session.trees.values()]
    yield from dict.fromkeys((*server.shares.values(), *server.homes.values(), *connected))


def _give(server: Server, before: Backend, after: Backend, lane: Lane | None) -> None:
    for session in server.sessions.values():
        for tree in session.trees.values():
            if tree.backend is before:
                tree.backend, tree.lane = after, lane


def _opens(server: Server, backend: Backend) -> list[Open]:
    return [opened for opened in server.opens.values() if opened.tree.backend is backend]
