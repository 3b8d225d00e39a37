"""A last write time set by a client is kept, whatever it writes through the same open afterwards ([MS-FSA] 2.1.5.15.2,
UserSetModificationTime). A write through another open sets the time of that write, which is then kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.server.core.fastpath import Level
from frevo.server.core.state import KeptWriteTime, Open
from frevo.vfs.base import Handle

if TYPE_CHECKING:
    from frevo.locking.file_table import FileRecord
    from frevo.server.core.server import Server
    from frevo.transport.base import Hold


def keep_write_time(opened: Open, hold: Hold) -> None:
    """From now on, writes through *opened* do not change the last write time. *hold* is that of `without_writes`."""
    kept = opened.kept_write_time
    if kept is None:
        opened.kept_write_time = KeptWriteTime(hold=hold)
    else:
        hold.release()  # the first one lasts as long


def thaw_write_time(opened: Open) -> None:
    """From now on, writes through *opened* change the last write time, as they do at first."""
    kept, opened.kept_write_time = opened.kept_write_time, None
    if kept is not None and kept.hold is not None:
        kept.hold.release()


def without_writes(server: Server, record: FileRecord) -> Hold:
    """The data plane knows nothing of times that are kept, so it writes nothing to the file while there is one. What it
    is writing ends before the time is set."""
    return server.fastpath.hold(record, Level.WRITE, "a last write time that is kept")


def before_write(opened: Open, handle: Handle) -> KeptWriteTime | None:
    """Called before data or size change through *opened*: reads the time to keep, for `after_write`."""
    kept, record = opened.kept_write_time, opened.record
    if kept is not None:
        assert record is not None
        if not kept.in_flight or kept.writes != record.writes:
            kept.time, kept.writes = handle.stat().last_write_time, record.writes
        kept.in_flight += 1
    return kept


def after_write(opened: Open, handle: Handle, kept: KeptWriteTime | None) -> None:
    """Called after the change, even a failed one: restores the time unless others wrote meanwhile."""
    record = opened.record
    assert record is not None
    if kept is not None:
        kept.in_flight -= 1
    if kept is None or kept is not opened.kept_write_time:
        record.writes += 1
    elif kept.writes == record.writes:
        handle.set_basic(last_write_time=kept.time)
