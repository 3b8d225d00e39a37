"""Emulated RDMA: the Unix sockets that stand for ports of this machine, and where they are.

Port 5445 is the socket `smbdirect.5445.sock` in `/run/frevo` if root serves, else in the runtime folder of the user who
does (frevo.folders.runtime_dir). Its server has a lock on `smbdirect.5445.lock`, so that what a dead one has left is
known as such.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from frevo.folders import SYSTEM_RUNTIME_DIR, make_folder, runtime_dir

#: sun_path without its NUL.
_ADDRESS_MAX = 107
#: Connections that may wait to be accepted.
_BACKLOG = 1024
#: The ports that port 0 chooses from.
_FREE_FIRST, _FREE_COUNT = 49152, 16384


class EmulatedPort(msgspec.Struct, frozen=True, eq=False):
    """A listening socket that stands for a port."""

    socket: socket.socket
    path: Path
    port: int
    lock: int  # the descriptor that has the port's lock

    def close(self) -> None:
        """Closes it, which may have been done already, removes its file and gives the port free."""
        self.socket.close()
        with contextlib.suppress(OSError):  # after root has become another user; the next server removes it
            self.path.unlink()
        os.close(self.lock)


def folder_of_server(configured: str) -> Path:
    """Where a server's sockets are; *configured* is the folder that a configuration names, or empty."""
    return Path(configured or runtime_dir())


def folders_of_client(configured: str) -> list[Path]:
    """Where a client looks: in its own user's folder, then in root's."""
    if configured:
        return [Path(configured)]
    return [Path(one) for one in dict.fromkeys((runtime_dir(), SYSTEM_RUNTIME_DIR))]


def path_of(folder: Path, port: int) -> Path:
    """The socket that stands for *port*."""
    return folder / f"smbdirect.{port}.sock"


def bind_port(folder: Path, port: int) -> EmulatedPort:
    """Listens on *port* (0: a free one); every user of this machine may connect who can reach *folder*.

    A missing folder is made. What a dead server has left is replaced. Raises OSError with the path in `filename`.
    """
    place = path_of(folder, port) if port else folder
    try:
        make_folder(folder, 0o755)
        if port:
            return _bind(place, port)
        for number in range(_FREE_COUNT):
            free = _FREE_FIRST + (os.getpid() + number) % _FREE_COUNT
            with contextlib.suppress(BlockingIOError):
                return _bind(path_of(folder, free), free)
        raise BlockingIOError(errno.EAGAIN, "")
    except BlockingIOError:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(place)) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def find_port(configured: str, port: int) -> Path:
    """The socket of a server that a client may connect to. FileNotFoundError when there is none."""
    folders = folders_of_client(configured)
    found = [place for folder in folders if (place := path_of(folder, port)).is_socket()]
    if not found:
        where = " or ".join(map(str, folders))
        raise FileNotFoundError(errno.ENOENT, f"no server listens: there is no smbdirect.{port}.sock in {where}")
    return found[0]


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """An address of the socket *path*, however long that is. OSError if its folder does not exist."""
    if len(os.fsencode(path)) <= _ADDRESS_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bind(place: Path, port: int) -> EmulatedPort:
    """BlockingIOError if a server has the port."""
    with contextlib.ExitStack() as undo:
        lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        undo.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place.unlink(missing_ok=True)
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.setblocking(False)
        with address_of(place) as address:
            listener.bind(address)
        place.chmod(0o666)
        listener.listen(_BACKLOG)
        undo.pop_all()
        return EmulatedPort(listener, place, port, lock)
