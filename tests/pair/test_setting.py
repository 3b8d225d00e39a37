"""SET_INFO over the pair: times, attributes, sizes, deletion, security, and refusals."""

from __future__ import annotations

import pytest

from frevo.auth.descriptors import SecurityInformation
from frevo.wire.dtyp import ACE, ACL, CREATOR_OWNER, EVERYONE, LOCAL_SYSTEM, FileAccess, SecurityDescriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllocationInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileDispositionInformationEx,
    FileEndOfFileInformation,
    FileInfoClass,
    FileModeInformation,
    FilePositionInformation,
    FileRenameInformation,
    FileStandardInformation,
    FsInfoClass,
    FullEa,
    pack_full_eas,
)
from frevo.wire.smb2 import Command, EchoRequest, FileAttributes, InfoType, SetInfoRequest
from pair.client import Client, FileId
from pair.file_calls import folder, put, queried
from pair.machine import Pair

DAY = 24 * 3600 * 10_000_000
THEN = 132_000_000_000_000_000 + 1234567 * 10  # a FILETIME in 2019, to the microsecond
DELETE = FileDispositionInformation(True).pack()


def basic(client: Client, file_id: FileId, **values: int) -> NTStatus:
    return put(client, file_id, FileInfoClass.BASIC, FileBasicInformation(**values).pack())


def basics(client: Client, file_id: FileId) -> FileBasicInformation:
    found: FileBasicInformation = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
    return found


def standard(client: Client, file_id: FileId) -> FileStandardInformation:
    found: FileStandardInformation = queried(client, file_id, FileStandardInformation, FileInfoClass.STANDARD)
    return found


@pytest.mark.parametrize("name", ["creation_time", "last_access_time", "last_write_time"])
def test_one_time_after_the_other(pair: Pair, name: str) -> None:
    """Goal: a time is set to 100 ns, the others stay. Method: one at a time, on a file and a directory."""
    client = pair.logged_on()
    for file_id in (client.open("file"), folder(client, "folder")):
        before = basics(client, file_id)
        assert basic(client, file_id, **{name: THEN + 3}) == NTStatus.SUCCESS
        after = basics(client, file_id)
        assert getattr(after, name) == THEN + 3
        for other in {"creation_time", "last_access_time", "last_write_time"} - {name}:
            assert getattr(after, other) == getattr(before, other)


def test_write_time_that_stays(pair: Pair) -> None:
    """Goal: a last write time that a client has set survives its later writes; -1 freezes it, -2 releases it. Method:
    write and resize after each."""
    client = pair.logged_on()
    file_id = client.open("file")
    basic(client, file_id, last_write_time=THEN)
    client.write(file_id, 0, b"x")
    put(client, file_id, FileInfoClass.END_OF_FILE, FileEndOfFileInformation(10).pack())
    assert basics(client, file_id).last_write_time == THEN
    assert basic(client, file_id, last_write_time=-2) == NTStatus.SUCCESS
    client.write(file_id, 0, b"x")
    now = basics(client, file_id).last_write_time
    assert now > THEN + 365 * DAY
    assert basic(client, file_id, last_write_time=-1) == NTStatus.SUCCESS
    client.write(file_id, 0, b"x")
    assert basics(client, file_id).last_write_time == now
    assert basic(client, file_id, last_write_time=-3) == NTStatus.INVALID_PARAMETER


def test_attributes(pair: Pair) -> None:
    """Goal: attributes are stored as set, NORMAL clears them, 0 keeps them, invalid ones are refused. Method: a file
    and a directory, and the sparse attribute, which BASIC cannot change."""
    client = pair.logged_on()
    file_id, directory = client.open("file"), folder(client, "folder")
    hidden, system = FileAttributes.HIDDEN, FileAttributes.SYSTEM
    assert (
        basic(client, file_id, file_attributes=hidden | system | FileAttributes.SPARSE_FILE)
        == NTStatus.SUCCESS
    )
    assert basics(client, file_id).file_attributes == hidden | system
    assert basic(client, file_id, creation_time=THEN) == NTStatus.SUCCESS
    assert basics(client, file_id).file_attributes == hidden | system
    assert basic(client, file_id, file_attributes=FileAttributes.NORMAL) == NTStatus.SUCCESS
    assert basics(client, file_id).file_attributes == FileAttributes.NORMAL
    assert basic(client, file_id, file_attributes=FileAttributes.DIRECTORY) == NTStatus.INVALID_PARAMETER
    assert basic(client, directory, file_attributes=FileAttributes.TEMPORARY) == NTStatus.INVALID_PARAMETER
    assert basic(client, directory, file_attributes=hidden) == NTStatus.SUCCESS
    assert basics(client, directory).file_attributes == hidden | FileAttributes.DIRECTORY
    weak = client.open("file", desired_access=FileAccess.READ_ATTRIBUTES)
    assert basic(client, weak, file_attributes=hidden) == NTStatus.ACCESS_DENIED


