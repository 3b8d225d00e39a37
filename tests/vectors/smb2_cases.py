"""Which class each vector of smb2.txt belongs to and the object it stands for."""

from __future__ import annotations

from typing import Any

from frevo.wire import smb2
from frevo.wire.fscc import FullEa

GUID = bytes(range(16))
KEY24 = bytes(range(24))
FILE_ID = (11, 0x800000000000000C)
TIME = 0x01DA000000000000
SIGNATURE = bytes.fromhex("00112233445566778899aabbccddeeff")

#: Bodies: parsed behind a header.
BODIES: dict[str, Any] = {
    "negotiate_request_210": smb2.NegotiateRequest([0x0202, 0x0210], 1, 0x7F, GUID),
    "negotiate_request_311": smb2.NegotiateRequest(
        [0x0202, 0x0302, 0x0311],
        2,
        0x7F,
        GUID,
        contexts=[
            smb2.PreauthIntegrityCapabilities([1], bytes.fromhex("aabbccdd")).context(),
            smb2.EncryptionCapabilities([2, 4]).context(),
            smb2.NegotiateContext(0x1234, b"\1\2\3"),
        ],
    ),
    "negotiate_response_311": smb2.NegotiateResponse(
        1,
        0x0311,
        GUID[::-1],
        0x2F,
        0x800000,
        0x400000,
        0x200000,
        0x0100000000000015,
        0,
        b"\x60\1\2",
        [smb2.SigningCapabilities([2]).context()],
    ),
    "negotiate_response_202": smb2.NegotiateResponse(
        1, 0x0202, GUID[::-1], 1, 65536, 65536, 65536, 0x0100000000000015, 0x0100000000000016, b"\x60\1"
    ),
    "session_setup_request": smb2.SessionSetupRequest(1, 2, 1, 0, 0x2200000000000011, b"NTLM"),
    "session_setup_response": smb2.SessionSetupResponse(4, b"\xa1\x07"),
    "logoff": smb2.LogoffRequest(),
    "tree_connect_request": smb2.TreeConnectRequest("\\\\s\\x"),
    "tree_connect_request_extension": smb2.TreeConnectRequest(
        "\\\\s\\x", 4, 1, bytes.fromhex("0100020000000000beef")
    ),
    "tree_connect_response": smb2.TreeConnectResponse(1, 0x830, 8, 0x1F01FF),
    "create_request": smb2.CreateRequest(
        9,
        2,
        0x120089,
        0x80,
        7,
        1,
        0x200040,
        "a\\ü",
        [smb2.CreateContext(b"MxAc"), smb2.CreateContext(b"xyzz", bytes.fromhex("deadbeef"))],
    ),
    "create_response": smb2.CreateResponse(
        0,
        1,
        2,
        TIME + 1,
        TIME + 2,
        TIME + 3,
        TIME + 4,
        4096,
        5,
        0x20,
        FILE_ID,
        [smb2.QueryMaximalAccessResponse(0, 0x1F01FF).context()],
    ),
    "close_request": smb2.CloseRequest(1, FILE_ID),
    "close_response": smb2.CloseResponse(1, TIME + 1, TIME + 2, TIME + 3, TIME + 4, 4096, 5, 0x20),
    "flush_request": smb2.FlushRequest(FILE_ID),
    "read_request": smb2.ReadRequest(FILE_ID, 1 << 32, 65536, 1, 1, 0x50, 1, 0, memoryview(b"\1\2\3\4")),
    "read_response": smb2.ReadResponse(memoryview(b"hello")),
    "write_request": smb2.WriteRequest(FILE_ID, 1 << 32, memoryview(b"hello"), 1),
    "write_response": smb2.WriteResponse(5),
    "oplock_break": smb2.OplockBreakAcknowledgment(1, FILE_ID),
    "lease_break_notification": smb2.LeaseBreakNotification(5, 1, GUID, 7, 3),
    "lease_break": smb2.LeaseBreakAcknowledgment(GUID, 3, 0),
    "lock_request": smb2.LockRequest(
        FILE_ID, [smb2.LockElement(1 << 32, 16, 0x12), smb2.LockElement(0xFFFFFFFFFFFFFFFF, 1, 4)], 0x123
    ),
    "ioctl_request": smb2.IoctlRequest(0x11C017, FILE_ID, b"\5\0\x0b", 0, 4096, 1),
    "ioctl_response": smb2.IoctlResponse(0x11C017, FILE_ID, b"\5\0\x0c"),
    "query_directory_request": smb2.QueryDirectoryRequest(37, 3, 4, FILE_ID, 65536, "*.c"),
    "buffer_response": smb2.QueryInfoResponse(b"\1\2\3\4"),
    "change_notify_request": smb2.ChangeNotifyRequest(1, 2048, FILE_ID, 0x17),
    "query_info_request": smb2.QueryInfoRequest(1, 15, 4096, 0, 1, FILE_ID, b"\0\0\0\0\1A\0"),
    "set_info_request": smb2.SetInfoRequest(1, 20, 0, FILE_ID, (65536).to_bytes(8, "little")),
    "set_info_response": smb2.SetInfoResponse(),
    "error_response": smb2.ErrorResponse((8192).to_bytes(4, "little")),
    "error_response_empty": smb2.ErrorResponse(),
}

