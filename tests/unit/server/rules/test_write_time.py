"""A last write time that a client has set survives its own writes, not those of others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from frevo.locking.file_table import FileRecord
from frevo.server.core.state import Open
from frevo.server.rules.write_time import after_write, before_write, keep_write_time
from frevo.vfs.base import Handle

#: The hold of the file while a time is kept, which has nothing to hold here.
NO_HOLD: Any = SimpleNamespace(release=lambda: None)


class File:
    """A file on which every write sets the last write time to the clock's."""

    def __init__(self) -> None:
        self.record = FileRecord(1)
        self.time = 100
        self.clock = 1000

    def open(self) -> Open:
        opened = Open(1, 1, cast(Any, None), cast(Any, None), 0, 0, 0, "file")
        opened.record = self.record
        return opened

    @property
    def handle(self) -> Handle:
        def set_basic(*, last_write_time: int) -> None:
            self.time = last_write_time

        stat = SimpleNamespace(last_write_time=self.time)
        return cast(Handle, SimpleNamespace(stat=lambda: stat, set_basic=set_basic, mark_archive=lambda: None))

    def change(self) -> None:
        self.clock += 1
        self.time = self.clock

    def write(self, opened: Open) -> None:
        kept = before_write(opened, self.handle)
        self.change()
        after_write(opened, self.handle, kept)


def test_own_writes_leave_it() -> None:
    """Goal: the time that was set stays, however often the same open writes. Method: three writes."""
    file = File()
    opened = file.open()
    file.write(opened)
    assert file.time == 1001  # nothing was set yet
    file.time = 50
    keep_write_time(opened, NO_HOLD)
    for _ in range(3):
        file.write(opened)
    assert file.time == 50


def test_others_writes_change_it() -> None:
    """Goal: another's write sets the time to that write's, which then stays. Method: two opens in turn."""
    file = File()
    mine, other = file.open(), file.open()
    keep_write_time(mine, NO_HOLD)
    file.write(mine)
    assert file.time == 100
    file.write(other)
    assert file.time == 1002
    file.write(mine)
    assert file.time == 1002


def test_another_write_in_between() -> None:
    """Goal: a write that ends after another's began and ended does not restore the old time. Method: interleave."""
    file = File()
    mine, other = file.open(), file.open()
    keep_write_time(mine, NO_HOLD)
    kept = before_write(mine, file.handle)
    file.write(other)
    file.change()
    after_write(mine, file.handle, kept)
    assert file.time == 1002
