"""One record per open file: its opens, whether it is about to be deleted, its byte-range locks, its gate."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Any

import msgspec

from frevo.locking.byte_range import ByteRangeLocks
from frevo.locking.share_modes import FILE_SHARE_DELETE, SharedOpen, combination, conflict

#: Up to this many opens of a file are checked one by one; beyond that, their share modes are counted.
_FEW = 16


class FileRecord(msgspec.Struct, eq=False):
    """State shared by all opens of one file (or one of its streams). Exists as long as one of them."""

    identity: Hashable
    opens: dict[SharedOpen, None] = msgspec.field(default_factory=dict)  # a set in order
    delete_pending: bool = False
    deleter: Any = None  # the user who requested the removal and acts for it
    locks: ByteRangeLocks = msgspec.field(default_factory=ByteRangeLocks)
    gate: Any = None  # the data plane's gate of the file, once it has one (frevo.server.core.fastpath)
    appending: Any = None  # the lock of those that write at its end, once there is one (frevo.server.handlers.write)
    writes: int = 0  # how many writes there were that changed the time of the last write
    archived: bool = False  # FILE_ATTRIBUTE_ARCHIVE is known to be set
    unarchived: Any = None  # keeps the data plane from writing until it is (frevo.server.core.fastpath)
    stream_of: Hashable = None  # the file's identity, when this is a named stream of it
    file_delete_pending: bool = False  # of a stream: its file was deleted and goes with the last open stream
    following: Iterator[None] | None = None  # while the opens of a file that was renamed get their new path
    sharing: dict[tuple[int, int], int] | None = (
        None  # how many opens need and share the same, once they are many
    )

    def conflicts(self, access: int, share_access: int) -> bool:
        """Whether an open with *access* and *share_access* violates the sharing of one that exists, or the reverse."""
        found = map(combination, self.opens) if self.sharing is None else self.sharing
        return conflict(found, access, share_access)

    def enter(self, opened: SharedOpen) -> None:
        """Adds an open to others."""
        self.opens[opened] = None
        if self.sharing is not None:
            self._count(opened, 1)
        elif len(self.opens) > _FEW:
            self.sharing = {}
            for one in self.opens:
                self._count(one, 1)

    def leave(self, opened: SharedOpen) -> None:
        """Takes an open out, if it is there."""
        if self.opens.pop(opened, self) is None and self.sharing is not None:
            self._count(opened, -1)

    def _count(self, opened: SharedOpen, difference: int) -> None:
        assert self.sharing is not None
        key = combination(opened)
        left = self.sharing[key] = self.sharing.get(key, 0) + difference
        if not left:
            del self.sharing[key]


class FileTable:
    """All open files, by identity."""

    def __init__(self) -> None:
        self._records: dict[Hashable, FileRecord] = {}
        self._streams: dict[Hashable, dict[FileRecord, None]] = {}
        #: How many opens of a file's streams do not share deletion.
        self._keeping: dict[Hashable, int] = {}
        #: How often something that is open was renamed.
        self.moves = 0

    def find(self, identity: Hashable) -> FileRecord | None:
        """The record of an open file, else None."""
        return self._records.get(identity)

    def add(self, identity: Hashable, opened: SharedOpen, *, stream_of: Hashable = None) -> FileRecord:
        """Add an open, after the share mode check. *stream_of* is the file of a named stream."""
        record = self._records.get(identity)
        if record is None:
            record = self._records[identity] = FileRecord(identity, {opened: None}, stream_of=stream_of)
        else:
            record.enter(opened)
        if stream_of is not None:
            self._streams.setdefault(stream_of, {})[record] = None
            self._keep(stream_of, opened, 1)
        return record

    def _keep(self, file: Hashable, opened: SharedOpen, difference: int) -> None:
        needs, shared = combination(opened)
        if needs and not shared & FILE_SHARE_DELETE:
            left = self._keeping[file] = self._keeping.get(file, 0) + difference
            if not left:
                del self._keeping[file]

    def streams(self, identity: Hashable) -> Collection[FileRecord]:
        """The open named streams of a file."""
        return self._streams.get(identity, ())

    def streams_may_go(self, identity: Hashable) -> bool:
        """Whether all who have a named stream of a file open share its deletion."""
        return identity not in self._keeping

    def is_delete_pending(self, identity: Hashable, stream_of: Hashable = None) -> bool:
        """Whether a file or stream is to be deleted, by itself or with its file."""
        record = self._records.get(identity)
        if record is not None and record.delete_pending:
            return True
        if stream_of is None and not self._streams:
            return False  # what nearly every open gets
        file = identity if stream_of is None else stream_of
        record = self._records.get(file)
        if record is not None and record.delete_pending:
            return True
        for stream in self._streams.get(file, ()):
            return (
                stream.file_delete_pending
            )  # as of all the others: no stream of such a file is opened any more
        return False

    def remove(self, record: FileRecord, opened: SharedOpen) -> bool:
        """Remove an open; True if it was the last one."""
        file = record.stream_of
        if file is not None and opened in record.opens:
            self._keep(file, opened, -1)
        record.leave(opened)
        if record.opens:
            return False
        self._records.pop(record.identity, None)
        if file is not None:
            streams = self._streams.get(file, {})
            streams.pop(record, None)
            if not streams:
                self._streams.pop(file, None)
        return True

    def move(self, record: FileRecord, identity: Hashable) -> None:
        """Change the identity of *record* after a stream was renamed. No open may have the new identity."""
        del self._records[record.identity]
        record.identity = identity
        self._records[identity] = record

    def __iter__(self) -> Iterator[FileRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)
