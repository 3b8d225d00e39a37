"""Extreme values over the pair: offsets near 2^63 and 2^64, sizes, names and inconsistent buffers."""

from __future__ import annotations

import itertools
import struct

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllocationInformation, FileEndOfFileInformation
from frevo.wire.smb2 import (
    ChangeNotifyRequest,
    Command,
    CreateOptions,
    IoctlRequest,
    LockElement,
    LockRequest,
    QueryDirectoryRequest,
    QueryInfoRequest,
    ReadRequest,
    SetInfoRequest,
    WriteRequest,
)
from pair.client import Client, create_request
from pair.machine import Pair

EDGES = (2**31, 2**32, 2**62, 2**63 - 65536, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 4096, 2**64 - 2, 2**64 - 1)
SET_ZERO_DATA, SET_SPARSE, QUERY_RANGES, COPYCHUNK, RESUME_KEY = 0x980C8, 0x900C4, 0x940CF, 0x1440F2, 0x140078
REFUSED = (
    NTStatus.INVALID_PARAMETER,
    NTStatus.DISK_FULL,
    NTStatus.FILE_TOO_LARGE,
    NTStatus.NOT_SUPPORTED,
    NTStatus.END_OF_FILE,
)


def small(client: Client) -> tuple[int, int]:
    file_id = client.open("a")
    client.write(file_id, 0, b"0123456789")
    client.read(file_id, 0, 1)
    return file_id


@pytest.mark.parametrize("offset", EDGES)
def test_read_and_write(pair: Pair, offset: int) -> None:
    """Goal: impossible offsets are refused by both planes alike. Method: READ twice and WRITE at each edge."""
    client = pair.logged_on()
    file_id = small(client)
    for length in (1, 65536):
        for _ in range(2):
            status = client.call(Command.READ, ReadRequest(file_id, offset, length).pack()).status
            assert status == (NTStatus.END_OF_FILE if offset + length < 2**63 else NTStatus.INVALID_PARAMETER)
    status = client.write(file_id, offset, bytes(65536)).status
    if offset + 65536 >= 2**63 and offset != 2**64 - 1:
        assert status in REFUSED
    client.write(file_id, 0, b"x")
    assert client.read(file_id, 0, 3) == b"x12"


@pytest.mark.parametrize("size", [*EDGES, -1, -(2**62)])
@pytest.mark.parametrize("info_class", [19, 20])
def test_sizes(pair: Pair, size: int, info_class: int) -> None:
    """Goal: impossible sizes are refused and leave the file unchanged. Method: EOF and allocation of each edge."""
    client = pair.logged_on()
    file_id = small(client)
    data = struct.pack("<Q", size % 2**64)
    reply = client.call(Command.SET_INFO, SetInfoRequest(1, info_class, 0, file_id, data).pack())
    assert reply.status in (*REFUSED, NTStatus.SUCCESS)
    if reply.status != NTStatus.SUCCESS:
        assert client.read(file_id, 0, 20) == b"0123456789"
    else:
        assert size < 2**63
    assert FileEndOfFileInformation.parse(data) and FileAllocationInformation.parse(data)


@pytest.mark.parametrize("start", EDGES)
def test_locks(pair: Pair, start: int) -> None:
    """Goal: ranges beyond 2^64 are INVALID_LOCK_RANGE, all others can be locked and unlocked. Method: every pair."""
    client = pair.logged_on()
    file_id = small(client)
    for length in (0, 1, *EDGES):
        lock = client.call(
            Command.LOCK, LockRequest(file_id, [LockElement(start, length, 0x12)]).pack()
        ).status
        beyond = length > 0 and start + length - 1 >= 2**64
        assert lock == (NTStatus.INVALID_LOCK_RANGE if beyond else NTStatus.SUCCESS)
        unlock = client.call(
            Command.LOCK, LockRequest(file_id, [LockElement(start, length, 4)]).pack()
        ).status
        assert unlock == lock
    assert client.read(file_id, 0, 1) == b"0"


@pytest.mark.parametrize("start", EDGES)
def test_ranges_of_ioctl(pair: Pair, start: int) -> None:
    """Goal: SET_ZERO_DATA and QUERY_ALLOCATED_RANGES with any range end with a status. Method: every pair of edges,
    on a sparse file and not; the first bytes stay."""
    client = pair.logged_on()
    file_id = small(client)
    for data in (b"", b"\1"):
        client.call(Command.IOCTL, IoctlRequest(SET_SPARSE, file_id, data).pack())
        for code, end in itertools.product((SET_ZERO_DATA, QUERY_RANGES), (0, 1, *EDGES)):
            body = IoctlRequest(
                code, file_id, struct.pack("<QQ", start, end), max_output_response=1024
            ).pack()
            reply = client.call(Command.IOCTL, body)
            assert reply.status in (NTStatus.SUCCESS, NTStatus.INVALID_PARAMETER, NTStatus.NOT_SUPPORTED), (
                reply.status.name
            )
    assert client.read(file_id, 0, 10) == b"0123456789"