def test_sizes(pair: Pair) -> None:
    """Goal: end of file and allocation do what they say; negative sizes, directories and opens without the right are
    refused. Method: grow, cut, allocate above and below."""
    client = pair.logged_on()
    file_id, path = client.open("file"), pair.root / "share" / "file"

    def resize(kind: int, size: int, opened: FileId = file_id) -> NTStatus:
        made = (
            FileEndOfFileInformation(size)
            if kind == FileInfoClass.END_OF_FILE
            else FileAllocationInformation(size)
        )
        return put(client, opened, kind, made.pack())

    assert resize(FileInfoClass.END_OF_FILE, 100_000) == NTStatus.SUCCESS and path.stat().st_size == 100_000
    assert resize(FileInfoClass.ALLOCATION, 200_000) == NTStatus.SUCCESS and path.stat().st_size == 100_000
    assert resize(FileInfoClass.ALLOCATION, 10) == NTStatus.SUCCESS and path.stat().st_size == 10
    weak = client.open("file", desired_access=FileAccess.READ_DATA)
    for kind in (FileInfoClass.END_OF_FILE, FileInfoClass.ALLOCATION):
        assert resize(kind, -1) == NTStatus.INVALID_PARAMETER
        assert resize(kind, 1, weak) == NTStatus.ACCESS_DENIED
        assert resize(kind, 1, folder(client)) == NTStatus.INVALID_PARAMETER
        assert put(client, file_id, kind, b"1234567") == NTStatus.INFO_LENGTH_MISMATCH


def test_position_and_mode(pair: Pair) -> None:
    """Goal: both belong to the open; modes that mean nothing are refused. Method: set, query, a second open."""
    client = pair.logged_on()
    file_id, other = client.open("file"), client.open("file")
    assert (
        put(client, file_id, FileInfoClass.POSITION, FilePositionInformation(77).pack()) == NTStatus.SUCCESS
    )
    for opened, position in ((file_id, 77), (other, 0)):
        found = queried(client, opened, FilePositionInformation, FileInfoClass.POSITION)
        assert found.current_byte_offset == position
    negative = FilePositionInformation(-1).pack()
    assert put(client, file_id, FileInfoClass.POSITION, negative) == NTStatus.INVALID_PARAMETER
    assert put(client, file_id, FileInfoClass.MODE, FileModeInformation(2).pack()) == NTStatus.SUCCESS
    assert queried(client, file_id, FileModeInformation, FileInfoClass.MODE).mode == 2
    assert (
        put(client, file_id, FileInfoClass.MODE, FileModeInformation(0x40).pack())
        == NTStatus.INVALID_PARAMETER
    )


def test_deletion(pair: Pair) -> None:
    """Goal: a file to be deleted goes with its last open, unless the deletion is taken back. Method: set and clear;
    two opens; look on disk after each close."""
    client = pair.logged_on()
    first, second = client.open("file"), client.open("file")
    path = pair.root / "share" / "file"
    assert put(client, first, FileInfoClass.DISPOSITION, DELETE) == NTStatus.SUCCESS
    assert standard(client, second).delete_pending and standard(client, second).number_of_links == 0
    assert client.create("file").status == NTStatus.DELETE_PENDING
    keep = FileDispositionInformation(False).pack()
    assert put(client, second, FileInfoClass.DISPOSITION, keep) == NTStatus.SUCCESS
    assert not standard(client, first).delete_pending
    put(client, first, FileInfoClass.DISPOSITION, DELETE)
    client.close(first)
    assert path.exists()
    client.close(second)
    assert not path.exists()


