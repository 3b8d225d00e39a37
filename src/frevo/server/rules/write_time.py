"""What a change of a file's data does to its last write time and attributes.

A last write time set by a client is kept, whatever it writes through the same open afterwards ([MS-FSA] 2.1.5.15.2,
UserSetModificationTime). A write through another open sets the time of that write, which is then kept. Each change sets
FILE_ATTRIBUTE_ARCHIVE ([MS-FSA] 2.1.4.17), by which programs find what is to be backed up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.server.core.fastpath import Level
from frevo.server.core.state import KeptWriteTime, Open
from frevo.vfs.base import Handle
from frevo.wire.fscc import FileAttributes

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


def attributes_changed(server: Server, opened: Open, attributes: int) -> None:
    """Called after the attributes of a file were set: the next write sets FILE_ATTRIBUTE_ARCHIVE again."""
    record = opened.record
    assert record is not None
    if record.stream_of is not None:
        record = server.files.find(record.stream_of)
    if record is not None and not attributes & FileAttributes.ARCHIVE:
        record.archived = False
        server.fastpath.hold_until_archived(record)


def _archive(record: FileRecord, handle: Handle) -> None:
    handle.mark_archive()
    # That it was reset is only known of the file itself.
    record.archived = record.stream_of is None
    hold, record.unarchived = record.unarchived, None
    if hold is not None:
        hold.release()


def after_write(opened: Open, handle: Handle, kept: KeptWriteTime | None) -> None:
    """Called after the change, even a failed one: restores the time unless others wrote meanwhile, and sets
    FILE_ATTRIBUTE_ARCHIVE ([MS-FSA] 2.1.4.17)."""
    record = opened.record
    assert record is not None
    if not record.archived:
        _archive(record, handle)
    if kept is not None:
        kept.in_flight -= 1
    if kept is None or kept is not opened.kept_write_time:
        record.writes += 1
    elif kept.writes == record.writes:
        handle.set_basic(last_write_time=kept.time)
