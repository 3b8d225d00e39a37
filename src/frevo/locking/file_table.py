"""One record per open file: who has it open, whether it is about to be deleted, its byte-range locks, its gate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from frevo.locking.byte_range import ByteRangeLocks
from frevo.locking.share_modes import SharedOpen


class Gate(Protocol):
    """The data plane's gate of a file: while closed, no READ is answered without the control plane."""

    def close(self) -> None: ...
    def open(self) -> None: ...


class FileRecord(msgspec.Struct, eq=False):
    """What all opens of one file (or one stream of it) share. Lives as long as one of them."""

    identity: Hashable
    opens: list[SharedOpen] = msgspec.field(default_factory=list)
    delete_pending: bool = False
    deleter: Any = None  # as whom the file is removed: whoever asked for it
    locks: ByteRangeLocks = msgspec.field(default_factory=ByteRangeLocks)
    gate: Gate | None = None
    writes: int = 0  # how many writes there were that changed the time of the last write
    stream_of: Hashable = None  # the file's identity, when this is a named stream of it
    file_delete_pending: bool = False  # of a stream: its file was deleted and goes with the last open stream


class FileTable:
    """Every file that is open, by identity."""

    def __init__(self, new_gate: Callable[[], Gate | None] = lambda: None) -> None:
        self._records: dict[Hashable, FileRecord] = {}
        self._streams: dict[Hashable, list[FileRecord]] = {}
        self._new_gate = new_gate

    def find(self, identity: Hashable) -> FileRecord | None:
        """The record of a file that is open, else None."""
        return self._records.get(identity)

    def add(self, identity: Hashable, opened: SharedOpen, *, stream_of: Hashable = None) -> FileRecord:
        """Enters an open; share modes must have been decided before. *stream_of* is the file of a named stream."""
        record = self._records.get(identity)
        if record is None:
            record = self._records[identity] = FileRecord(identity, stream_of=stream_of)
            if stream_of is not None:
                self._streams.setdefault(stream_of, []).append(record)
        record.opens.append(opened)
        return record

    def streams(self, identity: Hashable) -> Sequence[FileRecord]:
        """The open named streams of a file."""
        return self._streams.get(identity, ())

    def is_delete_pending(self, identity: Hashable, stream_of: Hashable = None) -> bool:
        """Whether a file, or the stream of one, is to be deleted: by itself, or with its file."""
        record = self._records.get(identity)
        if record is not None and record.delete_pending:
            return True
        if stream_of is None and not self._streams:
            return False  # what nearly every open gets
        file = identity if stream_of is None else stream_of
        record = self._records.get(file)
        if record is not None and record.delete_pending:
            return True
        return any(stream.file_delete_pending for stream in self._streams.get(file, ()))

    def remove(self, record: FileRecord, opened: SharedOpen) -> bool:
        """Takes an open out; True when it was the last one."""
        if opened in record.opens:
            record.opens.remove(opened)
        if record.opens:
            return False
        self._records.pop(record.identity, None)
        if record.stream_of is not None:
            left = [other for other in self._streams.pop(record.stream_of, ()) if other is not record]
            if left:
                self._streams[record.stream_of] = left
        return True

    def move(self, record: FileRecord, identity: Hashable) -> None:
        """From now on *record* is that of *identity*: a stream was renamed. Nothing that is open may have that name."""
        del self._records[record.identity]
        record.identity = identity
        self._records[identity] = record

    def gate(self, record: FileRecord) -> Gate | None:
        """The file's gate, made at the first use."""
        if record.gate is None:
            record.gate = self._new_gate()
        return record.gate

    def __iter__(self) -> Iterator[FileRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)
