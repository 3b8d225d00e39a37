"""A FUSE file system, mounted by root, with a few files to read, that can be told to respond no more."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.programs import missing

LOOKUP, GETATTR, OPEN, READ, WRITE, FSYNC = 1, 3, 14, 15, 16, 20
_STATFS, _INIT, _OPENDIR, _READDIR, _ACCESS = 17, 26, 27, 28, 34
_FORGET, _BATCH_FORGET, _INTERRUPT = 2, 42, 36
_ROOT, _FIRST_FILE = 1, 2
_KEEP_CACHE = 2  # opening a file leaves its pages in the page cache
_MS_NOSUID_NODEV, _MNT_DETACH = 6, 2

_libc = ctypes.CDLL(None, use_errno=True)


class StuckFuse:
    """Requests of the kinds in `holds` begin and do not end while `stuck` is set; `asked` is set when one has begun.

    The kernel keeps what it has read of *files* (content by name), and reads page by page.
    """

    def __init__(self, device: int, files: dict[str, bytes], remembered_s: int) -> None:
        self._device = device
        self._names = list(files)
        self._contents = list(files.values())
        self._remembered_s = remembered_s
        self.holds = {LOOKUP}
        self.look_up_s = 0.0  # seconds that a look-up takes
        self.stuck = threading.Event()
        self.asked = threading.Event()
        self._kept: list[tuple[int, int, int, bytes]] = []
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
            _, operation, unique, node = struct.unpack_from("<IIQQ", request)
            if operation in self.holds and self.stuck.is_set():
                self._kept.append((operation, unique, node, request[40:]))
                self.asked.set()
                continue
            if operation == LOOKUP and self.look_up_s:
                time.sleep(self.look_up_s)
            if operation not in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                self._answer(unique, *self._reply(operation, node, request[40:]))

    def _answer(self, unique: int, error: int, data: bytes = b"") -> None:
        os.write(self._device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    @property
    def held(self) -> int:
        """Requests that wait."""
        return len(self._kept)

    def let_go(self) -> None:
        """Answers held requests, and everything from now on."""
        self.stuck.clear()
        while self._kept:
            operation, unique, node, body = self._kept.pop(0)
            self._answer(unique, *self._reply(operation, node, body))

    def end(self) -> None:
        """After the unmount: ends the thread."""
        self._thread.join(10)
        os.close(self._device)

    def _attributes(self, node: int) -> bytes:
        mode, size = 0o40777, 0
        if node != _ROOT:
            mode, size = 0o100666, len(self._contents[node - _FIRST_FILE])
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 2, 0, 0, 0, 4096, 0)

    def _reply(self, operation: int, node: int, body: bytes) -> tuple[int, bytes]:
        if operation == _INIT:
            return 0, struct.pack("<4I2H2I2HI28x", 7, 31, 0, 0, 16, 12, 65536, 1, 16, 0, 0)
        if operation == GETATTR:
            return 0, struct.pack("<QII", self._remembered_s, 0, 0) + self._attributes(node)
        if operation == LOOKUP:
            name = body.rstrip(b"\0").decode()
            if name in self._names:
                found = _FIRST_FILE + self._names.index(name)
                valid = struct.pack("<4Q2I", found, 0, self._remembered_s, self._remembered_s, 0, 0)
                return 0, valid + self._attributes(found)
        if operation in (OPEN, _OPENDIR):
            return 0, struct.pack("<QII", 1, _KEEP_CACHE, 0)
        if operation == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return 0, self._contents[node - _FIRST_FILE][offset : offset + size]
        if operation == WRITE:  # is forgotten
            return 0, struct.pack("<II", struct.unpack_from("<QQI", body)[2], 0)
        if operation == _STATFS:
            return 0, struct.pack("<5Q4I24x", 1, 1, 1, 1, 1, 4096, 255, 4096, 0)
        if operation in (_READDIR, FSYNC):
            return 0, b""
        return (errno.ENOENT if operation == LOOKUP else errno.ENOSYS), b""


@contextmanager
def stuck_fuse(
    folder: Path,
    files: dict[str, bytes] | None = None,
    *,
    remembered_s: int = 3600,
    kind: type[StuckFuse] = StuckFuse,
) -> Iterator[StuckFuse]:
    """The file system at *folder*, for the length of the block. The kernel remembers names and attributes for
    *remembered_s* seconds."""
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
    fuse = kind(device, files or {}, remembered_s)
    try:
        yield fuse
    finally:
        fuse.let_go()
        _libc.umount2(os.fsencode(folder), _MNT_DETACH)
        fuse.end()


@contextmanager
def overlay(lower: Path, folder: Path) -> Iterator[None]:
    """A read-only overlay of *lower* at *folder*: for the mount table a local file system, and as slow as what lies
    below."""
    empty = folder.with_name(folder.name + "-empty")
    empty.mkdir()
    options = b"lowerdir=" + os.fsencode(lower) + b":" + os.fsencode(empty)
    if _libc.mount(b"overlay", os.fsencode(folder), b"overlay", _MS_NOSUID_NODEV, options):
        missing(f"overlays cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        _libc.umount2(os.fsencode(folder), _MNT_DETACH)
