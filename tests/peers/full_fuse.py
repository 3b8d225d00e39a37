"""A FUSE file system with one file that can be written up to a limit, past which writes have the error that a test
chose; its FSYNC tells each error once, as the kernel tells of data that did not get to a disk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.stuck_fuse import StuckFuse, stuck_fuse

_WRITE, _FSYNC, _SETATTR, _FLUSH, _RELEASE = 16, 20, 4, 25, 18
_FATTR_SIZE = 8


class FullFuse(StuckFuse):
    """Bytes past `room` are refused with `refusal`; a write that begins before is a short one."""

    def prepare(self, room: int, refusal: int) -> None:
        self.room, self.refusal = room, refusal
        self.sync_errors: list[int] = []

    @property
    def content(self) -> bytes:
        return self._contents[0]

    def _reply(self, operation: int, node: int, body: bytes) -> tuple[int, bytes]:
        if operation == _WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            data = body[40 : 40 + min(size, max(0, self.room - offset))]
            if not data:
                return self.refusal, b""
            kept = self._contents[0].ljust(offset, b"\0")
            self._contents[0] = kept[:offset] + data + kept[offset + len(data) :]
            return 0, struct.pack("<II", len(data), 0)
        if operation == _FSYNC:
            return (self.sync_errors.pop(0) if self.sync_errors else 0), b""
        if operation == _SETATTR:
            valid, _, _, size = struct.unpack_from("<IIQQ", body)
            if valid & _FATTR_SIZE:
                self._contents[0] = self._contents[0][:size].ljust(size, b"\0")
            return 0, struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if operation in (_FLUSH, _RELEASE):
            return 0, b""
        return super()._reply(operation, node, body)


@contextmanager
def full_fuse(folder: Path, *, room: int, refusal: int) -> Iterator[FullFuse]:
    """The file system at *folder*, with an empty file `file`. The kernel asks it for every size and time."""
    with stuck_fuse(folder, {"file": b""}, remembered_s=0, kind=FullFuse) as fuse:
        assert isinstance(fuse, FullFuse)
        fuse.prepare(room, refusal)
        yield fuse
