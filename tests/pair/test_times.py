"""Times over the pair: the whole range of FILETIME, and a last write time that a client has set."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileBasicInformation,
    FileEndOfFileInformation,
    FileInfoClass,
    FileNetworkOpenInformation,
    FsctlCode,
)
from frevo.wire.smb2 import CloseRequest, CloseResponse, Command
from pair.client import Client, FileId
from pair.file_calls import control, entries, folder, list_call, put, queried
from pair.machine import Pair

THEN = 132_000_000_000_000_000  # 2019
YEARS = (1602, 1700, 1899, 1901, 1902, 1969, 2037, 2039, 2261, 2263, 2440, 2487, 9999)


def of_year(year: int) -> int:
    return (datetime(year, 1, 2, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    ) * 10 + 3


def basic(client: Client, file_id: FileId, **values: int) -> NTStatus:
    return put(client, file_id, FileInfoClass.BASIC, FileBasicInformation(**values).pack())


def basics(client: Client, file_id: FileId) -> FileBasicInformation:
    found: FileBasicInformation = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
    return found


def written(client: Client, file_id: FileId) -> int:
    return basics(client, file_id).last_write_time


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("name", ["creation_time", "last_access_time", "last_write_time"])
def test_times_of_all_years(pair: Pair, name: str, year: int) -> None:
    """Goal: a time comes back as it was set, in every response that has it, whatever the file system can store.
    Method: set it on a file and a folder; query by three classes, the listing and CLOSE."""
    client, time = pair.logged_on(), of_year(year)
    root = folder(client)
    for file_id, wanted in ((client.open("file"), "file"), (folder(client, "folder"), "folder")):
        assert basic(client, file_id, **{name: time}) == NTStatus.SUCCESS
        assert getattr(basics(client, file_id), name) == time
        network = queried(client, file_id, FileNetworkOpenInformation, FileInfoClass.NETWORK_OPEN)
        assert getattr(network, name) == time
        (entry,) = entries(list_call(client, root, wanted, flags=0x11))
        assert getattr(entry, name) == time
        listing = entries(list_call(client, root, "f*", flags=0x11))
        assert getattr(next(entry for entry in listing if entry.name == wanted), name) == time
        closed = client.call(Command.CLOSE, CloseRequest(1, file_id).pack()).ok(CloseResponse)
        assert getattr(closed, name) == time


def test_a_far_time_ends_with_the_next_write(pair: Pair) -> None:
    """Goal: a time kept beside the file system's is forgotten as soon as that changes. Method: by a write, by another
    program, by a time that is set."""
    client = pair.logged_on()
    file_id = client.open("file")
    basic(client, file_id, last_write_time=of_year(9999), last_access_time=of_year(1602))
    basic(client, file_id, last_write_time=-2)
    client.write(file_id, 0, b"x")
    assert THEN < written(client, file_id) < of_year(2200)
    assert basics(client, file_id).last_access_time == of_year(1602)
    place = pair.root / "share" / "file"
    basic(client, file_id, last_write_time=of_year(9999))
    os.utime(place, (10**9, 10**9))
    assert written(client, file_id) == from_unix_ns(10**18)
    basic(client, file_id, last_write_time=of_year(1602))
    kept = from_unix_ns(place.stat().st_mtime_ns)
    if kept > 0:  # the end of what the file system holds can be set, too
        assert basic(client, file_id, last_write_time=kept) == NTStatus.SUCCESS
        assert written(client, file_id) == kept


def test_every_kind_of_write_leaves_a_time_that_was_set(pair: Pair) -> None:
    """Goal: whatever changes data through the open that set the time does not change it. Method: write, resize, zeros,
    copy."""
    client = pair.logged_on()
    file_id = client.open("file")
    client.write(file_id, 0, bytes(100_000))
    basic(client, file_id, last_write_time=THEN)
    client.write(file_id, 10, b"small")
    assert written(client, file_id) == THEN
    client.write(file_id, 0, bytes(70_000))
    assert written(client, file_id) == THEN
    put(client, file_id, FileInfoClass.END_OF_FILE, FileEndOfFileInformation(50_000).pack())
    assert written(client, file_id) == THEN
    zeros = (0).to_bytes(8, "little") + (4096).to_bytes(8, "little")
    assert control(client, file_id, FsctlCode.SET_ZERO_DATA, zeros).status == NTStatus.SUCCESS
    assert written(client, file_id) == THEN


def test_another_opens_write_counts(pair: Pair) -> None:
    """Goal: a write through another open sets the time to that of this write, and the first open's next writes do not
    restore the old one. Method: two opens; then a time that another open sets; then another program's."""
    client = pair.logged_on()
    first, second = client.open("file"), client.open("file")
    basic(client, first, last_write_time=THEN)
    client.write(second, 0, b"x")
    now = written(client, first)
    assert now > THEN
    for data in (b"y", bytes(70_000)):
        client.write(first, 0, data)
        assert written(client, first) == now
    put(client, first, FileInfoClass.END_OF_FILE, FileEndOfFileInformation(5).pack())
    assert written(client, first) == now
    basic(client, second, last_write_time=THEN - 10)
    client.write(first, 0, b"y")
    assert written(client, first) == THEN - 10
    os.utime(pair.root / "share" / "file", (10**9, 10**9))
    client.write(first, 0, b"z")
    assert written(client, first) == from_unix_ns(10**18)


def test_access_time_that_stays(pair: Pair) -> None:
    """Goal: reading through the open that set the last access time does not change it. Method: read through both
    planes."""
    client = pair.logged_on()
    file_id = client.open("file")
    client.write(file_id, 0, b"data")
    basic(client, file_id, last_access_time=THEN)
    for _ in range(3):
        client.read(file_id, 0, 4)
    assert basics(client, file_id).last_access_time == THEN
