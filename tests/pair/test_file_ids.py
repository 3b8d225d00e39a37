"""Over the pair: the ids of files and volumes, the same in every response ([MS-FSCC] 2.1.9, 2.4.20, 2.5.9)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.aio.syscalls import statx
from frevo.vfs import local, metadata
from frevo.vfs.deleted_ids import DeletedIds
from frevo.vfs.local import LocalBackend
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllInformation,
    FileFsAttributeInformation,
    FileFsFullSizeInformation,
    FileFsObjectIdInformation,
    FileFsSizeInformation,
    FileFsVolumeInformation,
    FileIdInformation,
    FileInfoClass,
    FileInternalInformation,
    FileLinkInformation,
    FileRenameInformation,
    FsInfoClass,
)
from frevo.wire.smb2 import (
    CreateContext,
    CreateDisposition,
    CreateResponse,
    InfoType,
    QueryOnDiskIdResponse,
    find_create_context,
)
from pair.client import Client, FileId
from pair.file_calls import entries, folder, list_call, put, queried
from pair.machine import Pair

_READ_ONLY_VOLUME = 0x80000


def on_disk(client: Client, name: str, **fields: object) -> tuple[FileId, QueryOnDiskIdResponse]:
    """Opens (or makes) a file; its FileId and the id in QFid."""
    answer = client.create(name, contexts=[CreateContext(b"QFid", b"")], **fields).ok(CreateResponse)
    data = find_create_context(answer.contexts, b"QFid")
    assert data is not None
    return answer.file_id, QueryOnDiskIdResponse.parse(data)


def serial(client: Client, file_id: FileId) -> int:
    found = queried(
        client, file_id, FileFsVolumeInformation, FsInfoClass.VOLUME, info_type=InfoType.FILESYSTEM
    )
    return int(found.volume_serial_number)


def test_one_id_everywhere(pair: Pair) -> None:
    """Goal: CREATE, the classes and listings give the same id for a file, whatever its name, and the same for its
    volume. Method: ask all of them, by two hard links and a stream."""
    client = pair.logged_on()
    file_id, known = on_disk(client, "file")
    assert known.disk_file_id > 0
    assert (
        put(client, file_id, FileInfoClass.LINK, FileLinkInformation(False, 0, "link").pack())
        == NTStatus.SUCCESS
    )
    for opened in (file_id, client.open("link"), client.open("file:stream")):
        internal = queried(client, opened, FileInternalInformation, FileInfoClass.INTERNAL)
        everything = queried(client, opened, FileAllInformation, FileInfoClass.ALL)
        wide = queried(client, opened, FileIdInformation, FileInfoClass.ID)
        assert internal.index_number == everything.index_number == known.disk_file_id
        assert wide.file_id == known.disk_file_id.to_bytes(16, "little")
        assert wide.volume_serial_number == serial(client, opened) == known.volume_id
    listed = entries(list_call(client, folder(client), "*"))
    found = {entry.name: entry.file_id for entry in listed if entry.name in ("file", "link")}
    assert found == {"file": known.disk_file_id, "link": known.disk_file_id}


@pytest.mark.parametrize("way", ["delete", "replace", "directory"])
def test_an_id_is_not_reused(pair: Pair, way: str) -> None:
    """Goal: a file that is gone does not share its id with a new one, even where the file system reuses inode numbers
    at once. Method: make and remove many, by deleting and by renaming something else onto them."""
    client = pair.logged_on()
    seen: set[int] = set()
    for number in range(60):
        options = {"create_options": 1} if way == "directory" else {}
        file_id, known = on_disk(client, "one", create_disposition=CreateDisposition.CREATE, **options)
        assert known.disk_file_id not in seen, number
        seen.add(known.disk_file_id)
        if way == "replace":
            client.close(file_id)
            other, known = on_disk(client, "two")
            assert known.disk_file_id not in seen
            seen.add(known.disk_file_id)
            data = FileRenameInformation(True, 0, "one").pack()
            assert put(client, other, FileInfoClass.RENAME, data) == NTStatus.SUCCESS
            file_id = other
        assert put(client, file_id, FileInfoClass.DISPOSITION, b"\1") == NTStatus.SUCCESS
        client.close(file_id)


def test_no_birth_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the same where neither clock nor birth time tells two files apart. Method: ids made of inode numbers
    alone, as without birth times, on a file system that reuses numbers."""
    for module in (local, metadata):
        monkeypatch.setattr(module, "statx", lambda *args: (s := statx(*args))._replace(file_id=s.ino))
    backend = LocalBackend(str(pair.root / "share"))
    try:
        gone: list[int] = []
        for _ in range(12):
            handle = backend.create(
                backend.resolve("one"),
                directory=False,
                intent=local.OpenIntent.READ,
                attributes=0x20,
                mode=0o600,
            )
            inode = handle.identity.inode
            assert inode not in gone
            gone.append(inode)
            backend.remove(handle)
            handle.close()
    finally:
        backend.close()


def test_gone_ids_are_bounded() -> None:
    """Goal: only the most recent ones are remembered. Method: many."""
    gone = DeletedIds()
    for number in range(10_000):
        gone.add(1, number)
    assert (1, 9_999) in gone and (1, 0) not in gone and (2, 9_999) not in gone


@pytest.fixture
def nested(pair: Pair) -> Iterator[Path]:
    """A small file system, mounted below the share."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    place = pair.root / "share" / "mnt"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5M", "none", place], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_mount_below_the_share_is_a_volume(pair: Pair, nested: Path) -> None:
    """Goal: space, serial number and flags are those of the file system that the open is on ([MS-FSA] 2.1.5.13).
    Method: a tmpfs of 5 MiB in the share, then read-only."""
    client = pair.logged_on()
    root, inside = folder(client), folder(client, "mnt")
    file_id, known = on_disk(client, "mnt\\file")

    def ask(opened: FileId, kind: type, info_class: int) -> object:
        return queried(client, opened, kind, info_class, info_type=InfoType.FILESYSTEM)

    for opened in (inside, file_id):
        size = ask(opened, FileFsSizeInformation, FsInfoClass.SIZE)
        full = ask(opened, FileFsFullSizeInformation, FsInfoClass.FULL_SIZE)
        unit = size.sectors_per_allocation_unit * size.bytes_per_sector
        assert size.total_allocation_units * unit == full.total_allocation_units * unit == 5 << 20
        assert serial(client, opened) == known.volume_id != serial(client, root)
        assert (
            queried(client, opened, FileIdInformation, FileInfoClass.ID).volume_serial_number
            == known.volume_id
        )
        ids = [ask(one, FileFsObjectIdInformation, FsInfoClass.OBJECT_ID).object_id for one in (opened, root)]
        assert ids[0] != ids[1]
    client.close(file_id)
    subprocess.run(["mount", "-o", "remount,ro", nested], check=True)
    flags = [
        ask(opened, FileFsAttributeInformation, FsInfoClass.ATTRIBUTE).file_system_attributes
        for opened in (inside, root)
    ]
    assert flags[0] & _READ_ONLY_VOLUME and not flags[1] & _READ_ONLY_VOLUME
