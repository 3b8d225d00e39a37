"""inotify's records in SMB's terms: one by one, and together with their neighbours."""

from __future__ import annotations

import pytest

from frevo.vfs import changes as c
from frevo.vfs import inotify as n


def event(mask: int, name: str = "name", cookie: int = 0, watch: int = 1) -> n.Event:
    return n.Event(watch, mask, cookie, name)


OLD, NEW = event(n.IN_MOVED_FROM, "old", 7), event(n.IN_MOVED_TO, "new", 7)


@pytest.mark.parametrize("is_directory", [False, True])
@pytest.mark.parametrize(("mask", "action"), [(n.IN_CREATE, c.ADDED), (n.IN_DELETE, c.REMOVED)])
def test_names_come_and_go(mask: int, action: int, is_directory: bool) -> None:
    """[MS-FSCC] 2.7.1: added, removed; directories and files have different filter bits."""
    bits = c.CHANGE_DIR_NAME if is_directory else c.CHANGE_FILE_NAME
    assert c.changes_of([event(mask)], 0, is_directory) == [(action, bits)]


def test_a_rename_within_a_folder() -> None:
    """Two records with one cookie are one rename; for a file also a change of attributes."""
    also = (c.MODIFIED, c.CHANGE_ATTRIBUTES | c.CHANGE_CREATION)
    assert c.changes_of([OLD, NEW], 0, False) == [(c.RENAMED_OLD_NAME, c.CHANGE_FILE_NAME)]
    assert c.changes_of([OLD, NEW], 1, False) == [(c.RENAMED_NEW_NAME, c.CHANGE_FILE_NAME), also]
    assert c.changes_of([OLD, NEW], 1, True) == [(c.RENAMED_NEW_NAME, c.CHANGE_DIR_NAME)]


@pytest.mark.parametrize(
    "other",
    [None, event(n.IN_MOVED_TO, "new", 8), event(n.IN_MOVED_TO, "new", 7, watch=2), event(n.IN_CREATE, "new", 7)],
)
def test_a_name_that_leaves(other: n.Event | None) -> None:
    """Moved to another folder, or out of sight: removed here."""
    events = [OLD] if other is None else [OLD, other]
    assert c.changes_of(events, 0, False) == [(c.REMOVED, c.CHANGE_FILE_NAME)]


@pytest.mark.parametrize("other", [None, event(n.IN_MOVED_FROM, "old", 8), event(n.IN_MOVED_FROM, "old", 7, watch=2)])
def test_a_name_that_arrives(other: n.Event | None) -> None:
    """Moved here from elsewhere: added."""
    events = [NEW] if other is None else [other, NEW]
    assert c.changes_of(events, len(events) - 1, True) == [(c.ADDED, c.CHANGE_DIR_NAME)]


def test_content_and_metadata() -> None:
    """Writing changes size and time; inotify does not say which metadata changed, so all are reported."""
    assert c.changes_of([event(n.IN_MODIFY)], 0, False) == [(c.MODIFIED, c.CHANGE_SIZE | c.CHANGE_LAST_WRITE)]
    assert c.changes_of([event(n.IN_ATTRIB)], 0, False) == [(c.MODIFIED, c.METADATA)]
    assert c.METADATA & c.CHANGE_SECURITY and not c.METADATA & (c.CHANGE_SIZE | c.CHANGE_FILE_NAME)


def test_the_first_attributes_belong_to_the_creation() -> None:
    """Creating a file and setting its attributes right after is one change; of another name, or later, it is
    another."""
    created, attributes = event(n.IN_CREATE), event(n.IN_ATTRIB)
    assert c.changes_of([created, attributes], 1, False) == []
    for before in (event(n.IN_CREATE, "another"), event(n.IN_CREATE, watch=2), event(n.IN_MODIFY)):
        assert c.changes_of([before, attributes], 1, False) == [(c.MODIFIED, c.METADATA)]
    assert c.changes_of([created, attributes, attributes], 2, False) == [(c.MODIFIED, c.METADATA)]


def test_irrelevant_records() -> None:
    """Records that no watch asks for."""
    assert c.changes_of([event(0)], 0, False) == []
