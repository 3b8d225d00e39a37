"""SET_INFO rename and link over the pair: which names are available while who has what open."""

from __future__ import annotations

import pytest

from frevo.server.core.turns import SLICE_S
from frevo.wire.dtyp import FileAccess
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileInfoClass,
    FileLinkInformation,
    FileRenameInformation,
    FileRenameInformationEx,
    FileStandardInformation,
    RenameFlags,
)
from frevo.wire.smb2 import Command, FileAttributes, SetInfoRequest
from pair.client import Client, FileId
from pair.file_calls import folder, put, queried
from pair.machine import Pair


def rename(client: Client, file_id: FileId, name: str, *, replace: bool = False) -> NTStatus:
    return put(client, file_id, FileInfoClass.RENAME, FileRenameInformation(replace, 0, name).pack())


def link(client: Client, file_id: FileId, name: str, *, replace: bool = False) -> NTStatus:
    return put(client, file_id, FileInfoClass.LINK, FileLinkInformation(replace, 0, name).pack())


def test_every_open_follows(pair: Pair) -> None:
    """Goal: all opens of a file, including its streams, know the new name and still work. Method: rename through one
    of three opens, then use and delete through the others."""
    client = pair.logged_on()
    client.close(folder(client, "folder"))
    first, second, stream = client.open("file"), client.open("file"), client.open("file:stream")
    assert rename(client, first, "folder\\other") == NTStatus.SUCCESS
    for opened, name in ((second, "\\folder\\other"), (stream, "\\folder\\other:stream")):
        found = queried(client, opened, FileAllInformation, FileInfoClass.ALL).file_name
        assert found in (name, name + ":$DATA")
    client.write(second, 0, b"data")
    assert (pair.root / "share" / "folder" / "other").read_bytes() == b"data"
    assert not (pair.root / "share" / "file").exists()
    assert rename(client, second, "folder\\OTHER") == NTStatus.SUCCESS
    assert [path.name for path in (pair.root / "share" / "folder").iterdir()] == ["OTHER"]


def test_replacing(pair: Pair) -> None:
    """Goal: an existing name is replaced only with ReplaceIfExists, and never if it is open, read-only or a directory.
    Method: each kind of target."""
    client = pair.logged_on()
    file_id = client.open("file")
    client.write(file_id, 0, b"new")
    busy = client.open("target")
    assert rename(client, file_id, "target") == NTStatus.OBJECT_NAME_COLLISION
    assert rename(client, file_id, "target", replace=True) == NTStatus.ACCESS_DENIED
    client.close(busy)
    readonly = client.open("readonly")
    basic = FileBasicInformation(file_attributes=int(FileAttributes.READONLY)).pack()
    put(client, readonly, FileInfoClass.BASIC, basic)
    client.close(readonly)
    assert rename(client, file_id, "readonly", replace=True) == NTStatus.ACCESS_DENIED
    client.close(folder(client, "folder"))
    assert rename(client, file_id, "folder", replace=True) == NTStatus.ACCESS_DENIED
    assert rename(client, file_id, "TARGET", replace=True) == NTStatus.SUCCESS
    assert {path.name.lower() for path in (pair.root / "share").iterdir()} == {"target", "readonly", "folder"}


@pytest.mark.parametrize("name", ["", "\\", "missing\\file2", "a*b", "file:stream", "..\\file2"])
def test_wrong_names(pair: Pair, name: str) -> None:
    """Goal: invalid names are refused, and the file keeps its own. Method: one of each kind."""
    client = pair.logged_on()
    file_id = client.open("file")
    status = rename(client, file_id, name)
    assert status.is_error and status != NTStatus.INTERNAL_ERROR
    assert (pair.root / "share" / "file").exists()


def test_directories_with_opens_below(pair: Pair) -> None:
    """Goal: a directory moves only when nothing below it is open. Method: with and without an open two levels down."""
    client = pair.logged_on()
    directory = folder(client, "top")
    client.close(folder(client, "top\\middle"))
    deep = client.open("top\\middle\\file")
    assert rename(client, directory, "elsewhere") == NTStatus.ACCESS_DENIED
    client.close(deep)
    assert rename(client, directory, "elsewhere") == NTStatus.SUCCESS
    assert client.open("elsewhere\\middle\\file")
    assert rename(client, directory, "elsewhere\\middle\\top").is_error