#: The same bytes under another name.
ALIASES: dict[str, list[Any]] = {
    "logoff": [
        smb2.LogoffResponse(),
        smb2.TreeDisconnectRequest(),
        smb2.TreeDisconnectResponse(),
        smb2.EchoRequest(),
        smb2.EchoResponse(),
        smb2.CancelRequest(),
        smb2.FlushResponse(),
        smb2.LockResponse(),
    ],
    "oplock_break": [smb2.OplockBreakNotification(1, FILE_ID), smb2.OplockBreakResponse(1, FILE_ID)],
    "lease_break": [smb2.LeaseBreakResponse(GUID, 3, 0)],
    "buffer_response": [
        smb2.QueryDirectoryResponse(b"\1\2\3\4"),
        smb2.ChangeNotifyResponse(b"\1\2\3\4"),
    ],
}

#: Structures that are parsed from their own start.
BUFFERS: dict[str, Any] = {
    "header_sync": smb2.Header(1, 2, 5, 31, 8, 0, 7, 0xFEFF, 3, 0, 0x8000000000000009, SIGNATURE),
    "header_async": smb2.Header(1, 0x103, 15, 1, 3, 0, 8, 0, 0, 0x100000021, 9),
    "transform_header": smb2.TransformHeader(SIGNATURE, b"\1" + bytes(15), 0x70, 1, 0x8000000000000009),
    "compression_header": smb2.CompressionTransformHeader(4096, 2, 0, 64),
    "symlink_error": smb2.SymbolicLinkErrorResponse("a\\b", "ab", 1, 4),
    "lease_v1": smb2.Lease(GUID, 7),
    "lease_v2": smb2.Lease(GUID, 3, 4, bytes(range(16, 32)), 2, 2),
    "durable_request_v2": smb2.DurableHandleRequestV2(60000, 2, GUID),
    "durable_response_v2": smb2.DurableHandleResponseV2(60000, 2),
    "durable_reconnect_v2": smb2.DurableHandleReconnectV2(FILE_ID, GUID, 2),
    "durable_reconnect": smb2.DurableHandleReconnect(FILE_ID),
    "maximal_access_response": smb2.QueryMaximalAccessResponse(0xC0000022, 0x120089),
    "on_disk_id_response": smb2.QueryOnDiskIdResponse(123456789, 0x801),
    "allocation_size": smb2.AllocationSize(1 << 20),
    "timewarp": smb2.TimewarpToken(0x019DB1DED53E8000),
    "ea_buffer": smb2.EaBuffer([FullEa(b"USER", b"abc")]),
    "copychunk_copy": smb2.SrvCopychunkCopy(KEY24, [smb2.SrvCopychunk(1 << 16, 1 << 17, 1 << 20)]),
    "copychunk_response": smb2.SrvCopychunkResponse(1, 0, 1 << 20),
    "resume_key_response": smb2.SrvRequestResumeKeyResponse(KEY24),
    "validate_negotiate_request": smb2.ValidateNegotiateInfoRequest(0x7F, GUID, 1, [0x0202, 0x0210]),
    "validate_negotiate_response": smb2.ValidateNegotiateInfoResponse(7, GUID, 1, 0x0210),
    "resiliency_request": smb2.NetworkResiliencyRequest(120000),
    "read_hash_request": smb2.SrvReadHashRequest(1, 1, 1, 4096, 8192),
    "snapshot_array": smb2.SrvSnapshotArray(2, ["@GMT-2026.01.02-03.04.05"], 52),
    "smb1_negotiate": smb2.SMB1NegotiateRequest(
        ["NT LM 0.12", "SMB 2.002", "SMB 2.???"], 0x18, 0xC843, 0x1FFFE, 7
    ),
}
