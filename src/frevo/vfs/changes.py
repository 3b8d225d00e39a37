"""Translates one inotify record into the terms of [MS-FSCC] 2.7.1: actions, and the filter bits that select them."""

from __future__ import annotations

from typing import Final

from frevo.vfs import inotify as n

ADDED: Final = 1
REMOVED: Final = 2
MODIFIED: Final = 3
RENAMED_OLD_NAME: Final = 4
RENAMED_NEW_NAME: Final = 5

CHANGE_FILE_NAME: Final = 0x1
CHANGE_DIR_NAME: Final = 0x2
CHANGE_ATTRIBUTES: Final = 0x4
CHANGE_SIZE: Final = 0x8
CHANGE_LAST_WRITE: Final = 0x10
CHANGE_LAST_ACCESS: Final = 0x20
CHANGE_CREATION: Final = 0x40
CHANGE_EA: Final = 0x80
CHANGE_SECURITY: Final = 0x100

#: inotify does not say which metadata changed.
METADATA: Final = (
    CHANGE_ATTRIBUTES | CHANGE_LAST_WRITE | CHANGE_LAST_ACCESS | CHANGE_CREATION | CHANGE_EA | CHANGE_SECURITY
)


def changes_of(events: list[n.Event], index: int, is_directory: bool) -> list[tuple[int, int]]:
    """(action, filter bits) of one record; a watch reports the first one that matches its filter.

    The neighbouring records show whether it is a rename or part of a creation.
    """
    event = events[index]
    name_bits = CHANGE_DIR_NAME if is_directory else CHANGE_FILE_NAME
    if event.mask & n.IN_CREATE:
        return [(ADDED, name_bits)]
    if event.mask & n.IN_DELETE:
        return [(REMOVED, name_bits)]
    if event.mask & n.IN_MOVED_FROM:
        pair = is_pair(event, events[index + 1]) if index + 1 < len(events) else False
        return [(RENAMED_OLD_NAME if pair else REMOVED, name_bits)]
    if event.mask & n.IN_MOVED_TO:
        pair = index > 0 and is_pair(events[index - 1], event)
        found = [(RENAMED_NEW_NAME if pair else ADDED, name_bits)]
        # A watch without names gets a renamed file, but not a directory, as a change.
        return found if is_directory else [*found, (MODIFIED, CHANGE_ATTRIBUTES | CHANGE_CREATION)]
    if event.mask & n.IN_ATTRIB:
        return [] if _belongs_to_creation(events, index) else [(MODIFIED, METADATA)]
    if event.mask & n.IN_MODIFY:
        return [(MODIFIED, CHANGE_SIZE | CHANGE_LAST_WRITE)]
    return []


def is_pair(old: n.Event, new: n.Event) -> bool:
    both = old.mask & n.IN_MOVED_FROM and new.mask & n.IN_MOVED_TO
    return bool(both) and old.cookie == new.cookie and old.watch == new.watch


def _belongs_to_creation(events: list[n.Event], index: int) -> bool:
    """Whether these are the initial attributes of a file just created, which count as one change with the creation."""
    event = events[index]
    before = events[index - 1] if index else None
    return (
        before is not None
        and bool(before.mask & n.IN_CREATE)
        and (before.watch, before.name) == (event.watch, event.name)
    )