def test_what_cannot_be_deleted(pair: Pair) -> None:
    """Goal: read-only files, full directories and the root stay. Method: each; the Ex class may ignore read-only."""
    client = pair.logged_on()
    file_id, directory = client.open("file"), folder(client, "folder")
    client.close(client.open("folder\\inside"))
    assert put(client, directory, FileInfoClass.DISPOSITION, DELETE) == NTStatus.DIRECTORY_NOT_EMPTY
    assert put(client, folder(client), FileInfoClass.DISPOSITION, DELETE) == NTStatus.CANNOT_DELETE
    basic(client, file_id, file_attributes=FileAttributes.READONLY)
    assert put(client, file_id, FileInfoClass.DISPOSITION, DELETE) == NTStatus.CANNOT_DELETE
    weak = client.open("file", desired_access=FileAccess.READ_DATA)
    assert put(client, weak, FileInfoClass.DISPOSITION, DELETE) == NTStatus.ACCESS_DENIED
    posix = FileDispositionInformationEx(0x3).pack()
    assert put(client, file_id, FileInfoClass.DISPOSITION_EX, posix) == NTStatus.NOT_SUPPORTED
    even_readonly = FileDispositionInformationEx(0x11).pack()
    assert put(client, file_id, FileInfoClass.DISPOSITION_EX, even_readonly) == NTStatus.SUCCESS
    client.close(weak)
    client.close(file_id)
    assert not (pair.root / "share" / "file").exists()


def test_security(pair: Pair) -> None:
    """Goal: a DACL is stored and enforced, ownership cannot be taken, access is required. Method: deny writing to all,
    open again; a foreign owner; an open without WRITE_DAC."""
    client = pair.logged_on()
    file_id = client.open("file")

    def secure(opened: FileId, parts: int, descriptor: bytes) -> NTStatus:
        return put(client, opened, 0, descriptor, InfoType.SECURITY, additional_information=parts)

    reading = SecurityDescriptor(dacl=ACL([ACE(mask=0x00120089, sid=EVERYONE)])).pack()
    assert secure(file_id, SecurityInformation.DACL, reading) == NTStatus.SUCCESS
    assert client.create("file", desired_access=FileAccess.WRITE_DATA).status == NTStatus.ACCESS_DENIED
    weak = client.open("file", desired_access=FileAccess.READ_DATA)
    assert secure(weak, SecurityInformation.DACL, reading) == NTStatus.ACCESS_DENIED
    foreign = SecurityDescriptor(owner=LOCAL_SYSTEM).pack()
    assert secure(file_id, SecurityInformation.OWNER, foreign) == NTStatus.INVALID_OWNER
    assert secure(file_id, SecurityInformation.SACL, foreign) == NTStatus.ACCESS_DENIED
    assert secure(file_id, SecurityInformation.DACL, b"nonsense") == NTStatus.INVALID_SECURITY_DESCR


def test_extended_attributes(pair: Pair) -> None:
    """Goal: EAs are set and deleted; a broken list changes nothing. Method: set two, delete one by an empty value."""
    client = pair.logged_on()
    file_id = client.open("file")
    two = pack_full_eas([FullEa(b"ONE", b"1"), FullEa(b"TWO", b"2")])
    assert put(client, file_id, FileInfoClass.FULL_EA, two) == NTStatus.SUCCESS
    assert put(client, file_id, FileInfoClass.FULL_EA, pack_full_eas([FullEa(b"one")])) == NTStatus.SUCCESS
    assert put(client, file_id, FileInfoClass.FULL_EA, two[:-1]) == NTStatus.EA_LIST_INCONSISTENT
    weak = client.open("file", desired_access=FileAccess.READ_DATA)
    assert put(client, weak, FileInfoClass.FULL_EA, two) == NTStatus.ACCESS_DENIED


