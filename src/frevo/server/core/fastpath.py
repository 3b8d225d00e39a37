"""The fast path as the server sees it: which opens the data plane serves by itself, and when it must not.

The data plane answers requests of an *attached* open as long as nobody *holds* the file. What would make such an
answer wrong is done under a hold: from then on requests come to the server, and those that are running end soon. The
event loop never waits for that; it is told. Several holders may hold a file at a time, each with its own token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import IntFlag
from typing import TYPE_CHECKING, Final

from frevo.server.core.state import SessionState
from frevo.transport.base import AttachedOpen, ChannelSequence, Drains, Gate, Hold, Position
from frevo.wire.smb2 import FileAccess

if TYPE_CHECKING:
    from frevo.locking.file_table import FileRecord
    from frevo.server.core.server import Server
    from frevo.server.core.state import Open

log = logging.getLogger("frevo.server")


#: Access that a client needs for READ, and for WRITE and FLUSH ([MS-SMB2] 3.3.5.12, 3.3.5.13, 3.3.5.11).
READS: Final = int(FileAccess.READ_DATA | FileAccess.EXECUTE)
WRITES: Final = int(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA)


class Level(IntFlag):
    """What operations a hold keeps out."""

    READ = 1
    WRITE = 2  # changes of the data, and FLUSH


ALL: Final = Level.READ | Level.WRITE


class FastPath:
    """Attaches and detaches the opens of one server, and holds its files."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._drains = Drains()
        self._waiting: dict[int, Callable[[], None]] = {}
        self._next = 0

    # -- opens ---------------------------------------------------------------------------------------------

    def attach(self, opened: Open) -> None:
        """From now on, lets the data plane answer for this open if it can."""
        handle, record, session = opened.handle, opened.record, opened.session
        if opened.attached or not self._server.config.globals.frevo_fast_path:
            return
        # A read or write that has taken its time comes here when the open is closed or the session expired.
        if opened.volatile_id not in self._server.opens or session.state is not SessionState.VALID:
            return
        descriptors = self._server.budgets.descriptors
        if handle is None or record is None or handle.fd is None or session.keys is None:
            return
        if not descriptors.room(session.user):
            return
        descriptors.take(session.user)
        opened.descriptors += 1
        if opened.granted_access & WRITES:
            self.hold_until_archived(record)
        position = Position()
        position.value, opened.cursor = opened.position, position
        if opened.own_sequence is not None and opened.shared_sequence is None:
            opened.shared_sequence = ChannelSequence(opened.own_sequence)
        session.attached_opens.attach(
            AttachedOpen(
                tree_id=opened.tree.id,
                file_id=opened.file_id,
                fd=handle.fd,
                gate=_gate(record),
                readable=bool(opened.granted_access & READS),
                # The data plane does not wait for the disk.
                writable=bool(opened.granted_access & WRITES) and not opened.writes_through,
                encrypted_only=opened.tree.encrypt,
                position=position,
                sequence=opened.shared_sequence,
                acting=opened.tree.acting,
            )
        )
        opened.attached = True

    def detach(self, opened: Open) -> None:
        """From now on, all requests for this open come to the server; `when_idle` knows of those that are running."""
        if not opened.attached:
            return
        opened.attached = False
        opened.descriptors -= 1
        self._server.budgets.descriptors.give(opened.session.user)
        hold = opened.session.attached_opens.detach(opened.volatile_id)
        if hold is not None and not hold.drained:
            opened.leaving = (*opened.leaving, hold)

    def is_busy(self, opened: Open) -> bool:
        """Whether reads or writes of an open are running, on either plane. The open is detached, if it ever was not."""
        assert opened.handle is not None
        return opened.handle.busy or any(not hold.drained for hold in opened.leaving)

    def when_idle(self, opened: Open, action: Callable[[], None]) -> None:
        """Calls *action* when none is running any more: now, or when the last one ends."""
        assert opened.handle is not None
        for hold in opened.leaving:
            if not hold.drained:
                self.when_drained(hold, lambda: self.when_idle(opened, action))
                return
        opened.handle.when_idle(action)

    # -- files ---------------------------------------------------------------------------------------------

    def hold(self, record: FileRecord, levels: Level, reason: str) -> Hold:
        """Keeps the data plane from starting operations of *levels* on the file until the token is released (or no
        longer referred to). Those that are running go on: see `Hold.drained` and `when_drained`."""
        hold = _gate(record).hold(levels, reason)
        if not hold.drained:
            log.debug("waiting for what the data plane does to %s: %s", record.identity, reason)
        return hold

    def hold_until_archived(self, record: FileRecord) -> None:
        """The data plane sets no attributes: a WRITE that is to set FILE_ATTRIBUTE_ARCHIVE comes to the server."""
        if not record.archived and record.unarchived is None:
            record.unarchived = self.hold(record, Level.WRITE, "FILE_ATTRIBUTE_ARCHIVE, which the next one sets")

    def holds(self, record: FileRecord) -> list[tuple[str, bool, bool]]:
        """Why the file is held, each reason once, and whether that keeps out reads and writes."""
        found: dict[str, int] = {}
        for levels, reason in record.gate.reasons() if record.gate is not None else ():
            found[reason] = found.get(reason, 0) | levels
        return [(reason, bool(levels & Level.READ), bool(levels & Level.WRITE)) for reason, levels in found.items()]

    def when_drained(self, hold: Hold, action: Callable[[], None]) -> None:
        """Calls *action* when no operation that *hold* keeps out is running any more: now, or later from the loop."""
        if hold.drained:
            action()
            return
        number = self._next = self._next + 1
        if not self._waiting:
            self._server.loop.add_reader(self._drains.eventfd, self._tell)
        self._waiting[number] = action
        hold.tell(self._drains, number)

    def drained(self, hold: Hold) -> asyncio.Future[int]:
        """A future that is done then; for one to wait for, who may give it up."""
        future: asyncio.Future[int] = self._server.loop.create_future()

        def is_drained() -> None:
            if not future.done():
                future.set_result(0)

        self.when_drained(hold, is_drained)
        return future

    def _tell(self) -> None:
        actions = [self._waiting.pop(number) for number in self._drains.take()]
        if not self._waiting:
            self._server.loop.remove_reader(self._drains.eventfd)
        for action in actions:
            self._server.loop.call_soon(action)


def _gate(record: FileRecord) -> Gate:
    """The file's gate, made on first use."""
    if record.gate is None:
        record.gate = Gate()
    gate: Gate = record.gate
    return gate
