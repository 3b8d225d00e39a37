"""Property tests over all parsers: what packs parses back, and random bytes give a result or WireError."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors.hostile import parses_or_wire_error
from vectors.smb2_cases import BODIES, BUFFERS

from frevo.wire import dtyp, fscc, smb2

HEADER = smb2.Header().pack()
U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
SIZES = st.integers(0, (1 << 63) - 1)
FILE_IDS = st.tuples(U64, U64)
NAMES = st.text(max_size=40)
BLOBS = st.binary(max_size=60)
KEYS = st.binary(min_size=16, max_size=16)
CONTEXTS = st.lists(
    st.builds(smb2.CreateContext, st.binary(min_size=1, max_size=20), st.binary(max_size=60)), max_size=5
)
NEGOTIATE_CONTEXTS = st.lists(st.builds(smb2.NegotiateContext, U16, BLOBS), max_size=5)

MADE = {
    "create_request": st.builds(smb2.CreateRequest, U8, U32, U32, U32, U32, U32, U32, NAMES, CONTEXTS),
    "create_response": st.builds(
        smb2.CreateResponse, U8, U8, U32, U64, U64, U64, U64, SIZES, SIZES, U32, FILE_IDS, CONTEXTS
    ),
    "close_response": st.builds(smb2.CloseResponse, U16, U64, U64, U64, U64, U64, U64, U32),
    "negotiate_request": st.builds(
        smb2.NegotiateRequest,
        st.lists(U16.filter(lambda d: d != 0x0311), max_size=6).map(lambda ds: [*ds, 0x0311]),
        U16,
        U32,
        KEYS,
        st.just(0),
        NEGOTIATE_CONTEXTS,
    ),
    "negotiate_response": st.builds(
        smb2.NegotiateResponse,
        U16,
        st.just(0x0311),
        KEYS,
        U32,
        U32,
        U32,
        U32,
        U64,
        U64,
        BLOBS,
        NEGOTIATE_CONTEXTS,
    ),
    "session_setup_request": st.builds(smb2.SessionSetupRequest, U8, U8, U32, U32, U64, BLOBS),
    "tree_connect_request": st.builds(smb2.TreeConnectRequest, NAMES),
    "read_request": st.builds(
        smb2.ReadRequest, FILE_IDS, U64, U32, U32, U8, U8, U32, U32, BLOBS.map(memoryview)
    ),
    "write_request": st.builds(
        smb2.WriteRequest, FILE_IDS, U64, BLOBS.map(memoryview), U32, U32, U32, BLOBS.map(memoryview)
    ),
    "lock_request": st.builds(
        smb2.LockRequest, FILE_IDS, st.lists(st.builds(smb2.LockElement, U64, U64, U32), max_size=5), U32
    ),
    "ioctl_request": st.builds(smb2.IoctlRequest, U32, FILE_IDS, BLOBS, U32, U32, U32, BLOBS),
    "ioctl_response": st.builds(smb2.IoctlResponse, U32, FILE_IDS, BLOBS, BLOBS, U32),
    "query_directory_request": st.builds(smb2.QueryDirectoryRequest, U8, U8, U32, FILE_IDS, U32, NAMES),
    "query_info_request": st.builds(smb2.QueryInfoRequest, U8, U8, U32, U32, U32, FILE_IDS, BLOBS),
    "set_info_request": st.builds(smb2.SetInfoRequest, U8, U8, U32, FILE_IDS, BLOBS),
}


@pytest.mark.parametrize("name", MADE)
def test_body_round_trip(name: str) -> None:
    """Any values that fit the fields survive: build, pack, parse, compare."""

    @settings(max_examples=60, deadline=None)
    @given(MADE[name])
    def check(made: Any) -> None:
        assert type(made).parse(HEADER + made.pack()) == made

    check()


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        smb2.Header, U16, U32, U16, U16, U32.map(lambda f: f & ~2), U32, U64, U32, U32, st.just(0), U64, KEYS
    )
)
def test_header_round_trip(header: smb2.Header) -> None:
    """Any synchronous header survives: pack and parse."""
    assert smb2.Header.parse(header.pack()) == header


DIRECTORY_ENTRIES = st.builds(
    fscc.DirectoryEntry,
    NAMES,
    U32.map(lambda a: a & ~0x400),
    I64,
    I64,
    I64,
    I64,
    SIZES,
    SIZES,
    U64,
    U32,
    st.text(st.characters(max_codepoint=0xD7FF), max_size=12),
    U32,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(DIRECTORY_ENTRIES, max_size=5))
def test_directory_round_trip(entries: list[fscc.DirectoryEntry]) -> None:
    """The fullest class keeps every field: pack and parse."""
    packer = fscc.DirectoryPacker(fscc.FileInfoClass.ID_BOTH_DIRECTORY, 1 << 20)
    assert all(packer.append(entry) for entry in entries)
    assert list(fscc.parse_directory(fscc.FileInfoClass.ID_BOTH_DIRECTORY, packer.finish())) == entries


SIDS = st.builds(dtyp.SID, st.integers(0, (1 << 48) - 1), st.lists(U32, max_size=15).map(tuple))
ACES = st.builds(
    dtyp.ACE, st.sampled_from([0, 1, 2, 9, 17]), U8, U32, SIDS, BLOBS.map(lambda b: b[: len(b) & ~3])
)
ACLS = st.none() | st.builds(dtyp.ACL, st.lists(ACES, max_size=4), st.sampled_from([2, 4]))


@settings(max_examples=60, deadline=None)
@given(st.none() | SIDS, st.none() | SIDS, ACLS, ACLS)
def test_descriptor_round_trip(owner: Any, group: Any, dacl: Any, sacl: Any) -> None:
    """Descriptors of any parts survive: pack and parse."""
    control = 0x8000 | (4 if dacl is not None else 0) | (0x10 if sacl is not None else 0)
    made = dtyp.SecurityDescriptor(owner, group, dacl, sacl, control)
    assert dtyp.SecurityDescriptor.parse(made.pack()) == made


@settings(max_examples=60, deadline=None)
@given(SIDS)
def test_sid_text_round_trip(sid: dtyp.SID) -> None:
    """The S-1 form is exact: to text and back."""
    assert dtyp.SID.from_string(str(sid)) == sid


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    """Random bytes give every parser a result or WireError; SMB2 bodies get the right StructureSize to get
    further.
    """
    for name, made in BODIES.items():
        size = made.pack()[:2]
        parses_or_wire_error(type(made).parse, HEADER + data)
        parses_or_wire_error(type(made).parse, HEADER + size + data)
        assert name
    for made in BUFFERS.values():
        parses_or_wire_error(type(made).parse, data)
    parses_or_wire_error(smb2.split_compound, data)
    parses_or_wire_error(smb2.split_compound, HEADER[:20] + data)
