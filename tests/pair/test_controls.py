"""IOCTL over the pair: every control code, its limits and its access."""

from __future__ import annotations

import struct

import pytest

from frevo.wire.dtyp import FileAccess
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileBasicInformation, FileInfoClass, FsctlCode, parse_allocated_ranges
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    Command,
    FileAttributes,
    IoctlRequest,
    SrvCopychunk,
    SrvCopychunkCopy,
    SrvCopychunkResponse,
    SrvRequestResumeKeyResponse,
    ValidateNegotiateInfoRequest,
    ValidateNegotiateInfoResponse,
)
from pair.client import Client, FileId
from pair.file_calls import EXCLUSIVE, NOW, control, folder, lock, output, queried
from pair.machine import Pair

SPARSE = int(FileAttributes.SPARSE_FILE)
TWO = struct.Struct("<qq")


def copy(
    client: Client,
    source: FileId,
    target: FileId,
    *chunks: tuple[int, int, int],
    code: int = FsctlCode.SRV_COPYCHUNK,
) -> tuple[NTStatus, SrvCopychunkResponse | None]:
    """Server-side copy of (source offset, target offset, length); the status and the response."""
    key = SrvRequestResumeKeyResponse.parse(output(control(client, source, FsctlCode.SRV_REQUEST_RESUME_KEY)))
    asked = SrvCopychunkCopy(key.resume_key, [SrvCopychunk(*chunk) for chunk in chunks])
    reply = control(client, target, code, asked.pack())
    found = output(reply) if len(reply.body) > 12 else b""
    return reply.status, SrvCopychunkResponse.parse(found) if found else None


def test_copy(pair: Pair) -> None:
    """Goal: chunks are copied in order, within one file too. Method: two chunks, one of them over a gap."""
    client = pair.logged_on()
    source, target = client.open("source"), client.open("target")
    client.write(source, 0, bytes(range(200)))
    status, done = copy(client, source, target, (0, 0, 100), (100, 300, 100))
    assert status == NTStatus.SUCCESS and done == SrvCopychunkResponse(2, 0, 200)
    assert client.read(target, 0, 400) == bytes(range(100)) + bytes(200) + bytes(range(100, 200))
    assert copy(client, source, source, (0, 50, 100))[0] == NTStatus.SUCCESS
    assert client.read(source, 0, 200) == bytes([*range(50), *range(100), *range(150, 200)])


def test_copy_limits(pair: Pair) -> None:
    """Goal: too many, too long and empty chunks get INVALID_PARAMETER with the limits. Method: one beyond each."""
    client = pair.logged_on()
    source, target = client.open("source"), client.open("target")
    for chunks in ([(0, 0, 1)] * 257, [(0, 0, (1 << 20) + 1)], [(0, 0, 1 << 20)] * 17, [(0, 0, 0)]):
        status, limits = copy(client, source, target, *chunks)
        assert status == NTStatus.INVALID_PARAMETER and limits == SrvCopychunkResponse(256, 1 << 20, 16 << 20)


def test_copy_that_fails_midway(pair: Pair) -> None:
    """Goal: the response says how far the copy got. Method: a second chunk beyond the source, one into a lock."""
    client = pair.logged_on()
    source, target, other = client.open("source"), client.open("target"), client.open("target")
    client.write(source, 0, bytes(100))
    status, done = copy(client, source, target, (0, 0, 50), (50, 50, 51))
    assert status == NTStatus.INVALID_VIEW_SIZE and done == SrvCopychunkResponse(1, 0, 50)
    assert lock(client, other, (60, 1, EXCLUSIVE | NOW)) == NTStatus.SUCCESS
    status, done = copy(client, source, target, (0, 0, 50), (0, 50, 50))
    assert status == NTStatus.FILE_LOCK_CONFLICT and done == SrvCopychunkResponse(1, 0, 50)


def test_copy_access(pair: Pair) -> None:
    """Goal: the source must be readable, the target writable, and readable for SRV_COPYCHUNK; keys cannot be guessed.
    Method: opens without each right, an unknown key, one of another session."""
    client = pair.logged_on()
    full = client.open("file")
    client.write(full, 0, bytes(10))
    writing = client.open("target", desired_access=FileAccess.WRITE_DATA)
    reading = client.open("target", desired_access=FileAccess.READ_DATA)
    blind = client.open("file", desired_access=FileAccess.READ_ATTRIBUTES)
    write_code = FsctlCode.SRV_COPYCHUNK_WRITE
    assert copy(client, blind, client.open("target"), (0, 0, 1))[0] == NTStatus.ACCESS_DENIED
    assert copy(client, full, reading, (0, 0, 1))[0] == NTStatus.ACCESS_DENIED
    assert copy(client, full, writing, (0, 0, 1))[0] == NTStatus.ACCESS_DENIED
    assert copy(client, full, writing, (0, 0, 1), code=write_code)[0] == NTStatus.SUCCESS
    key = output(control(client, full, FsctlCode.SRV_REQUEST_RESUME_KEY))[:24]
    other = pair.logged_on()
    for who, data in ((client, bytes(24)), (client, key[:8] + bytes(16)), (other, key)):
        asked = SrvCopychunkCopy(data, [SrvCopychunk(0, 0, 1)]).pack()
        reply = control(who, who.open("target"), FsctlCode.SRV_COPYCHUNK, asked)
        assert reply.status == NTStatus.OBJECT_NAME_NOT_FOUND


