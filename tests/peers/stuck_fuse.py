"""A FUSE file system, mounted by root, that behaves like an empty folder until it is told to respond no more."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.programs import missing

_LOOKUP, _GETATTR, _STATFS, _INIT, _OPENDIR, _READDIR, _ACCESS = 1, 3, 17, 26, 27, 28, 34
_FORGET, _BATCH_FORGET = 2, 42
_ATTR = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40777, 2, 0, 0, 0, 4096, 0)
_MS_NOSUID_NODEV, _MNT_DETACH = 6, 2

_libc = ctypes.CDLL(None, use_errno=True)


class StuckFuse:
    """Look-ups begin and do not end while `stuck` is set; `asked` is set when one has begun."""

    def __init__(self, device: int) -> None:
        self._device = device
        self.stuck = threading.Event()
        self.asked = threading.Event()
        self._kept: list[int] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # unmounted
            _, operation, unique, _ = struct.unpack_from("<IIQQ", request)
            if operation == _LOOKUP and self.stuck.is_set():
                self._kept.append(unique)
                self.asked.set()
            elif operation not in (_FORGET, _BATCH_FORGET):
                self._answer(unique, *_reply(operation))

    def _answer(self, unique: int, error: int, data: bytes = b"") -> None:
        os.write(self._device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    def let_go(self) -> None:
        """Answers held requests, and everything from now on: no such name."""
        self.stuck.clear()
        while self._kept:
            self._answer(self._kept.pop(), errno.ENOENT)

    def end(self) -> None:
        """After the unmount: ends the thread."""
        self._thread.join(10)
        os.close(self._device)


def _reply(operation: int) -> tuple[int, bytes]:
    if operation == _INIT:
        return 0, struct.pack("<4I2H2I2HI28x", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0)
    if operation == _GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + _ATTR
    if operation in (_OPENDIR,):
        return 0, struct.pack("<QII", 1, 0, 0)
    if operation == _STATFS:
        return 0, struct.pack("<5Q4I24x", 1, 1, 1, 1, 1, 4096, 255, 4096, 0)
    if operation == _READDIR:
        return 0, b""
    return (errno.ENOENT if operation == _LOOKUP else errno.ENOSYS), b""


@contextmanager
def stuck_fuse(folder: Path) -> Iterator[StuckFuse]:
    """The file system at *folder*, for the length of the block."""
    if os.geteuid() != 0:
        missing("mounting without fusermount3 needs root")
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        missing(f"no FUSE here: {error}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _libc.mount(b"stuck", os.fsencode(folder), b"fuse.stuck", _MS_NOSUID_NODEV, options):
        os.close(device)
        missing(f"FUSE cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    fuse = StuckFuse(device)
    try:
        yield fuse
    finally:
        fuse.let_go()
        _libc.umount2(os.fsencode(folder), _MNT_DETACH)
        fuse.end()