@pytest.mark.parametrize("source", [*EDGES[2:], 0])
def test_copychunk(pair: Pair, source: int) -> None:
    """Goal: chunks outside the file are refused. Method: each pair of offsets, lengths 1 and 2^32-1."""
    client = pair.logged_on()
    file_id = small(client)
    key = client.call(Command.IOCTL, IoctlRequest(RESUME_KEY, file_id, max_output_response=32).pack()).body[
        48:72
    ]
    for length, target in itertools.product((1, 2**32 - 1), (*EDGES[2:], 0)):
        data = key + struct.pack("<II", 1, 0) + struct.pack("<QQII", source, target, length, 0)
        reply = client.call(
            Command.IOCTL, IoctlRequest(COPYCHUNK, file_id, data, max_output_response=12).pack()
        )
        if source or target or length > 1:
            assert reply.status != NTStatus.SUCCESS and reply.status != NTStatus.INTERNAL_ERROR, (
                reply.status.name
            )
    assert client.read(file_id, 0, 10) == b"0123456789"


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 8, 23, 24, 47, 48, 56])
def test_truncated_bodies(pair: Pair, keep: int) -> None:
    """Goal: a body of any command that is too short is INVALID_PARAMETER or ends the connection (NEGOTIATE twice).
    Method: cut at each length, with the right StructureSize and zeros."""
    sizes = (36, 25, 4, 9, 4, 57, 24, 24, 49, 49, 48, 57, 4, 4, 33, 32, 41, 33, 24)
    for command, size in enumerate(sizes):
        client = pair.logged_on()
        message_id = client.send(command, (struct.pack("<H", size) + bytes(60))[:keep])
        if command == Command.NEGOTIATE:
            assert client.closed
        elif command == Command.CANCEL:
            assert client.echo().status == NTStatus.SUCCESS
        elif keep >= 4 and size == 4:
            assert client.wait(message_id).status == NTStatus.SUCCESS
        else:
            status = client.wait(message_id).status
            assert status & 0xC0000000 == 0xC0000000 and status != NTStatus.INTERNAL_ERROR


@pytest.mark.parametrize("command", [19, 20, 99, 0xFFFF])
def test_unknown_commands(pair: Pair, command: int) -> None:
    """Goal: an unknown command is INVALID_PARAMETER. Method: numbers beyond the last one."""
    client = pair.logged_on()
    assert client.call(command, bytes(100)).status == NTStatus.INVALID_PARAMETER


@pytest.mark.parametrize(
    "name",
    [
        "\ud800", "a\ud800b", "\udfff\ud800", "a\0b", "\0", "..", "..\\..\\etc", "a\\..\\..\\b", ".", "a/../../b",
        "*", "a?b", "a<b", "x" * 256, "x" * 32000, "\\" * 1000, "a\\" * 1000, ":", "::", "a:b:c:d", "a::$DATA:x", " ",
        "a.", "con", "\u202e", "\n",
    ],
)  # fmt: skip
def test_hostile_names(pair: Pair, name: str) -> None:
    """Goal: no name leaves the share or breaks the server. Method: create, rename to and list with each."""
    client = pair.logged_on()
    before = {path.name for path in pair.folder.rglob("*")} | {path.name for path in pair.root.iterdir()}
    for disposition in (1, 3):
        status = client.create(name, create_disposition=disposition).status
        assert status != NTStatus.INTERNAL_ERROR
    file_id = client.open("file")
    raw = name.encode("utf-16-le", "surrogatepass")
    data = struct.pack("<B7xQI", 1, 0, len(raw)) + raw
    status = client.call(Command.SET_INFO, SetInfoRequest(1, 10, 0, file_id, data).pack()).status
    assert status != NTStatus.INTERNAL_ERROR
    root = client.open("", create_options=CreateOptions.DIRECTORY_FILE)
    listing = QueryDirectoryRequest(3, 1, 0, root, 65536, name).pack()
    assert client.call(Command.QUERY_DIRECTORY, listing).status != NTStatus.INTERNAL_ERROR
    after = {path.name for path in pair.folder.iterdir()} | {path.name for path in pair.root.iterdir()}
    assert after <= before | {"shares", "private"}


def test_odd_utf16(pair: Pair) -> None:
    """Goal: a name of an odd number of bytes is INVALID_PARAMETER. Method: NameLength 3 and 1."""
    client = pair.logged_on()
    for length in (1, 3):
        body = bytearray(create_request("ab").pack())
        body[46:48] = length.to_bytes(2, "little")
        assert client.call(Command.CREATE, bytes(body)).status == NTStatus.INVALID_PARAMETER


