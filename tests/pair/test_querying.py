"""QUERY_INFO over the pair: every class, buffers that are too small, access, and unknown classes."""

from __future__ import annotations

import os

import pytest

from frevo.aio.syscalls import AT_FDCWD, statx
from frevo.wire.dtyp import FileAccess, SecurityDescriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAccessInformation,
    FileAllInformation,
    FileBasicInformation,
    FileFsAttributeInformation,
    FileFsDeviceInformation,
    FileFsFullSizeInformation,
    FileFsSectorSizeInformation,
    FileFsSizeInformation,
    FileFsVolumeInformation,
    FileInfoClass,
    FileInternalInformation,
    FileNameInformation,
    FileNetworkOpenInformation,
    FileStandardInformation,
    FsInfoClass,
    pack_full_eas,
    pack_get_eas,
    parse_full_eas,
    parse_streams,
)
from frevo.wire.smb2 import ErrorResponse, InfoType, QueryInfoResponse
from pair.client import Client, FileId
from pair.file_calls import folder, queried, query
from pair.machine import Pair

FILE_CLASSES = {  # class: (size of its fixed part, access that it needs)
    FileInfoClass.BASIC: (40, FileAccess.READ_ATTRIBUTES),
    FileInfoClass.STANDARD: (24, 0),
    FileInfoClass.INTERNAL: (8, 0),
    FileInfoClass.EA: (4, 0),
    FileInfoClass.ACCESS: (4, 0),
    FileInfoClass.POSITION: (8, 0),
    FileInfoClass.MODE: (4, 0),
    FileInfoClass.ALIGNMENT: (4, 0),
    FileInfoClass.ALL: (104, FileAccess.READ_ATTRIBUTES),
    FileInfoClass.STREAM: (32, 0),
    FileInfoClass.COMPRESSION: (16, 0),
    FileInfoClass.NETWORK_OPEN: (56, FileAccess.READ_ATTRIBUTES),
    FileInfoClass.ATTRIBUTE_TAG: (8, FileAccess.READ_ATTRIBUTES),
    FileInfoClass.NORMALIZED_NAME: (8, 0),
    FileInfoClass.ID: (24, 0),
}
FS_CLASSES = {
    FsInfoClass.VOLUME: 24,
    FsInfoClass.SIZE: 24,
    FsInfoClass.DEVICE: 8,
    FsInfoClass.ATTRIBUTE: 16,
    FsInfoClass.CONTROL: 48,
    FsInfoClass.FULL_SIZE: 32,
    FsInfoClass.OBJECT_ID: 64,
    FsInfoClass.SECTOR_SIZE: 28,
}


def a_file(pair: Pair) -> tuple[Client, FileId]:
    client = pair.logged_on()
    file_id = client.open("a long name.txt")
    client.write(file_id, 0, b"hello")
    return client, file_id


@pytest.mark.parametrize("info_class", FILE_CLASSES)
def test_file_classes(pair: Pair, info_class: int) -> None:
    """Goal: a buffer shorter than the fixed part is a mismatch, one shorter than the whole an overflow that is filled,
    and the class's access is required. Method: each class with each kind of size."""
    client, file_id = a_file(pair)
    fixed, access = FILE_CLASSES[FileInfoClass(info_class)]
    full = query(client, file_id, info_class).ok(QueryInfoResponse).buffer
    assert len(full) >= fixed
    assert query(client, file_id, info_class, size=fixed - 1).status == NTStatus.INFO_LENGTH_MISMATCH
    for size in {fixed, len(full) - 1, len(full)}:
        reply = query(client, file_id, info_class, size=size)
        if size >= fixed:
            assert reply.status == (NTStatus.SUCCESS if size == len(full) else NTStatus.BUFFER_OVERFLOW)
            assert QueryInfoResponse.parse(reply.message).buffer == full[:size]
    weak = client.open("a long name.txt", desired_access=FileAccess.READ_CONTROL)
    assert query(client, weak, info_class).status == (NTStatus.ACCESS_DENIED if access else NTStatus.SUCCESS)