def test_what_cannot_be_set(pair: Pair) -> None:
    """Goal: the right status for what SET_INFO does not support. Method: one of each."""
    client = pair.logged_on()
    file_id, eight = client.open("file"), bytes(8)
    for status, info_type, info_class in [
        (NTStatus.NOT_SUPPORTED, InfoType.FILE, FileInfoClass.STANDARD),
        (NTStatus.INVALID_INFO_CLASS, InfoType.FILE, 0xEE),
        (NTStatus.PRIVILEGE_NOT_HELD, InfoType.FILE, FileInfoClass.VALID_DATA_LENGTH),
        (NTStatus.INVALID_DEVICE_REQUEST, InfoType.FILESYSTEM, FsInfoClass.CONTROL),
        (NTStatus.INVALID_INFO_CLASS, InfoType.FILESYSTEM, FsInfoClass.SIZE),
        (NTStatus.NOT_SUPPORTED, InfoType.QUOTA, 0),
        (NTStatus.INVALID_PARAMETER, 9, 4),
    ]:
        assert put(client, file_id, info_class, eight, info_type) == status
    client.connect_tree("IPC$")
    pipe = client.open("srvsvc", desired_access=0x12019F)
    assert put(client, pipe, FileInfoClass.PIPE, eight) == NTStatus.SUCCESS
    assert put(client, pipe, FileInfoClass.BASIC, bytes(40)) == NTStatus.NOT_SUPPORTED


def test_directory_to_be_deleted(pair: Pair) -> None:
    """Goal: nothing is added to a directory that is to be deleted. Method: a file, a folder and a rename into it."""
    client = pair.logged_on()
    directory, file_id = folder(client, "folder"), client.open("file")
    assert put(client, directory, FileInfoClass.DISPOSITION, DELETE) == NTStatus.SUCCESS
    assert client.create("folder\\new").status == NTStatus.DELETE_PENDING
    assert client.create("folder\\new", create_options=1).status == NTStatus.DELETE_PENDING
    into = FileRenameInformation(False, 0, "folder\\file").pack()
    assert put(client, file_id, FileInfoClass.RENAME, into) == NTStatus.DELETE_PENDING
    client.close(directory)
    assert not (pair.root / "share" / "folder").exists()


def test_deletion_under_an_open_stream(pair: Pair) -> None:
    """Goal: a file deleted while one of its streams is open stays, closed to everybody, until the stream is closed; a
    stream that does not share deletion prevents it. Method: both, and a look on disk."""
    client = pair.logged_on()
    client.close(client.open("file"))
    selfish = client.open("file:stream", share_access=3)
    assert client.create("file", desired_access=FileAccess.DELETE).status == NTStatus.SHARING_VIOLATION
    client.close(selfish)
    stream, file_id = client.open("file:stream"), client.open("file")
    put(client, file_id, FileInfoClass.DISPOSITION, DELETE)
    client.close(file_id)
    path = pair.root / "share" / "file"
    assert path.exists()
    for name in ("file", "file:stream", "file:other"):
        assert client.create(name).status == NTStatus.DELETE_PENDING
    client.close(stream)
    assert not path.exists()


def test_descriptors_are_bounded(pair: Pair) -> None:
    """Goal: no descriptor is stored that takes long to check, whoever makes it: a client's, or what a folder's entries
    would become below it. Method: as many entries as allowed, one more, entries that are large, and a folder whose
    entries double in what is created in it."""
    client = pair.logged_on()
    while client.granted < client.next_id + 20:
        client.echo()
    file_id, directory = client.open("file"), folder(client, "folder", desired_access=0x001F01FF)

    def secure(opened: FileId, aces: list[ACE]) -> NTStatus:
        descriptor = SecurityDescriptor(dacl=ACL(aces)).pack()
        parts = SecurityInformation.DACL
        asked = SetInfoRequest(int(InfoType.SECURITY), 0, int(parts), opened, descriptor).pack()
        return client.call(Command.SET_INFO, asked, charge=2).status

    everything = ACE(mask=0x001F01FF, sid=EVERYONE)
    assert secure(file_id, [everything] * 1821) == NTStatus.INVALID_ACL
    assert secure(file_id, [everything] * 1820) in (NTStatus.SUCCESS, NTStatus.DISK_FULL)
    large = ACE(ace_type=9, mask=1, sid=EVERYONE, data=bytes(32000))
    assert secure(file_id, [large] * 2 + [everything] * 74) == NTStatus.INVALID_SECURITY_DESCR
    twice = ACE(flags=3, mask=0x001F01FF, sid=CREATOR_OWNER)
    if (
        secure(directory, [everything] + [twice] * 1000) == NTStatus.SUCCESS
    ):  # where the file system takes as much
        assert client.create("folder\\below", create_options=1).status == NTStatus.INVALID_ACL
        assert not (pair.root / "share" / "folder" / "below").exists()
    assert client.call(Command.ECHO, EchoRequest().pack()).status == NTStatus.SUCCESS