def test_sparse(pair: Pair) -> None:
    """Goal: the attribute can be set and cleared, holes are made and reported. Method: 1 MiB with a hole in the
    middle."""
    client = pair.logged_on()
    file_id = client.open("file")
    client.write(file_id, 0, b"x" * (1 << 20), charge=16)

    def is_sparse() -> bool:
        return bool(
            queried(client, file_id, FileBasicInformation, FileInfoClass.BASIC).file_attributes & SPARSE
        )

    def ranges(offset: int, length: int) -> list[tuple[int, int]]:
        asked = control(client, file_id, FsctlCode.QUERY_ALLOCATED_RANGES, TWO.pack(offset, length))
        return [tuple(found) for found in parse_allocated_ranges(output(asked))]

    assert ranges(0, 1 << 30) == [(0, 1 << 20)]
    assert control(client, file_id, FsctlCode.SET_SPARSE).status == NTStatus.SUCCESS and is_sparse()
    hole = TWO.pack(1 << 18, 1 << 19)
    assert control(client, file_id, FsctlCode.SET_ZERO_DATA, hole).status == NTStatus.SUCCESS
    assert client.read(file_id, (1 << 18) - 1, 3) == b"x\0\0" and client.read(file_id, 1 << 19, 1) == b"x"
    assert ranges(0, 1 << 20) == [(0, 1 << 18), (1 << 19, 1 << 19)]
    asked = TWO.pack(0, 1 << 20)
    partial = control(client, file_id, FsctlCode.QUERY_ALLOCATED_RANGES, asked, size=16)
    assert partial.status == NTStatus.BUFFER_OVERFLOW and len(output(partial)) == 16
    tiny = control(client, file_id, FsctlCode.QUERY_ALLOCATED_RANGES, asked, size=15)
    assert tiny.status == NTStatus.BUFFER_TOO_SMALL
    assert (
        control(client, file_id, FsctlCode.SET_SPARSE, b"\0").status == NTStatus.SUCCESS and not is_sparse()
    )


def test_sparse_mistakes(pair: Pair) -> None:
    """Goal: wrong ranges, short buffers, directories and weak opens are refused. Method: one of each."""
    client = pair.logged_on()
    file_id = client.open("file")
    weak = client.open("file", desired_access=FileAccess.READ_ATTRIBUTES)
    zero, query, sparse = FsctlCode.SET_ZERO_DATA, FsctlCode.QUERY_ALLOCATED_RANGES, FsctlCode.SET_SPARSE
    for status, opened, code, data in [
        (NTStatus.INVALID_PARAMETER, file_id, zero, TWO.pack(5, 4)),
        (NTStatus.INVALID_PARAMETER, file_id, zero, TWO.pack(-1, 4)),
        (NTStatus.INVALID_PARAMETER, file_id, zero, bytes(15)),
        (NTStatus.INVALID_PARAMETER, file_id, query, TWO.pack(2**62, 2**62)),
        (NTStatus.INVALID_PARAMETER, file_id, query, bytes(8)),
        (NTStatus.INVALID_PARAMETER, folder(client), sparse, b""),
        (NTStatus.ACCESS_DENIED, weak, zero, TWO.pack(0, 1)),
        (NTStatus.ACCESS_DENIED, weak, query, TWO.pack(0, 1)),
        (NTStatus.ACCESS_DENIED, weak, sparse, b""),
    ]:
        assert control(client, opened, code, data).status == status


def validate_request(**fields: object) -> bytes:
    values = {
        "capabilities": 0x7F,
        "guid": b"pair test client",
        "security_mode": 1,
        "dialects": [0x0302],
        **fields,
    }
    return ValidateNegotiateInfoRequest(**values).pack()  # type: ignore[arg-type]


def test_validate_negotiate(pair: Pair) -> None:
    """Goal: the negotiated values again. Method: 3.0.2, the same values as in NEGOTIATE."""
    client = pair.logged_on((0x0302,))
    reply = control(client, ANY_FILE_ID, FsctlCode.VALIDATE_NEGOTIATE_INFO, validate_request())
    found = ValidateNegotiateInfoResponse.parse(output(reply))
    assert found.guid == pair.server.guid and found.dialect == 0x0302


