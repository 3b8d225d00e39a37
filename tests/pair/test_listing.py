"""QUERY_DIRECTORY over the pair: patterns, flags, classes, buffers that end anywhere, and refusals."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DIRECTORY_CLASSES, FileInfoClass, entry_fixed_size
from frevo.wire.smb2 import QueryDirectoryFlags
from pair.client import Client, FileId
from pair.file_calls import entries, folder, list_call, names
from pair.machine import Pair

SINGLE = int(QueryDirectoryFlags.RETURN_SINGLE_ENTRY)
RESTART = int(QueryDirectoryFlags.RESTART_SCANS)
REOPEN = int(QueryDirectoryFlags.REOPEN)


def some_files(pair: Pair, *more: str) -> tuple[Client, FileId]:
    """A folder with files in it, and its open."""
    path = pair.root / "share" / "folder"
    path.mkdir()
    for name in ("alpha.txt", "Beta.TXT", "gamma", "delta.doc", *more):
        (path / name).write_bytes(name.encode())
    client = pair.logged_on()
    return client, folder(client, "folder")


@pytest.mark.parametrize("info_class", sorted(DIRECTORY_CLASSES))
def test_every_class(pair: Pair, info_class: int) -> None:
    """Goal: all classes list the same names, dots first. Method: each class, parsed by the wire layer."""
    client, directory = some_files(pair)
    found = entries(list_call(client, directory, file_information_class=info_class), info_class)
    assert [entry.name for entry in found[:2]] == [".", ".."]
    assert sorted(entry.name for entry in found[2:]) == ["Beta.TXT", "alpha.txt", "delta.doc", "gamma"]
    if info_class != FileInfoClass.NAMES:
        sizes = {entry.name: entry.end_of_file for entry in found[2:]}
        assert sizes["alpha.txt"] == len("alpha.txt") and found[0].file_attributes & 0x10


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["Beta.TXT", "alpha.txt"]),
        ("ALPHA.TXT", ["alpha.txt"]),
        ("*a", ["gamma"]),
        ("?????.doc", ["delta.doc"]),
        ("<.txt", ["Beta.TXT", "alpha.txt"]),
        (".", ["."]),
        ("nothing", []),
        ("a:b", []),
    ],
)
def test_patterns(pair: Pair, pattern: str, expected: list[str]) -> None:
    """Goal: patterns select, ignoring case. Method: wildcards, plain names, missing names."""
    client, directory = some_files(pair)
    assert sorted(names(client, directory, pattern)) == expected


def test_single_entries_and_restart(pair: Pair) -> None:
    """Goal: one entry a call, from the start with RESTART, a new pattern only with REOPEN. Method: in turn."""
    client, directory = some_files(pair)
    first = [entries(list_call(client, directory, flags=SINGLE))[0].name for _ in range(6)]
    assert first[:2] == [".", ".."] and len(set(first)) == 6
    assert list_call(client, directory, flags=SINGLE).status == NTStatus.NO_MORE_FILES
    assert entries(list_call(client, directory, "gamma", flags=SINGLE | RESTART))[0].name == "."
    assert entries(list_call(client, directory, "gamma", flags=REOPEN))[0].name == "gamma"
    assert list_call(client, directory, "*").status == NTStatus.NO_MORE_FILES


def test_first_call_without_match(pair: Pair) -> None:
    """Goal: NO_SUCH_FILE for a pattern that never matched, then NO_MORE_FILES. Method: two calls."""
    client, directory = some_files(pair)
    assert list_call(client, directory, "x*").status == NTStatus.NO_SUCH_FILE
    assert list_call(client, directory, "x*").status == NTStatus.NO_MORE_FILES


@pytest.mark.parametrize("room", range(0, 40, 7))
def test_buffers_of_any_size(pair: Pair, room: int) -> None:
    """Goal: no name is lost or cut where a buffer ends. Method: many names, buffers of odd sizes."""
    expected = [f"file-{number:03d}" + "x" * (number % 17) for number in range(60)]
    client, directory = some_files(pair, *expected)
    size = entry_fixed_size(FileInfoClass.ID_BOTH_DIRECTORY) + 2 * 30 + room
    found = names(client, directory, "file-*", output_buffer_length=size)
    assert sorted(found) == expected


def test_wrong_requests(pair: Pair) -> None:
    """Goal: the right status for each mistake. Method: one request for each."""
    client, directory = some_files(pair)
    fixed = entry_fixed_size(FileInfoClass.ID_BOTH_DIRECTORY)
    for status, fields in [
        (NTStatus.INVALID_INFO_CLASS, {"file_information_class": 4}),
        (NTStatus.INFO_LENGTH_MISMATCH, {"output_buffer_length": fixed - 1}),
        (NTStatus.INFO_LENGTH_MISMATCH, {"output_buffer_length": fixed}),
        (NTStatus.INVALID_PARAMETER, {"output_buffer_length": 0x7FFFFFFF}),
        (NTStatus.OBJECT_NAME_INVALID, {"pattern": "a\\b"}),
    ]:
        fields = {"pattern": "*", "flags": REOPEN, **fields}
        assert list_call(client, directory, **fields).status == status
    assert list_call(client, client.open("folder\\gamma")).status == NTStatus.INVALID_PARAMETER
    blind = folder(client, "folder", desired_access=0x80)
    assert list_call(client, blind).status == NTStatus.ACCESS_DENIED


def test_long_directory(pair: Pair) -> None:
    """Goal: a listing that takes several turns of the loop is complete. Method: more names than one turn reads, few of
    which match, beside an ECHO that does not wait for the end."""
    client, directory = some_files(
        pair, *(f"n{number}" for number in range(1500)), *(f"m{n}" for n in range(600))
    )
    assert len(names(client, directory, "m*")) == 600
    assert len(names(client, directory, "n*7", flags=REOPEN)) == 150


@pytest.mark.parametrize("name", ["dot.", "space ", "two..", "mix. ", "..."])
def test_a_name_that_windows_would_cut(pair: Pair, name: str) -> None:
    """Goal: a name that ends in a dot or space is found by the name it was created with, and is the file of that name
    on disk; a listing shows it in the mapping that Windows can open. Method: create, list by name, list all, open."""
    client = pair.logged_on()
    client.close(client.open(name))
    assert (pair.root / "share" / name).exists()
    root = folder(client)
    assert names(client, root, name) == [name]
    mapped = name[:-1] + {".": "\uf029", " ": "\uf028"}[name[-1]]
    assert mapped in names(client, root, "*", flags=0x10)
    assert names(client, root, mapped, flags=0x10) == [mapped]
    for spelled in (name, mapped):
        client.close(client.open(spelled, create_disposition=1))
    assert [path.name for path in (pair.root / "share").iterdir()] == [name]