@pytest.mark.parametrize("info_type", range(6))
def test_every_information_class(pair: Pair, info_type: int) -> None:
    """Goal: each class of QUERY_INFO and SET_INFO with no, little and too much data ends with a status.
    Method: all 256 classes on a file, a folder and a pipe."""
    client = pair.logged_on()
    share = client.tree
    file_id, root = small(client), client.open("d", create_options=CreateOptions.DIRECTORY_FILE)
    client.connect_tree("IPC$")
    pipe = client.open("srvsvc", create_disposition=1)
    pipes, client.tree = client.tree, share
    for info_class in range(256):
        for one, tree in ((file_id, share), (root, share), (pipe, pipes)):
            for size in (0, 7, 100, 65536):
                body = QueryInfoRequest(info_type, info_class, size, 0xFFFFFFFF, 0, one).pack()
                reply = client.call(Command.QUERY_INFO, body, tree=tree)
                assert reply.status != NTStatus.INTERNAL_ERROR, (info_class, size)
                assert len(reply.body) <= max(size + 8, 64), (info_class, size)
    for info_class in range(256):
        for one, tree in ((file_id, share), (root, share), (pipe, pipes)):
            for data in (b"\xff", bytes(8), b"\xff" * 120):
                if info_class in (13, 64):
                    continue  # disposition: would delete what the next round needs
                body = SetInfoRequest(info_type, info_class, 0xFFFFFFFF, one, data).pack()
                assert client.call(Command.SET_INFO, body, tree=tree).status != NTStatus.INTERNAL_ERROR, (
                    info_class,
                    data,
                )


def test_every_known_control_code(pair: Pair) -> None:
    """Goal: control codes with any input end with a status. Method: all of the table and some more, on a file, a
    folder and no file, with input of several sizes and an output buffer of none."""
    from frevo.server.fsctl.table import TABLE

    client = pair.logged_on()
    file_id, root = small(client), client.open("d", create_options=CreateOptions.DIRECTORY_FILE)
    for code in (*TABLE, 0, 0x0011400C, 0x00090028, 0x000900A4, 0x000900A8, 0xFFFFFFFF):
        if code == 0x00140204:
            continue  # validate negotiate ends the connection
        for one in (file_id, root, (2**64 - 1, 2**64 - 1)):
            for data in (b"", b"\xff", bytes(16), b"\xff" * 40, bytes(4096)):
                for room in (0, 1, 65536):
                    body = IoctlRequest(code, one, data, max_output_response=room).pack()
                    reply = client.call(Command.IOCTL, body)
                    assert reply.status != NTStatus.INTERNAL_ERROR, (hex(code), data, room)
                    assert len(reply.body) <= room + 64, (hex(code), data, room)


def test_notify_and_listing_sizes(pair: Pair) -> None:
    """Goal: buffers of any size. Method: lists and watches with buffers from 0 to 8 MiB and more."""
    client = pair.logged_on()
    for number in range(20):
        client.close(client.open(f"name{number:03}"))
    root = client.open("", create_options=CreateOptions.DIRECTORY_FILE)
    for info_class in range(70):
        for size in (0, 1, 8, 100, 105, 300, 65536):
            body = QueryDirectoryRequest(info_class, 1, 0, root, size, "*").pack()
            reply = client.call(Command.QUERY_DIRECTORY, body)
            assert reply.status != NTStatus.INTERNAL_ERROR and len(reply.body) <= max(size + 8, 16), (
                info_class,
                size,
            )
    for size in (2**32 - 1, 2**31):
        charge_short = client.call(
            Command.QUERY_DIRECTORY, QueryDirectoryRequest(3, 1, 0, root, size, "*").pack()
        )
        assert charge_short.status == NTStatus.INVALID_PARAMETER
        body = ChangeNotifyRequest(0, size, root, 0xFFF).pack()
        assert client.call(Command.CHANGE_NOTIFY, body).status == NTStatus.INVALID_PARAMETER


def test_write_payload_lies(pair: Pair) -> None:
    """Goal: DataOffset and Length outside the message are refused. Method: each field at its edges."""
    client = pair.logged_on()
    file_id = small(client)
    for offset, length in (
        (0, 5),
        (63, 5),
        (112, 6),
        (113, 5),
        (0xFFFF, 1),
        (112, 0xFFFFFFFF),
        (64, 0x80000000),
    ):
        body = bytearray(WriteRequest(file_id, 0, b"abcde").pack())
        body[2:4] = offset.to_bytes(2, "little")
        body[4:8] = length.to_bytes(4, "little")
        assert client.call(Command.WRITE, bytes(body)).status == NTStatus.INVALID_PARAMETER, (offset, length)
    assert client.read(file_id, 0, 10) == b"0123456789"