def test_share_modes_of_the_target_directory(pair: Pair) -> None:
    """Goal: an open of the target directory that can delete it, or does not share writing, blocks the rename. Method:
    opens of it with different access and sharing."""
    client = pair.logged_on()
    client.close(folder(client, "folder"))
    file_id = client.open("folder\\file")
    for access, sharing, expected in [
        (0x1, 7, NTStatus.SUCCESS),
        (0x10080, 7, NTStatus.SHARING_VIOLATION),
        (0x1, 5, NTStatus.SHARING_VIOLATION),
        (0x80, 0, NTStatus.SUCCESS),
    ]:
        directory = folder(client, "folder", desired_access=access, share_access=sharing)
        assert rename(client, file_id, "folder\\new") == expected
        client.close(directory)
        assert rename(client, file_id, "folder\\file") == NTStatus.SUCCESS


def test_access_and_flags(pair: Pair) -> None:
    """Goal: DELETE is needed; POSIX semantics and root directories are refused. Method: one of each."""
    client = pair.logged_on()
    file_id = client.open("file")
    weak = client.open("file", desired_access=FileAccess.READ_DATA)
    assert rename(client, weak, "other") == NTStatus.ACCESS_DENIED
    posix = FileRenameInformationEx(int(RenameFlags.POSIX_SEMANTICS), 0, "other").pack()
    assert put(client, file_id, FileInfoClass.RENAME_EX, posix) == NTStatus.NOT_SUPPORTED
    rooted = FileRenameInformation(False, 5, "other").pack()
    assert put(client, file_id, FileInfoClass.RENAME, rooted) == NTStatus.INVALID_PARAMETER
    assert put(client, file_id, FileInfoClass.RENAME, rooted[:12]) == NTStatus.INFO_LENGTH_MISMATCH
    plain = FileRenameInformationEx(int(RenameFlags.REPLACE_IF_EXISTS), 0, "other").pack()
    assert put(client, file_id, FileInfoClass.RENAME_EX, plain) == NTStatus.SUCCESS


def test_streams(pair: Pair) -> None:
    """Goal: a stream is renamed within its file and nowhere else. Method: new stream name, a file's name, a file to a
    stream's name."""
    client = pair.logged_on()
    stream = client.open("file:one")
    client.write(stream, 0, b"data")
    assert rename(client, stream, "other") == NTStatus.INVALID_PARAMETER
    assert rename(client, stream, ":two") == NTStatus.SUCCESS
    client.close(stream)
    assert client.read(client.open("file:two"), 0, 4) == b"data"
    assert client.create("file:one", create_disposition=1).status == NTStatus.OBJECT_NAME_NOT_FOUND
    assert rename(client, client.open("plain"), ":stream") == NTStatus.INVALID_PARAMETER


def test_every_open_of_a_stream_follows(pair: Pair) -> None:
    """Goal: a renamed stream stays one file, for existing and for new opens, and its old name is free. Method: rename
    through one of two opens; write through the other, share modes and deletion under the new name, a new stream under
    the old one."""
    client = pair.logged_on()
    first = client.open("file:one", desired_access=0x10001)
    second = client.open("file:one", desired_access=3, share_access=5)
    assert rename(client, first, ":two") == NTStatus.SUCCESS
    client.write(second, 0, b"data")
    assert client.create("file:two", desired_access=2).status == NTStatus.SHARING_VIOLATION
    other = client.open("file:one", share_access=0)
    assert queried(client, other, FileStandardInformation, FileInfoClass.STANDARD).end_of_file == 0
    client.close(second)
    disposition = FileDispositionInformation(1).pack()
    assert put(client, first, FileInfoClass.DISPOSITION, disposition) == NTStatus.SUCCESS
    assert client.create("file:two", create_disposition=1).status == NTStatus.DELETE_PENDING
    client.close(first)
    assert client.create("file:two", create_disposition=1).status == NTStatus.OBJECT_NAME_NOT_FOUND
    client.close(other)
    assert client.create("file:one", create_disposition=1).status == NTStatus.SUCCESS


def test_streams_of_a_read_only_file_are_kept(pair: Pair) -> None:
    """Goal: no stream of a read-only file is replaced. Method: DELETE is granted to one stream, which is renamed onto
    the other; and to a new name and another case of its own, which removes nothing."""
    client = pair.logged_on()
    for name in ("file:one", "file:two"):
        stream = client.open(name)
        client.write(stream, 0, name.encode())
        client.close(stream)
    basic = FileBasicInformation(file_attributes=int(FileAttributes.READONLY)).pack()
    assert put(client, client.open("file"), FileInfoClass.BASIC, basic) == NTStatus.SUCCESS
    stream = client.open("file:one", desired_access=int(FileAccess.DELETE))
    assert rename(client, stream, ":two", replace=True) == NTStatus.ACCESS_DENIED
    assert client.read(client.open("file:two", desired_access=1), 0, 9) == b"file:two"
    assert rename(client, stream, ":ONE", replace=True) == NTStatus.SUCCESS
    assert rename(client, stream, ":three", replace=True) == NTStatus.SUCCESS