@pytest.mark.parametrize(
    "data",
    [
        validate_request(capabilities=0),
        validate_request(guid=bytes(16)),
        validate_request(security_mode=3),
        validate_request(dialects=[0x0302, 0x0311]),
        validate_request(dialects=[]),
        b"short",
    ],
)
def test_changed_negotiation(pair: Pair, data: bytes) -> None:
    """Goal: any difference ends the connection. Method: change one value at a time."""
    client = pair.logged_on((0x0302,))
    client.send(
        Command.IOCTL, IoctlRequest(FsctlCode.VALIDATE_NEGOTIATE_INFO, ANY_FILE_ID, data, 0, 24).pack()
    )
    assert client.closed


def test_other_codes(pair: Pair) -> None:
    """Goal: the right status or response for the small codes, and for unknown ones. Method: each."""
    client = pair.logged_on()
    file_id = client.open("file")
    for status, opened, code, size in [
        (NTStatus.INVALID_DEVICE_REQUEST, file_id, 0x0009FFFF, 100),
        (NTStatus.FILE_CLOSED, ANY_FILE_ID, 0xFFFFFFFF, 100),
        (NTStatus.FS_DRIVER_REQUIRED, ANY_FILE_ID, FsctlCode.DFS_GET_REFERRALS, 100),
        (NTStatus.FS_DRIVER_REQUIRED, ANY_FILE_ID, FsctlCode.DFS_GET_REFERRALS_EX, 100),
        (NTStatus.NOT_A_REPARSE_POINT, file_id, FsctlCode.GET_REPARSE_POINT, 100),
        (NTStatus.SUCCESS, file_id, FsctlCode.CREATE_OR_GET_OBJECT_ID, 64),
        (NTStatus.BUFFER_TOO_SMALL, file_id, FsctlCode.CREATE_OR_GET_OBJECT_ID, 63),
        (NTStatus.SUCCESS, file_id, FsctlCode.GET_COMPRESSION, 2),
        (NTStatus.INVALID_PARAMETER, file_id, FsctlCode.GET_COMPRESSION, 1),
        (NTStatus.NOT_SUPPORTED, ANY_FILE_ID, FsctlCode.QUERY_NETWORK_INTERFACE_INFO, 100),
        (NTStatus.INVALID_DEVICE_REQUEST, file_id, FsctlCode.PIPE_TRANSCEIVE, 100),
        (NTStatus.INVALID_PARAMETER, file_id, FsctlCode.GET_COMPRESSION, 0x7FFFFFFF),
    ]:
        assert control(client, opened, code, size=size).status == status
    assert control(client, file_id, FsctlCode.SET_COMPRESSION, b"\0\0").status == NTStatus.SUCCESS
    assert control(client, file_id, FsctlCode.SET_COMPRESSION, b"\2\0").status == NTStatus.NOT_SUPPORTED
    no_fsctl = IoctlRequest(FsctlCode.GET_COMPRESSION, file_id, flags=0, max_output_response=2).pack()
    assert client.call(Command.IOCTL, no_fsctl).status == NTStatus.NOT_SUPPORTED


def test_pipes(pair: Pair) -> None:
    """Goal: a pipe responds in one round trip, in pieces when the client's buffer is small. Method: an RPC bind to
    srvsvc, whole and cut."""
    client = pair.logged_on()
    client.connect_tree("IPC$")
    srvsvc = bytes.fromhex("c84f324b7016d30112785a47bf6ee188") + struct.pack("<HH", 3, 0)
    ndr = bytes.fromhex("045d888aeb1cc9119fe808002b104860") + struct.pack("<I", 2)
    context = struct.pack("<HBx", 0, 1) + srvsvc + ndr
    body = struct.pack("<HHIB3x", 4280, 4280, 0, 1) + context
    bind = struct.pack("<BBBBIHHI", 5, 0, 11, 3, 0x10, 16 + len(body), 0, 1) + body
    pipe = client.open("srvsvc", desired_access=0x12019F)
    whole = control(client, pipe, FsctlCode.PIPE_TRANSCEIVE, bind)
    assert whole.status == NTStatus.SUCCESS and output(whole)[2] == 12
    other = client.open("srvsvc", desired_access=0x12019F)
    cut = control(client, other, FsctlCode.PIPE_TRANSCEIVE, bind, size=20)
    assert cut.status == NTStatus.BUFFER_OVERFLOW and output(cut) == output(whole)[:20]
    peeked = output(control(client, other, FsctlCode.PIPE_PEEK, size=16))
    assert struct.unpack("<IIII", peeked)[1] == len(output(whole)) - 20
    assert control(client, other, FsctlCode.PIPE_TRANSCEIVE, bind).status == NTStatus.PIPE_BUSY
    assert client.read(other, 0, 1000) == output(whole)[20:]
    assert control(client, ANY_FILE_ID, FsctlCode.PIPE_WAIT, bytes(14)).status == NTStatus.SUCCESS
