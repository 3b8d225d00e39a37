"""inotify(7) through ctypes: an instance, its watches, and its records as tuples."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x1000000
IN_MASK_CREATE: Final = 0x10000000
IN_ISDIR: Final = 0x40000000

_IN_NONBLOCK: Final = 0o4000
_IN_CLOEXEC: Final = 0o2000000
_READ_BYTES: Final = 65536
_RECORD = struct.Struct("iIII")

_libc = ctypes.CDLL(None, use_errno=True)
_add_watch = _libc.inotify_add_watch
_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class Event(NamedTuple):
    """One inotify record; `name` is "" for events of the watched directory itself."""

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """One inotify instance. Raises OSError (EMFILE, ENOSPC) when the user's limits are reached."""

    __slots__ = ("fd", "half")

    def __init__(self) -> None:
        self.half: list[Event] = []
        self.fd = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def add(self, directory_fd: int, mask: int) -> int:
        """Watch the directory of *directory_fd* (may be O_PATH); returns the watch's number."""
        watch = _add_watch(self.fd, b"/proc/self/fd/%d" % directory_fd, mask | IN_ONLYDIR)
        if watch < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(watch)

    def remove(self, watch: int) -> None:
        """End a watch, if it has not ended by itself. Records already queued still arrive."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self, *, whole: bool = False) -> list[Event]:
        """Up to 64 KiB of queued records; [] if there are none. With *whole*, the first half of a rename at their end
        is kept in `half` for the next call: the kernel queues the other one a moment later, if there is one."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
            data = b""
        if whole and not data:
            return []
        events, self.half = self.half, []
        offset = 0
        while offset < len(data):
            watch, mask, cookie, length = _RECORD.unpack_from(data, offset)
            offset += _RECORD.size
            raw = data[offset : offset + length].rstrip(b"\0")
            events.append(Event(watch, mask, cookie, os.fsdecode(raw)))
            offset += length
        if whole and events[-1].mask & IN_MOVED_FROM:
            self.half = [events.pop()]
        return events

    def close(self) -> None:
        """End all watches. May be called twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
