"""Deletions that cannot happen are refused when requested, and errors at close are in the response to CLOSE."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from frevo.errors import SMBError
from frevo.vfs.base import Handle
from frevo.vfs.handle import LocalHandle
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    DispositionFlags,
    FileDispositionInformation,
    FileDispositionInformationEx,
    FileInfoClass,
)
from frevo.wire.smb2 import CreateDisposition, CreateOptions, FileAttributes
from pair.client import Client, FileId
from pair.file_calls import folder, put
from pair.machine import Pair

_DELETE, _ON_CLOSE = int(DispositionFlags.DELETE), int(DispositionFlags.ON_CLOSE)
_IGNORE = int(DispositionFlags.IGNORE_READONLY_ATTRIBUTE)


def dispose(client: Client, file_id: FileId) -> NTStatus:
    return put(client, file_id, FileInfoClass.DISPOSITION, FileDispositionInformation(True).pack())


def dispose_ex(client: Client, file_id: FileId, flags: int) -> NTStatus:
    return put(client, file_id, FileInfoClass.DISPOSITION_EX, FileDispositionInformationEx(flags).pack())


WAYS: list[Callable[[Client, FileId], NTStatus]] = [
    dispose,
    lambda client, file_id: dispose_ex(client, file_id, _DELETE),
    lambda client, file_id: dispose_ex(client, file_id, _DELETE | _ON_CLOSE),
]


@pytest.mark.parametrize("way", WAYS)
def test_refused_when_requested(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, way: Callable[..., NTStatus]
) -> None:
    """Goal: what the system would not remove, what is read-only and what is not empty are refused at SET_INFO and at
    CREATE, and stay. Method: each way to request it."""
    client = pair.logged_on()
    client.close(client.open("readonly", file_attributes=int(FileAttributes.READONLY)))
    readonly = client.open("readonly", desired_access=0x00010180, create_disposition=CreateDisposition.OPEN)
    assert way(client, readonly) == NTStatus.CANNOT_DELETE
    full = folder(client, "full")
    client.close(client.open("full\\file"))
    assert way(client, full) == NTStatus.DIRECTORY_NOT_EMPTY
    client.close(full)
    file_id = client.open("file")

    def refuse(self: LocalBackend, handle: Handle) -> None:
        raise SMBError(NTStatus.ACCESS_DENIED, "as the system would")

    monkeypatch.setattr(LocalBackend, "check_removable", refuse)
    assert way(client, file_id) == NTStatus.ACCESS_DENIED
    again = client.create("file", create_options=int(CreateOptions.DELETE_ON_CLOSE))
    assert again.status == NTStatus.ACCESS_DENIED
    client.close(file_id)
    client.close(readonly)
    assert sorted(path.name for path in (pair.root / "share").iterdir()) == ["file", "full", "readonly"]


def test_ignoring_readonly_needs_the_right(pair: Pair) -> None:
    """Goal: only a user who may change the attribute can ignore it ([MS-FSA] 2.1.5.15.4). Method: with and without
    FILE_WRITE_ATTRIBUTES."""
    client = pair.logged_on()
    client.close(client.open("file", file_attributes=int(FileAttributes.READONLY)))
    for access, expected in ((0x00010080, NTStatus.CANNOT_DELETE), (0x00010180, NTStatus.SUCCESS)):
        file_id = client.open("file", desired_access=access, create_disposition=CreateDisposition.OPEN)
        assert dispose_ex(client, file_id, _DELETE | _IGNORE) == expected
        client.close(file_id)
    assert not (pair.root / "share" / "file").exists()


def test_readonly_is_checked_everywhere(pair: Pair) -> None:
    """Goal: DELETE_ON_CLOSE of a read-only directory is refused like a file's, not dropped at close ([MS-FSA]
    2.1.5.1.2.1); with the right to ignore the attribute the file is deleted with the open, too. Method: CREATE, and
    SET_INFO with ON_CLOSE."""
    client, readonly = pair.logged_on(), int(FileAttributes.READONLY)
    client.close(folder(client, "folder", file_attributes=readonly))
    on_close = int(CreateOptions.DELETE_ON_CLOSE | CreateOptions.DIRECTORY_FILE)
    again = client.create("folder", create_options=on_close, create_disposition=CreateDisposition.OPEN)
    assert again.status == NTStatus.CANNOT_DELETE and (pair.root / "share" / "folder").exists()
    client.close(client.open("file", file_attributes=readonly))
    file_id = client.open("file", desired_access=0x00010180, create_disposition=CreateDisposition.OPEN)
    assert dispose_ex(client, file_id, _DELETE | _ON_CLOSE) == NTStatus.CANNOT_DELETE
    assert dispose_ex(client, file_id, _DELETE | _ON_CLOSE | _IGNORE) == NTStatus.SUCCESS
    assert client.close(file_id).status == NTStatus.SUCCESS
    assert not (pair.root / "share" / "file").exists()


def test_errors_at_close_are_returned(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: data that the system could not store, and a deletion that failed after all, are the status of CLOSE; the
    open is gone, and the end of a session continues with the next. Method: both errors, in place of the system's."""
    client = pair.logged_on()
    close, remove = LocalHandle.close, LocalBackend.remove

    def no_room(self: LocalHandle) -> None:
        close(self)
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(LocalHandle, "close", no_room)
    file_id = client.open("file")
    assert client.close(file_id).status == NTStatus.DISK_FULL
    assert client.close(file_id).status == NTStatus.FILE_CLOSED
    client.open("file")
    client.open("other")
    client.disconnect()
    assert not pair.server.opens and not len(pair.server.files)
    monkeypatch.setattr(LocalHandle, "close", close)

    def denied(self: LocalBackend, handle: Handle) -> None:
        raise PermissionError(errno.EACCES, "denied")

    client = pair.logged_on()
    file_id = client.open("file")
    assert dispose(client, file_id) == NTStatus.SUCCESS
    monkeypatch.setattr(LocalBackend, "remove", denied)
    assert client.close(file_id).status == NTStatus.ACCESS_DENIED
    monkeypatch.setattr(LocalBackend, "remove", remove)
