"""vfs/watch.py: changes on disk are reported as Windows would report them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from descriptors import descriptors

from frevo.vfs import changes as w
from frevo.vfs import inotify
from frevo.vfs import watch as hub
from frevo.vfs.base import Change
from frevo.vfs.guard import Guard
from frevo.vfs.local import LocalBackend

from .conftest import create, open_

ALL = 0xFFF
NAMES = w.CHANGE_FILE_NAME | w.CHANGE_DIR_NAME


class Collector:
    """Collects changes until the expected number has come."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.overflows = 0
        self._news = asyncio.Event()

    def on_changes(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self._news.set()

    def on_overflow(self) -> None:
        self.overflows += 1
        self._news.set()

    async def take(self, count: int) -> list[tuple[int, str]]:
        """The next *count* changes as (action, path)."""
        async with asyncio.timeout(10):
            while len(self.changes) < count:
                self._news.clear()
                await self._news.wait()
        taken, self.changes = self.changes[:count], self.changes[count:]
        return [(change.action, change.path) for change in taken]


async def test_names_come_and_go(backend: LocalBackend, share: Path) -> None:
    """Add, rename inside (a pair), move out and in (two single changes), remove; files and directories."""
    seen = Collector()
    (share / "sub").mkdir()
    watch = open_(backend, "").watch(False, NAMES, seen.on_changes, seen.on_overflow)
    (share / "a:").touch()
    (share / "a:").rename(share / "b")
    (share / "b").rename(share / "sub" / "b")
    (share / "sub" / "b").rename(share / "c")
    (share / "c").unlink()
    assert await seen.take(6) == [
        (w.ADDED, "a\uf022"),
        (w.RENAMED_OLD_NAME, "a\uf022"),
        (w.RENAMED_NEW_NAME, "b"),
        (w.REMOVED, "b"),
        (w.ADDED, "c"),
        (w.REMOVED, "c"),
    ]
    watch.close()
    watch.close()


async def test_halves_of_a_rename_that_come_apart(
    backend: LocalBackend, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a rename by another program is a pair, whenever its records are read. Method: one record at a time; a file
    that is moved away has no second half."""
    monkeypatch.setattr(inotify, "_READ_BYTES", 32)
    seen = Collector()
    (share / "sub").mkdir()
    watch = open_(backend, "").watch(False, NAMES, seen.on_changes, seen.on_overflow)
    (share / "a").touch()
    assert await seen.take(1) == [(w.ADDED, "a")]
    (share / "a").rename(share / "b")
    assert await seen.take(2) == [(w.RENAMED_OLD_NAME, "a"), (w.RENAMED_NEW_NAME, "b")]
    (share / "b").rename(share / "sub" / "b")
    assert await seen.take(1) == [(w.REMOVED, "b")]
    (share / "c").touch()
    (share / "c").rename(share / "sub" / "c")
    (share / "d").touch()
    assert await seen.take(3) == [(w.ADDED, "c"), (w.REMOVED, "c"), (w.ADDED, "d")]
    watch.close()


async def test_filters(backend: LocalBackend, share: Path) -> None:
    """Names of files and of directories, sizes and attributes are distinguished by the filter."""
    collectors = {}
    for bits in (w.CHANGE_FILE_NAME, w.CHANGE_DIR_NAME, w.CHANGE_SIZE, w.CHANGE_ATTRIBUTES):
        collectors[bits] = Collector()
        open_(backend, "").watch(False, bits, collectors[bits].on_changes, collectors[bits].on_overflow)
    everything = Collector()
    open_(backend, "").watch(False, ALL, everything.on_changes, everything.on_overflow)
    (share / "d").mkdir()
    handle = create(backend, "f")  # with attributes: one change, not two
    (share / "f").write_text("x")
    handle.set_basic(attributes=0x22)
    (share / "end").mkdir()
    while (await everything.take(1)) != [(w.ADDED, "end")]:
        pass
    assert await collectors[w.CHANGE_FILE_NAME].take(1) == [(w.ADDED, "f")]
    assert await collectors[w.CHANGE_DIR_NAME].take(2) == [(w.ADDED, "d"), (w.ADDED, "end")]
    assert set(await collectors[w.CHANGE_SIZE].take(1)) == {(w.MODIFIED, "f")}
    assert await collectors[w.CHANGE_ATTRIBUTES].take(1) == [(w.MODIFIED, "f")]
    assert not collectors[w.CHANGE_FILE_NAME].changes and not collectors[w.CHANGE_ATTRIBUTES].changes


async def _reached(watch: object, path: str) -> None:
    """Waits until the folder *path* is watched: on a busy machine that takes more than one slice."""
    assert isinstance(watch, hub.LocalWatch)
    async with asyncio.timeout(30):
        while path not in watch.watches.values():
            await asyncio.sleep(0)


async def test_recursive(backend: LocalBackend, share: Path) -> None:
    """Directories below, existing or made later, filled at once, moved and removed."""
    (share / "old" / "deep").mkdir(parents=True)
    seen = Collector()
    watch = open_(backend, "").watch(True, NAMES, seen.on_changes, seen.on_overflow)
    await _reached(watch, "old/deep")
    (share / "old" / "deep" / "x").touch()
    (share / "new" / "sub").mkdir(parents=True)
    (share / "new" / "sub" / "y").touch()
    assert await seen.take(2) == [(w.ADDED, "old\\deep\\x"), (w.ADDED, "new")]
    assert sorted(await seen.take(1)) == [(w.ADDED, "new\\sub")]
    await _reached(watch, "new/sub")
    (share / "new" / "sub" / "z").touch()
    (share / "new").rename(share / "moved")
    rest = [await seen.take(1) for _ in range(3)]
    assert all(path.startswith("new\\sub\\") for found in rest[:1] for _, path in found)
    await _reached(watch, "moved/sub")  # what happens before it is reached is reported as an overflow
    (share / "moved" / "sub" / "q").touch()
    while (await seen.take(1)) != [(w.ADDED, "moved\\sub\\q")]:
        pass


async def test_catching_up_needs_no_turn_of_the_loop(backend: LocalBackend, share: Path) -> None:
    """What was done before is reported at once, all of it."""
    seen = Collector()
    watch = open_(backend, "").watch(False, NAMES, seen.on_changes, seen.on_overflow)
    for number in range(10):
        (share / f"{number}").mkdir()
    assert not seen.changes
    watch.catch_up()
    assert [change.path for change in seen.changes] == [f"{number}" for number in range(10)]
    watch.close()
    watch.catch_up()


async def test_not_recursive_after_recursive(backend: LocalBackend, share: Path) -> None:
    """A watch of one directory does not report those below, though another watch does."""
    (share / "d").mkdir()
    plain, deep = Collector(), Collector()
    open_(backend, "").watch(False, NAMES, plain.on_changes, plain.on_overflow)
    watch = open_(backend, "").watch(True, NAMES, deep.on_changes, deep.on_overflow)
    await _reached(watch, "d")
    (share / "d" / "x").touch()
    (share / "y").touch()
    assert await deep.take(2) == [(w.ADDED, "d\\x"), (w.ADDED, "y")]
    assert await plain.take(1) == [(w.ADDED, "y")] and not plain.changes


async def test_closed_watch_is_silent(backend: LocalBackend, share: Path) -> None:
    """After close nothing comes, and a new watch reports nothing from before."""
    seen, later = Collector(), Collector()
    watch = open_(backend, "").watch(True, ALL, seen.on_changes, seen.on_overflow)
    (share / "a").touch()
    watch.close()
    open_(backend, "").watch(False, NAMES, later.on_changes, later.on_overflow)
    (share / "b").touch()
    assert await later.take(1) == [(w.ADDED, "b")]
    assert seen.changes == []


async def test_overflow(backend: LocalBackend, share: Path) -> None:
    """More changes than the kernel queues: on_overflow is called."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    seen = Collector()
    open_(backend, "").watch(False, NAMES, seen.on_changes, seen.on_overflow)
    fd = os.open(share, os.O_RDONLY)
    for _ in range(limit // 2 + 10):
        os.mknod("f", 0o100644, dir_fd=fd)
        os.unlink("f", dir_fd=fd)
    os.close(fd)
    async with asyncio.timeout(10):
        while not seen.overflows:
            await asyncio.sleep(0)
    assert seen.overflows == 1


async def test_nothing_of_hidden_folders(make_backend: Callable[..., LocalBackend], share: Path) -> None:
    """Vetoed and private folders, old, new or renamed: no name below them is reported, and a rename from or to a
    vetoed name looks like an addition or a removal."""
    (share / "private").mkdir()
    (share / "veto" / "deep").mkdir(parents=True)
    backend = make_backend(veto_files=("veto*",), guard=Guard(share / "private"))
    seen = Collector()
    watch = open_(backend, "").watch(True, ALL, seen.on_changes, seen.on_overflow)
    (share / "veto" / "deep" / "secret").touch()
    (share / "veto" / "new").mkdir()
    (share / "veto" / "new" / "secret").touch()
    (share / "private" / "accounts.json").touch()
    (share / "made").mkdir()
    assert await seen.take(1) == [(w.ADDED, "made")]
    (share / "made" / "veto2").mkdir()
    (share / "made" / "veto2" / "secret").touch()
    (share / "made").rename(share / "veto3")
    (share / "veto3" / "secret").touch()
    (share / "veto3").rename(share / "shown")
    assert await seen.take(2) == [(w.REMOVED, "made"), (w.ADDED, "shown")]
    (share / "shown" / "file").touch()
    assert await seen.take(1) == [(w.ADDED, "shown\\file")]
    watch.close()


async def test_many_folders_are_reached_in_slices(
    backend: LocalBackend, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a recursive watch on many folders neither blocks the loop nor holds a descriptor for each, and reports
    what happens below a folder not yet reached, or an overflow. Method: slices of no length; a file in a far folder at
    once, in another one when all are reached, and descriptors counted meanwhile."""
    monkeypatch.setattr(hub, "SLICE_S", 0.0)
    for number in range(40):
        (share / f"a{number}" / "b" / "c").mkdir(parents=True)
    count = Counted()
    seen = Collector()
    opened = open_(backend, "")
    before = descriptors()
    watch = opened.watch(True, NAMES, seen.on_changes, seen.on_overflow, count)
    assert count.now < 121, "all at once"
    (share / "a39" / "b" / "c" / "early").touch()
    most = 0
    async with asyncio.timeout(10):
        while count.now < 121:
            await asyncio.sleep(0)
            most = max(most, len(descriptors() - before))
    assert most <= 8
    async with asyncio.timeout(10):
        while not (seen.overflows or seen.changes):
            await asyncio.sleep(0)
    seen.changes.clear()
    (share / "a0" / "b" / "c" / "x").touch()
    assert await seen.take(1) == [(w.ADDED, "a0\\b\\c\\x")]
    watch.close()
    assert count.now == 0


async def test_watches_that_begin_together_share_a_slice(
    backend: LocalBackend, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: many recursive watches that begin at once cost one slice, not one each, and all reach everything. Method:
    slices of no length; the first watch scans at once, the later ones only their own folder until their turn."""
    monkeypatch.setattr(hub, "SLICE_S", 0.0)
    for number in range(10):
        (share / f"d{number}").mkdir()
    looks = 0
    real = hub.WatchHub._look_into

    def counted(self: hub.WatchHub, *arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return real(self, *arguments)

    monkeypatch.setattr(hub.WatchHub, "_look_into", counted)
    opened, seen = open_(backend, ""), [Collector() for _ in range(20)]
    counts = [Counted() for _ in seen]
    watches = [
        opened.watch(True, NAMES, one.on_changes, one.on_overflow, count)
        for one, count in zip(seen, counts, strict=True)
    ]
    assert looks <= 2, "each of them looks at once"
    async with asyncio.timeout(10):
        while any(count.now < 11 for count in counts):
            await asyncio.sleep(0)
    for watch in watches:
        watch.close()
    assert all(count.now == 0 for count in counts)


async def test_a_new_tree_is_reported_completely(backend: LocalBackend, share: Path) -> None:
    """Everything in a new folder is reported as added, once, however deep it was when the folder was seen."""
    seen = Collector()
    open_(backend, "").watch(True, NAMES, seen.on_changes, seen.on_overflow)
    (share / "new" / "sub" / "deep").mkdir(parents=True)
    (share / "new" / "sub" / "deep" / "x").touch()
    expected = ["new", "new\\sub", "new\\sub\\deep", "new\\sub\\deep\\x"]
    assert await seen.take(4) == [(w.ADDED, path) for path in expected]
    (share / "end").touch()
    assert await seen.take(1) == [(w.ADDED, "end")]


async def test_what_finds_no_room_is_not_watched(backend: LocalBackend, share: Path) -> None:
    """The quota bounds what is watched below."""
    for number in range(20):
        (share / f"d{number}").mkdir()
    count = Counted(5)
    seen = Collector()
    watch = open_(backend, "").watch(True, NAMES, seen.on_changes, seen.on_overflow, count)
    for _ in range(30):
        await asyncio.sleep(0)
    assert count.now == 5
    watch.close()
    assert count.now == 0


async def test_many_watches_of_one_folder_are_served_in_slices(
    backend: LocalBackend, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others get a turn while one change is reported to many watches, and a rename stays together."""
    monkeypatch.setattr(hub, "TOLD_MAX", 2)
    seen = [Collector() for _ in range(9)]
    opened = open_(backend, "")
    for one in seen:
        opened.watch(False, NAMES, one.on_changes, one.on_overflow)
    (share / "a").touch()
    (share / "a").rename(share / "b")
    async with asyncio.timeout(10):
        while not seen[0].changes:
            await asyncio.sleep(0)
    assert not seen[-1].changes, "all at once"
    expected = [(w.ADDED, "a"), (w.RENAMED_OLD_NAME, "a"), (w.RENAMED_NEW_NAME, "b")]
    for one in seen:
        assert await one.take(3) == expected


class Counted:
    """A quota."""

    def __init__(self, limit: int = 10_000) -> None:
        self.now, self.limit = 0, limit

    def room(self) -> bool:
        return self.now < self.limit

    def change(self, count: int) -> None:
        self.now += count
