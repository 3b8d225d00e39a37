"""Deletion: who may delete, when a file is deleted, and that only the last close does it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.errors import SMBError
from frevo.locking.file_table import FileTable
from frevo.server.core.directory_watch import DirectoryWatch
from frevo.server.core.server import Server
from frevo.server.core.state import Open
from frevo.server.core.turns import Turns
from frevo.server.rules import deleting
from frevo.vfs.base import Handle, OpenIntent
from frevo.vfs.local import LocalBackend, LocalOptions
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAttributes

READONLY = int(FileAttributes.READONLY)


class Files:
    """A backend on a folder, a table of open files, and opens of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backend = LocalBackend(str(folder), options=LocalOptions())
        self.loop = asyncio.new_event_loop()
        self.server = cast(Server, SimpleNamespace(files=FileTable(), turns=Turns(self.loop)))
        tree = SimpleNamespace(backend=self.backend, acting=None)
        self.tree = cast(Any, tree)

    def open(self, name: str, *, directory: bool = False) -> Open:
        resolved = self.backend.resolve(name)
        if resolved.exists:
            handle: Handle = self.backend.open(resolved, OpenIntent.PATH)
        else:
            handle = self.backend.create(
                resolved, directory=directory, intent=OpenIntent.PATH, attributes=0, mode=0o700
            )
        session = cast(Any, SimpleNamespace(connection=SimpleNamespace(party="party")))
        opened = Open(1, 1, session, self.tree, 0, 7, 0, name, handle=handle, is_directory=directory)
        stream_of = handle.identity._replace(stream="") if handle.stream else None
        opened.record = self.server.files.add(handle.identity, opened, stream_of=stream_of)
        return opened

    def close(self, opened: Open) -> OSError | SMBError | None:
        assert opened.handle is not None
        failed = deleting.leave_file(self.server, opened, opened.handle)
        opened.handle.close()
        return failed


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    made.server.turns.drain()
    made.loop.close()


def test_the_last_close_deletes(files: Files) -> None:
    """Goal: delete pending takes effect with the last open, and can be taken back until then. Method: two opens."""
    first, second = files.open("file"), files.open("file")
    deleting.set_delete_pending(files.server, first, True)
    assert deleting.is_delete_pending(second)
    assert files.close(first) is None and (files.folder / "file").exists()
    deleting.set_delete_pending(files.server, second, False)
    assert files.close(second) is None and (files.folder / "file").exists()
    third = files.open("file")
    deleting.set_delete_pending(files.server, third, True)
    assert files.close(third) is None and not (files.folder / "file").exists()


def test_delete_on_close_is_pending_from_its_close(files: Files) -> None:
    """Goal: DELETE_ON_CLOSE becomes delete pending when that open closes, not before; then nobody can open the file.
    Method: two opens, one of them with it."""
    first, second = files.open("file"), files.open("file")
    assert first.handle is not None
    identity = first.handle.identity
    deleting.set_delete_on_close(first, True)
    deleting.check_not_pending(files.server.files, identity, "file")
    files.close(first)
    with pytest.raises(SMBError) as caught:
        deleting.check_not_pending(files.server.files, identity, "file")
    assert caught.value.status == NTStatus.DELETE_PENDING
    files.close(second)
    assert not (files.folder / "file").exists()


@pytest.mark.parametrize("even_readonly", [False, True])
def test_what_becomes_read_only_stays(files: Files, even_readonly: bool) -> None:
    """Goal: delete on close spares a file that has become read-only, unless the attribute is to be ignored. Method:
    both."""
    opened = files.open("file")
    assert opened.handle is not None
    deleting.set_delete_on_close(opened, True, even_readonly=even_readonly)
    opened.handle.set_basic(attributes=READONLY)
    files.close(opened)
    assert (files.folder / "file").exists() is not even_readonly


def test_a_file_waits_for_its_streams(files: Files) -> None:
    """Goal: a deleted file with an open stream goes with the stream's last open; until then neither can be opened.
    Method: delete the file first."""
    file = files.open("file")
    stream = files.open("file:s")
    assert file.handle is not None and stream.handle is not None
    identity, of_stream = file.handle.identity, stream.handle.identity
    deleting.set_delete_pending(files.server, file, True)
    files.close(file)
    assert (files.folder / "file").exists()
    for name, of in ((identity, None), (of_stream, identity)):
        with pytest.raises(SMBError):
            deleting.check_not_pending(files.server.files, name, "file", stream_of=of)
    assert files.close(stream) is None
    assert not (files.folder / "file").exists()


def test_watchers_hear_of_it(files: Files) -> None:
    """Goal: whoever watches a directory learns that it is being deleted. Method: an open with a watch and one
    waiter."""
    first, second = files.open("folder", directory=True), files.open("folder", directory=True)
    second.watch = DirectoryWatch(100)
    told: list[int] = []
    waiter = SimpleNamespace(done=lambda: False, set_result=told.append)
    second.watch.waiters.append(cast(Any, waiter))
    deleting.set_delete_pending(files.server, first, True)
    files.server.turns.drain()
    assert len(told) == 1
    files.close(first)
    files.close(second)


def test_a_failed_deletion_is_returned(files: Files) -> None:
    """Goal: the error at close is returned to whoever closes. Method: a directory that is no longer empty."""
    opened = files.open("folder", directory=True)
    deleting.set_delete_pending(files.server, opened, True)
    (files.folder / "folder" / "late").touch()
    assert files.close(opened) is not None and (files.folder / "folder" / "late").exists()


def test_reasons_against_a_deletion(files: Files) -> None:
    """Goal: read-only, full and root each have their status; for deletion at close a directory may still be full.
    Method: one of each."""

    def refused(opened: Open, **how: bool) -> int:
        assert opened.handle is not None
        try:
            deleting.check_deletable(files.backend, opened.handle, opened.handle.stat(), **how)
        except SMBError as error:
            return error.status
        return NTStatus.SUCCESS

    file, folder = files.open("file"), files.open("folder", directory=True)
    assert file.handle is not None
    file.handle.set_basic(attributes=READONLY)
    (files.folder / "folder" / "file").touch()
    assert refused(file) == NTStatus.CANNOT_DELETE
    assert refused(file, even_readonly=True) == NTStatus.SUCCESS
    assert refused(folder) == NTStatus.DIRECTORY_NOT_EMPTY
    assert refused(folder, empty=False) == NTStatus.SUCCESS
    root = files.open("", directory=True)
    assert refused(root, empty=False) == NTStatus.CANNOT_DELETE
