"""vfs/inotify.py: records as the kernel queues them, and halves of renames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.vfs import inotify as n

MASK = n.IN_CREATE | n.IN_MOVED_FROM | n.IN_MOVED_TO


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[n.Inotify]:
    """Watches a folder with a file "a" and a folder "elsewhere"."""
    (tmp_path / "a").touch()
    (tmp_path / "elsewhere").mkdir()
    made, fd = n.Inotify(), os.open(tmp_path, os.O_PATH)
    try:
        made.add(fd, MASK)
        yield made
    finally:
        os.close(fd)
        made.close()


def kinds(events: list[n.Event]) -> list[tuple[int, str]]:
    return [(event.mask & MASK, event.name) for event in events]


def test_records(queue: n.Inotify, tmp_path: Path) -> None:
    """Goal: everything in the queue, in order, once; a rename's halves have one cookie. Method: create and rename."""
    assert queue.read() == []
    (tmp_path / "b\udcff").touch()
    (tmp_path / "a").rename(tmp_path / "c")
    events = queue.read()
    assert kinds(events) == [(n.IN_CREATE, "b\udcff"), (n.IN_MOVED_FROM, "a"), (n.IN_MOVED_TO, "c")]
    assert events[1].cookie == events[2].cookie != 0
    assert queue.read() == []


def test_a_half_is_kept_for_the_other(
    queue: n.Inotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: halves that are read one after the other come together; one without the other comes when it is asked for.
    Method: a record at a time, of a rename and of a file that is moved away."""
    monkeypatch.setattr(n, "_READ_BYTES", 32)
    (tmp_path / "a").rename(tmp_path / "b")
    assert queue.read(whole=True) == [] and len(queue.half) == 1
    assert kinds(queue.read(whole=True)) == [(n.IN_MOVED_FROM, "a"), (n.IN_MOVED_TO, "b")]
    (tmp_path / "b").rename(tmp_path / "elsewhere" / "b")
    assert queue.read(whole=True) == [] == queue.read(whole=True)
    assert kinds(queue.read()) == [(n.IN_MOVED_FROM, "b")]
    assert queue.read() == [] and not queue.half
