"""A mount from beginning to end: mounts, answers the kernel until it is unmounted, and completes all writes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
from collections.abc import Callable, Iterator

import msgspec

from frevo.client.share.share import Share
from frevo.client.to_the_end import in_thread
from frevo.fuse import mounting
from frevo.fuse.abi import InitFlags
from frevo.fuse.mounting import MountError, MountOptions
from frevo.fuse.session import Handler, Session
from frevo.mount.directories import Directories
from frevo.mount.files import Files
from frevo.mount.locking import Locks
from frevo.mount.names import Names
from frevo.mount.nodes import Appearance
from frevo.mount.remote import Remote
from frevo.mount.state import State, errno_of
from frevo.mount.xattrs import Xattrs

log = logging.getLogger(__name__)

#: How far the kernel reads ahead of a program that reads sequentially.
READAHEAD_BYTES = 8 << 20

_FLAGS = (
    InitFlags.ASYNC_READ
    | InitFlags.ATOMIC_O_TRUNC
    | InitFlags.BIG_WRITES
    | InitFlags.AUTO_INVAL_DATA
    | InitFlags.DO_READDIRPLUS
    | InitFlags.ASYNC_DIO
    | InitFlags.PARALLEL_DIROPS
    | InitFlags.MAX_PAGES
    | InitFlags.HANDLE_KILLPRIV_V2
)
_LOCKS = InitFlags.POSIX_LOCKS | InitFlags.FLOCK_LOCKS


class Settings(msgspec.Struct, frozen=True):
    """How a share is mounted. cache_s: seconds for which names and attributes are cached, like actimeo of cifs."""

    directory: str
    source: str
    uid: int
    gid: int
    umask: int = 0o022
    cache_s: float = 1.0
    read_only: bool = False
    allow_other: bool = False
    xattrs: bool = False  # `ls -l` reads two per file: without them it is twice as fast
    server_locks: bool = True  # locks of programs are the server's, too


async def serve_mount(share: Share, settings: Settings, ready: Callable[[], None]) -> None:
    """Mounts *share* and returns when it is unmounted, by a user or by SIGINT, SIGTERM or SIGHUP.

    *ready* is called when the directory shows the share. MountError if it cannot be mounted; OSError if the share
    cannot be read, before anything is mounted. If cancelled, it unmounts.
    """
    state = State(Remote(share), Appearance(settings.uid, settings.gid, settings.umask), settings.cache_s)
    await state.refresh(state.table.root)  # a missing path is an error now
    options = MountOptions(settings.source, "frevo", settings.read_only, settings.allow_other)
    fd = await in_thread(
        mounting.mount, settings.directory, options, undo=lambda made: _take_away(settings.directory, made)
    )
    flags = _FLAGS | (_LOCKS if settings.server_locks else InitFlags(0))
    session = state.session = Session(
        fd, _handlers(state, settings), readahead=READAHEAD_BYTES, flags=flags, errno_of=errno_of
    )
    try:
        with _signals(settings.directory, session):
            await in_thread(mounting.raise_readahead, settings.directory, READAHEAD_BYTES)
            ready()
            await asyncio.shield(session.ended)
    finally:
        try:
            if not session.ended.done():
                await _unmount(settings.directory, session)
        finally:
            await _finished(state)


def _handlers(state: State, settings: Settings) -> dict[int, Handler]:
    return {
        **Names(state).handlers(),
        **Files(state).handlers(),
        **Directories(state).handlers(),
        **(Xattrs(state).handlers() if settings.xattrs else {}),
        **(Locks(state).handlers() if settings.server_locks else {}),
    }


@contextlib.contextmanager
def _signals(directory: str, session: Session) -> Iterator[None]:
    """Context manager in which signals unmount."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def stop() -> None:
        if not tasks:
            tasks.add(loop.create_task(_unmount(directory, session)))

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _unmount(directory: str, session: Session) -> None:
    """Unmounts even if programs still use it, which get errors from now on."""
    try:
        await in_thread(mounting.unmount, directory)
    except MountError:
        with contextlib.suppress(MountError):
            await in_thread(functools.partial(mounting.unmount, directory, lazy=True))
    session.finish()


def _take_away(directory: str, fd: int) -> None:
    """Removes a mount that is no longer served because the caller was cancelled meanwhile."""
    os.close(fd)
    with contextlib.suppress(MountError):
        mounting.unmount(directory, lazy=True)


async def _finished(state: State) -> None:
    """Sends what was written and closes what is open, when nobody reads it any more."""
    await state.session.end_reads()
    for handle in state.numbers.files():
        if handle.node.writes is not None:
            await handle.node.writes.settle()
        with contextlib.suppress(OSError):
            await handle.file.close()
    await state.closed()
    await state.session.close()
