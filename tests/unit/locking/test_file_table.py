"""FileTable: one record per file while it is open, and what a file and its streams know of each other."""

from __future__ import annotations

from dataclasses import dataclass

from frevo.locking.file_table import FileTable

FILE, STREAM, OTHER = ("device", 1, ""), ("device", 1, "stream"), ("device", 1, "other")


@dataclass(eq=False)
class Opened:
    granted_access: int = 1
    share_access: int = 7


def test_a_record_lives_as_long_as_its_opens() -> None:
    """Goal: all opens share one record, which goes with the last. Method: two opens, closed in turn; one twice."""
    table, first, second = FileTable(), Opened(), Opened()
    record = table.add(FILE, first)
    assert table.add(FILE, second) is record and table.find(FILE) is record and len(table) == 1
    assert not table.remove(record, first) and not table.remove(record, first)
    assert table.remove(record, second) and table.find(FILE) is None and not list(table)


def test_streams_of_a_file() -> None:
    """Goal: a file knows its open streams, and keeps nothing of closed ones. Method: two streams come and go."""
    table, opens = FileTable(), [Opened(), Opened()]
    records = [table.add(name, one, stream_of=FILE) for name, one in zip((STREAM, OTHER), opens, strict=True)]
    assert list(table.streams(FILE)) == records
    table.remove(records[0], opens[0])
    assert list(table.streams(FILE)) == [records[1]]
    table.remove(records[1], opens[1])
    assert not table.streams(FILE)


def test_delete_pending() -> None:
    """Goal: delete-pending of a file extends to its streams, that of a stream only to itself, and a file deleted under
    an open stream is known to be going. Method: each flag alone."""
    table = FileTable()
    file, stream = table.add(FILE, Opened()), table.add(STREAM, Opened(), stream_of=FILE)
    pending = table.is_delete_pending
    assert not pending(FILE) and not pending(STREAM, FILE)
    stream.delete_pending = True
    assert pending(STREAM, FILE) and not pending(FILE) and not pending(OTHER, FILE)
    stream.delete_pending, file.delete_pending = False, True
    assert pending(FILE) and pending(STREAM, FILE) and pending(OTHER, FILE)
    file.delete_pending, stream.file_delete_pending = False, True
    assert pending(FILE) and pending(OTHER, FILE)


def test_many_opens_are_counted() -> None:
    """Goal: with very many opens the decision is the same as with few, and does not look at each of them. Method: all
    kinds of opens many times; then all but one kind close; every kind of new open is checked."""
    kinds = [(access, share) for access in (0x80, 0x1, 0x2, 0x10000, 0x10003) for share in range(8)]
    for kept in kinds:
        table = FileTable()
        opens = [Opened(*kind) for kind in kinds for _ in range(3)]
        for one in opens:
            record = table.add(FILE, one)
        assert record.sharing is not None and len(record.sharing) == len(kinds) < len(opens)
        for one in opens:
            if (one.granted_access, one.share_access) != kept:
                table.remove(record, one)
        alone = FileTable().add(FILE, Opened(*kept))
        assert len(record.sharing) == 1 and alone.sharing is None
        assert all(record.conflicts(*kind) == alone.conflicts(*kind) for kind in kinds)
    assert FileTable().add(FILE, Opened(0x1, 0x6)).conflicts(0x1, 0x7)
    assert not FileTable().add(FILE, Opened(0x1, 0x1)).conflicts(0x1, 0x1)


def test_opens_of_streams_that_share_deletion() -> None:
    """Goal: a file may be deleted when all opens of its streams share deletion; opens for metadata do not count.
    Method: opens that do and do not, one after the other."""
    table = FileTable()
    record = table.add(STREAM, Opened(0x1, 0x7), stream_of=FILE)
    table.add(OTHER, Opened(0x80, 0x0), stream_of=FILE)
    assert table.streams_may_go(FILE)
    keeper = Opened(0x1, 0x3)
    table.add(STREAM, keeper, stream_of=FILE)
    assert not table.streams_may_go(FILE)
    table.remove(record, keeper)
    table.remove(record, keeper)
    assert table.streams_may_go(FILE)