@pytest.mark.parametrize("info_class", FS_CLASSES)
def test_file_system_classes(pair: Pair, info_class: int) -> None:
    """Goal: the same for the classes of the volume. Method: each of them on the root."""
    client = pair.logged_on()
    root, fixed = folder(client), FS_CLASSES[FsInfoClass(info_class)]
    kind = InfoType.FILESYSTEM
    full = query(client, root, info_class, kind).ok(QueryInfoResponse).buffer
    assert query(client, root, info_class, kind, size=len(full)).status == NTStatus.SUCCESS
    assert query(client, root, info_class, kind, size=fixed - 1).status == NTStatus.INFO_LENGTH_MISMATCH
    if fixed < len(full):
        assert query(client, root, info_class, kind, size=fixed).status == NTStatus.BUFFER_OVERFLOW


def test_all_information(pair: Pair) -> None:
    """Goal: ALL agrees with the single classes. Method: compare field by field, with the file on disk too."""
    client, file_id = a_file(pair)
    everything = queried(client, file_id, FileAllInformation, FileInfoClass.ALL)
    basic = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
    network = queried(client, file_id, FileNetworkOpenInformation, FileInfoClass.NETWORK_OPEN)
    standard = queried(client, file_id, FileStandardInformation, FileInfoClass.STANDARD)
    for name in ("creation_time", "last_access_time", "last_write_time", "change_time", "file_attributes"):
        assert getattr(everything, name) == getattr(basic, name) == getattr(network, name)
    assert everything.end_of_file == standard.end_of_file == network.end_of_file == 5
    assert (everything.number_of_links, everything.delete_pending, everything.directory) == (1, False, False)
    internal = queried(client, file_id, FileInternalInformation, FileInfoClass.INTERNAL)
    place = os.fsencode(pair.root / "share" / "a long name.txt")
    assert everything.index_number == internal.index_number == statx(AT_FDCWD, place, 0).file_id
    assert everything.file_name == "\\a long name.txt" and everything.access_flags == 0x001F01FF
    assert queried(client, file_id, FileAccessInformation, FileInfoClass.ACCESS).access_flags == 0x001F01FF


def test_names_and_streams(pair: Pair) -> None:
    """Goal: the normalized name for 3.1.1 alone, every stream with its size. Method: both dialects, two streams."""
    client, file_id = a_file(pair)
    stream = client.open("a long name.txt:second")
    client.write(stream, 0, b"123")
    found = parse_streams(query(client, file_id, FileInfoClass.STREAM).ok(QueryInfoResponse).buffer)
    assert {(entry.name, entry.size) for entry in found} == {("::$DATA", 5), (":second:$DATA", 3)}
    name = queried(client, file_id, FileNameInformation, FileInfoClass.NORMALIZED_NAME)
    assert name.file_name == "a long name.txt"
    old = pair.logged_on((0x0302,))
    assert query(old, folder(old), FileInfoClass.NORMALIZED_NAME).status == NTStatus.NOT_SUPPORTED


def test_extended_attributes(pair: Pair) -> None:
    """Goal: all EAs or the named ones, as many as fit. Method: two of them, a missing name, small buffers."""
    client, file_id = a_file(pair)
    full_ea = FileInfoClass.FULL_EA
    assert query(client, file_id, full_ea).status == NTStatus.NO_EAS_ON_FILE
    path = pair.root / "share" / "a long name.txt"
    os.setxattr(path, "user.one", b"1")
    os.setxattr(path, "user.two", b"22")
    found = parse_full_eas(query(client, file_id, full_ea).ok(QueryInfoResponse).buffer)
    assert sorted((ea.name.upper(), ea.value) for ea in found) == [(b"ONE", b"1"), (b"TWO", b"22")]
    wanted = pack_get_eas([b"two", b"three"])
    named = parse_full_eas(query(client, file_id, full_ea, buffer=wanted).ok(QueryInfoResponse).buffer)
    assert [(ea.name.upper(), ea.value) for ea in named] == [(b"TWO", b"22"), (b"THREE", b"")]
    first = len(pack_full_eas([found[0]]))
    assert query(client, file_id, full_ea, size=first).status == NTStatus.BUFFER_OVERFLOW
    assert query(client, file_id, full_ea, size=4).status == NTStatus.BUFFER_TOO_SMALL
    blind = client.open("a long name.txt", desired_access=FileAccess.READ_ATTRIBUTES)
    assert query(client, blind, full_ea).status == NTStatus.ACCESS_DENIED


