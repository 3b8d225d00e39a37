"""Over the pair: which file attributes, names of extended attributes and rights CREATE and SET_INFO accept."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAttributes,
    FileBasicInformation,
    FileInfoClass,
    FullEa,
    pack_full_eas,
)
from frevo.wire.smb2 import (
    CreateContext,
    CreateDisposition,
    CreateResponse,
    FileAccess,
    QueryMaximalAccessResponse,
    find_create_context,
)
from pair.client import Client, FileId
from pair.file_calls import put, queried, query
from pair.machine import Pair

A = FileAttributes
#: Those that describe the file, or that file systems without them ignore ([MS-FSCC] 2.6).
IGNORED = (
    A.DIRECTORY, A.NORMAL, A.SPARSE_FILE, A.REPARSE_POINT, A.COMPRESSED, A.ENCRYPTED, A.INTEGRITY_STREAM,
    A.NO_SCRUB_DATA, A.RECALL_ON_OPEN, A.PINNED, A.UNPINNED, A.RECALL_ON_DATA_ACCESS,
)  # fmt: skip
KEPT = (A.READONLY, A.HIDDEN, A.SYSTEM, A.TEMPORARY, A.OFFLINE, A.NOT_CONTENT_INDEXED)


def attributes(client: Client, file_id: FileId) -> int:
    found = queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC)
    return int(found.file_attributes)


@pytest.mark.parametrize("attribute", [*IGNORED, *KEPT], ids=lambda a: a.name)
def test_attributes_of_a_new_file(pair: Pair, attribute: FileAttributes) -> None:
    """Goal: CREATE and SET_INFO accept every attribute of [MS-FSCC] 2.6; those that the file system can store are
    kept, the others ignored. Method: each alone, both ways."""
    client = pair.logged_on()
    file_id = client.open("file", file_attributes=int(attribute))
    kept = attribute if attribute in KEPT else 0
    assert attributes(client, file_id) == kept | A.ARCHIVE
    if attribute == A.DIRECTORY:
        return  # SET_INFO refuses it: a file cannot become one
    other = client.open("other")
    data = FileBasicInformation(file_attributes=int(attribute)).pack()
    assert put(client, other, FileInfoClass.BASIC, data) == NTStatus.SUCCESS
    assert attributes(client, other) == (kept or A.NORMAL)


@pytest.mark.parametrize("bit", [0x8, 0x40, 0x10000, 0x200000, 0x800000, 0x80000000])
def test_attributes_that_do_not_exist(pair: Pair, bit: int) -> None:
    """Goal: bits without a meaning are refused at CREATE, and nothing is made. Method: one at a time."""
    client = pair.logged_on()
    assert client.create("file", file_attributes=bit).status == NTStatus.INVALID_PARAMETER
    assert not (pair.root / "share" / "file").exists()


@pytest.mark.parametrize(
    "ea",
    [
        *(FullEa(bytes((code,)) + b"x", b"v") for code in b"\x01\x1f\\/:*?\"<>|,+=[];"),
        FullEa(b"", b"v"), FullEa(b"a" * 255, b"v"), FullEa(b"NAME", b"v", 0x01), FullEa(b"NAME", b"v", 0x81),
    ],
)  # fmt: skip
def test_invalid_ea_names(pair: Pair, ea: FullEa) -> None:
    """Goal: an EA with a wrong name or flag is INVALID_EA_NAME, sets nothing and makes no file ([MS-FSCC] 2.4.16).
    Method: behind a good one, by SET_INFO and by CREATE."""
    client = pair.logged_on()
    eas = pack_full_eas([FullEa(b"GOOD", b"v"), ea])
    file_id = client.open("file")
    assert put(client, file_id, FileInfoClass.FULL_EA, eas) == NTStatus.INVALID_EA_NAME
    assert query(client, file_id, FileInfoClass.FULL_EA).status == NTStatus.NO_EAS_ON_FILE
    answer = client.create("new", contexts=[CreateContext(b"ExtA", eas)])
    assert answer.status == NTStatus.INVALID_EA_NAME
    assert not (pair.root / "share" / "new").exists()
    broken = client.create("new", contexts=[CreateContext(b"ExtA", eas[:-1])])
    assert broken.status == NTStatus.EA_LIST_INCONSISTENT and not (pair.root / "share" / "new").exists()


def test_rights_to_a_readonly_file(pair: Pair) -> None:
    """Goal: the maximal access to a read-only file has no FILE_WRITE_DATA, FILE_APPEND_DATA and FILE_DELETE_CHILD
    ([MS-FSA] 2.1.5.1.2.1). Method: MAXIMUM_ALLOWED and MxAc, with and without the attribute."""
    client = pair.logged_on()
    changing = FileAccess.WRITE_DATA | FileAccess.APPEND_DATA | FileAccess.DELETE_CHILD
    for name, attribute in (("plain", 0), ("readonly", int(A.READONLY))):
        client.close(client.open(name, file_attributes=attribute))
        answer = client.create(
            name,
            desired_access=FileAccess.MAXIMUM_ALLOWED,
            create_disposition=CreateDisposition.OPEN,
            contexts=[CreateContext(b"MxAc", b"")],
        ).ok(CreateResponse)
        data = find_create_context(answer.contexts, b"MxAc")
        assert data is not None
        most = QueryMaximalAccessResponse.parse(data).maximal_access
        granted = int.from_bytes(query(client, answer.file_id, FileInfoClass.ACCESS).message[72:76], "little")
        for mask in (most, granted):
            assert mask & changing == (0 if attribute else changing)
            assert mask & FileAccess.DELETE and mask & FileAccess.READ_DATA