def test_links(pair: Pair) -> None:
    """Goal: a second name for the same file, by the same rules for names that exist. Method: link, replace, refuse."""
    client = pair.logged_on()
    file_id = client.open("file")
    client.write(file_id, 0, b"data")
    client.close(client.open("taken"))
    assert link(client, file_id, "\\second") == NTStatus.SUCCESS
    assert (pair.root / "share" / "second").read_bytes() == b"data"
    assert link(client, file_id, "taken") == NTStatus.OBJECT_NAME_COLLISION
    assert link(client, file_id, "taken", replace=True) == NTStatus.SUCCESS
    assert (pair.root / "share" / "taken").stat().st_nlink == 3
    assert link(client, folder(client, "folder"), "other") == NTStatus.FILE_IS_A_DIRECTORY


def test_read_only_share(pair: Pair) -> None:
    """Goal: nothing in a read-only share is renamed, linked or deleted. Method: an open with everything that is
    granted."""
    (pair.root / "ro" / "file").write_bytes(b"")
    client = pair.logged_on()
    client.connect_tree("ro")
    file_id = client.open("file", desired_access=0x02000000, create_disposition=1)
    assert rename(client, file_id, "other") == NTStatus.ACCESS_DENIED
    assert link(client, file_id, "other") == NTStatus.ACCESS_DENIED
    assert put(client, file_id, FileInfoClass.DISPOSITION, b"\1") == NTStatus.ACCESS_DENIED
    assert put(client, file_id, FileInfoClass.BASIC, FileBasicInformation().pack()) == NTStatus.ACCESS_DENIED


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> Pair:
    """A server on which ten opens count as very many, and checking each takes a slice."""
    monkeypatch.setattr("frevo.server.handlers.rename.LOOKED_AT_ONCE", 10)
    monkeypatch.setattr("frevo.server.handlers.rename.FOLLOWED_AT_ONCE", 10)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += SLICE_S
        return now

    pair.server.turns.clock = clock
    return pair


def test_a_folder_is_renamed_among_very_many_opens(much: Pair) -> None:
    """Goal: opens below a folder are found among very many, while others work, including what is opened or renamed
    into it meanwhile. Method: each of them, and none."""
    client, other = much.logged_on(), much.logged_on()
    directory, elsewhere = folder(client, "folder"), folder(client, "elsewhere")
    client.close(folder(client, "folder\\sub"))
    opened = [client.open(f"file{number}") for number in range(40)]
    assert rename(client, directory, "renamed") == NTStatus.SUCCESS
    below = client.open("renamed\\below")
    assert rename(client, directory, "folder") == NTStatus.ACCESS_DENIED
    client.close(below)
    def begun() -> int:
        asked = FileRenameInformation(False, 0, "folder").pack()
        return client.send(
            Command.SET_INFO, SetInfoRequest(1, FileInfoClass.RENAME, 0, directory, asked).pack()
        )

    waiting = begun()
    assert not client.answers(waiting)
    late = other.open("renamed\\late")
    assert client.wait(waiting).status == NTStatus.ACCESS_DENIED
    other.close(late)
    moving = other.open("moving")
    waiting = begun()
    assert not client.answers(waiting)
    assert rename(other, moving, "renamed\\sub\\moved") == NTStatus.SUCCESS
    assert client.wait(waiting).status == NTStatus.ACCESS_DENIED
    other.close(moving)
    assert client.wait(begun()).status == NTStatus.SUCCESS
    client.close(directory)
    client.close(elsewhere)
    assert len(opened) == 40 and not much.server.looked_below


def test_very_many_opens_follow(much: Pair) -> None:
    """Goal: very many opens of a file know its new name before the client gets the response, a rename that comes
    meanwhile waits, and the last name is the final one. Method: two renames at once."""
    client = much.logged_on()
    opened = [client.open("file") for _ in range(30)] + [client.open("file:stream") for _ in range(5)]
    waiting = [
        client.send(
            Command.SET_INFO,
            SetInfoRequest(
                1, FileInfoClass.RENAME, 0, file_id, FileRenameInformation(False, 0, name).pack()
            ).pack(),
        )
        for file_id, name in ((opened[0], "first"), (opened[7], "second"))
    ]
    assert [client.wait(one).status for one in waiting] == [NTStatus.SUCCESS] * 2
    paths = {one.path.partition(":")[0] for one in much.server.opens.values()}
    assert paths == {"second"}
    found = queried(client, opened[29], FileAllInformation, FileInfoClass.ALL).file_name
    assert found == "\\second"