def test_volume(pair: Pair) -> None:
    """Goal: the sizes agree with each other and with statvfs, the rest is what clients need. Method: query."""
    client = pair.logged_on()
    root = folder(client)

    def ask(kind: type, info_class: int) -> object:
        return queried(client, root, kind, info_class, info_type=InfoType.FILESYSTEM)

    size, full = (
        ask(FileFsSizeInformation, FsInfoClass.SIZE),
        ask(FileFsFullSizeInformation, FsInfoClass.FULL_SIZE),
    )
    status = os.statvfs(pair.root)
    assert size.total_allocation_units == full.total_allocation_units == status.f_blocks
    assert size.sectors_per_allocation_unit * size.bytes_per_sector == status.f_frsize
    assert ask(FileFsDeviceInformation, FsInfoClass.DEVICE) == FileFsDeviceInformation(7, 0x20)
    attribute = ask(FileFsAttributeInformation, FsInfoClass.ATTRIBUTE)
    assert attribute.file_system_name == "NTFS" and attribute.file_system_attributes & 0x6 == 0x6
    assert ask(FileFsVolumeInformation, FsInfoClass.VOLUME).volume_label == "share"
    assert ask(FileFsSectorSizeInformation, FsInfoClass.SECTOR_SIZE).logical_bytes_per_sector == 512


def test_security(pair: Pair) -> None:
    """Goal: the requested parts, BUFFER_TOO_SMALL with the size, and access. Method: owner and DACL."""
    client, file_id = a_file(pair)

    def ask(opened: FileId, parts: int, size: int = 65536) -> object:
        return query(client, opened, 0, InfoType.SECURITY, size, additional_information=parts)

    whole = SecurityDescriptor.parse(ask(file_id, 7).ok(QueryInfoResponse).buffer)
    assert whole.owner is not None and whole.group is not None and whole.dacl is not None
    owner = SecurityDescriptor.parse(ask(file_id, 1).ok(QueryInfoResponse).buffer)
    assert (owner.owner, owner.group, owner.dacl) == (whole.owner, None, None)
    reply = ask(file_id, 7, 10)
    assert reply.status == NTStatus.BUFFER_TOO_SMALL
    needed = ErrorResponse.parse(reply.message).error_data[-4:]
    assert int.from_bytes(needed, "little") == len(whole.pack())
    assert ask(file_id, 8).status == NTStatus.ACCESS_DENIED
    weak = client.open("a long name.txt", desired_access=FileAccess.READ_ATTRIBUTES)
    assert ask(weak, 4).status == NTStatus.ACCESS_DENIED
    assert ask(weak, 0).status == NTStatus.SUCCESS


def test_unknown_classes(pair: Pair) -> None:
    """Goal: the right status for unknown classes and types. Method: one of each."""
    client, file_id = a_file(pair)
    for status, info_type, info_class in [
        (NTStatus.INVALID_INFO_CLASS, InfoType.FILE, 0xEE),
        (NTStatus.NOT_SUPPORTED, InfoType.FILE, FileInfoClass.HARD_LINK),
        (NTStatus.INVALID_INFO_CLASS, InfoType.FILESYSTEM, 99),
        (NTStatus.NOT_SUPPORTED, InfoType.QUOTA, 0),
        (NTStatus.INVALID_PARAMETER, 9, 4),
    ]:
        assert query(client, file_id, info_class, info_type).status == status
    assert query(client, file_id, FileInfoClass.BASIC, size=0x7FFFFFFF).status == NTStatus.INVALID_PARAMETER


def test_pipes(pair: Pair) -> None:
    """Goal: a pipe answers the pipe classes and nothing else. Method: srvsvc on IPC$."""
    client = pair.logged_on()
    client.connect_tree("IPC$")
    pipe = client.open("srvsvc", desired_access=0x12019F)
    assert queried(client, pipe, FileStandardInformation, FileInfoClass.STANDARD).allocation_size == 4096
    for info_class in (FileInfoClass.PIPE, FileInfoClass.PIPE_LOCAL, FileInfoClass.PIPE_REMOTE):
        assert query(client, pipe, info_class).status == NTStatus.SUCCESS
    assert query(client, pipe, FileInfoClass.BASIC).status == NTStatus.INVALID_INFO_CLASS
    assert query(client, pipe, 0, InfoType.SECURITY, additional_information=1).status.is_error
    assert query(client, pipe, FsInfoClass.DEVICE, InfoType.FILESYSTEM).status == NTStatus.SUCCESS
    assert (
        query(client, pipe, FsInfoClass.SIZE, InfoType.FILESYSTEM).status == NTStatus.INVALID_DEVICE_REQUEST
    )
