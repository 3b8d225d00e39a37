"""Two other implementations, smbprotocol and impacket, read what we pack and pack what we read."""

from __future__ import annotations

from typing import Any

import pytest
import smbprotocol.change_notify
import smbprotocol.connection
import smbprotocol.file_info
import smbprotocol.ioctl
import smbprotocol.open
import smbprotocol.reparse_point
import smbprotocol.session
import smbprotocol.tree
from impacket import nmb, smb3structs
from impacket.ldap import ldaptypes
from vectors import load
from vectors.smb2_cases import ALIASES, BODIES

from frevo.wire import dtyp, fscc, nbt, smb2

VECTORS = load("smb2")
HEADER = smb2.Header().pack()

#: Our structure's vector to the class of smbprotocol.
PEERS: dict[str, Any] = {
    "negotiate_request_210": smbprotocol.connection.SMB2NegotiateRequest,
    "session_setup_request": smbprotocol.session.SMB2SessionSetupRequest,
    "session_setup_response": smbprotocol.session.SMB2SessionSetupResponse,
    "tree_connect_request": smbprotocol.tree.SMB2TreeConnectRequest,
    "tree_connect_response": smbprotocol.tree.SMB2TreeConnectResponse,
    "close_request": smbprotocol.open.SMB2CloseRequest,
    "flush_request": smbprotocol.open.SMB2FlushRequest,
    "read_response": smbprotocol.open.SMB2ReadResponse,
    "write_request": smbprotocol.open.SMB2WriteRequest,
    "write_response": smbprotocol.open.SMB2WriteResponse,
    "ioctl_request": smbprotocol.ioctl.SMB2IOCTLRequest,
    "ioctl_response": smbprotocol.ioctl.SMB2IOCTLResponse,
    "query_directory_request": smbprotocol.open.SMB2QueryDirectoryRequest,
    "query_info_request": smbprotocol.open.SMB2QueryInfoRequest,
    "set_info_request": smbprotocol.open.SMB2SetInfoRequest,
    "change_notify_request": smbprotocol.change_notify.SMB2ChangeNotifyRequest,
    "buffer_response": smbprotocol.open.SMB2QueryInfoResponse,
    "logoff": smbprotocol.connection.SMB2Echo,
}


@pytest.mark.parametrize("name", PEERS)
def test_smbprotocol_message(name: str) -> None:
    """smbprotocol parses our bytes and packs them again; what it packs means the same to us."""
    theirs = PEERS[name]()
    theirs.unpack(VECTORS[name])
    made = (ALIASES.get(name) or [None])[0] if name == "buffer_response" else BODIES[name]
    made = BODIES[name] if made is None else made
    assert type(made).parse(HEADER + theirs.pack()) == made


def test_smbprotocol_create() -> None:
    """Our contexts are found by smbprotocol, and its request is read by us: both directions."""
    request = smb2.CreateRequest(
        name="a\\b", contexts=[smb2.DurableHandleRequestV2(6, 2).context(), smb2.Lease(version=2).context()]
    )
    theirs = smbprotocol.open.SMB2CreateRequest()
    theirs.unpack(request.pack())
    names = [context["buffer_name"].get_value() for context in theirs["buffer_contexts"].get_value()]
    assert names == [b"DH2Q", b"RqLs"]
    theirs = smbprotocol.open.SMB2CreateRequest()
    theirs["buffer_path"] = "dir\\file".encode("utf-16-le")
    theirs["desired_access"] = 0x120089
    parsed = smb2.CreateRequest.parse(HEADER + theirs.pack())
    assert (parsed.name, parsed.desired_access) == ("dir\\file", 0x120089)


def test_smbprotocol_negotiate_contexts() -> None:
    """The 3.1.1 context lists of request and response: smbprotocol finds the types and the token."""
    theirs = smbprotocol.connection.SMB3NegotiateRequest()
    theirs.unpack(
        smb2.NegotiateRequest(
            [0x0311],
            contexts=[
                smb2.PreauthIntegrityCapabilities([1], bytes(32)).context(),
                smb2.SigningCapabilities([1]).context(),
            ],
        ).pack()
    )
    assert [c["context_type"].get_value() for c in theirs["negotiate_context_list"].get_value()] == [1, 8]
    answer = smbprotocol.connection.SMB2NegotiateResponse()
    answer.unpack(
        smb2.NegotiateResponse(
            dialect_revision=0x0311,
            security_buffer=b"token",
            contexts=[smb2.PreauthIntegrityCapabilities([1], bytes(32)).context()],
        ).pack()
    )
    assert answer["buffer"].get_value() == b"token"
    assert [c["context_type"].get_value() for c in answer["negotiate_context_list"].get_value()] == [1]


@pytest.mark.parametrize("info_class", [1, 2, 3, 12, 37, 38])
def test_smbprotocol_directory_entry(info_class: int) -> None:
    """smbprotocol reads our directory entries: name, id and size of each class."""
    names = {
        1: "Directory",
        2: "FullDirectory",
        3: "BothDirectory",
        12: "Names",
        37: "IdBothDirectory",
        38: "IdFullDirectory",
    }
    theirs = getattr(smbprotocol.file_info, f"File{names[info_class]}Information")()
    filetime = 133_000_000_000_000_000
    theirs.unpack(
        fscc.pack_entry(info_class, fscc.DirectoryEntry("abc", 0x20, *[filetime] * 4, 5, 4096, 7, 8, "A~1"))
    )
    assert theirs["file_name"].get_value().decode("utf-16-le") == "abc"
    if info_class != 12:
        assert theirs["end_of_file"].get_value() == 5
    if info_class in (37, 38):
        assert theirs["file_id"].get_value() == 7


@pytest.mark.parametrize(
    "made",
    [
        fscc.FileAllInformation(file_name="\\a"),
        fscc.FileStandardInformation(4096, 5, 1, False, True),
        fscc.FileAttributeTagInformation(0x400, 0xA000000C),
        fscc.FileFsFullSizeInformation(5, 4, 3, 2, 512),
        fscc.FileFsVolumeInformation(0, 7, False, "label"),
        fscc.FileEndOfFileInformation(9),
    ],
    ids=lambda made: type(made).__name__,
)
def test_smbprotocol_information(made: Any) -> None:
    """smbprotocol's class of the same name reads and repeats our bytes: compare."""
    theirs = getattr(smbprotocol.file_info, type(made).__name__)()
    theirs.unpack(made.pack())
    assert theirs.pack() == made.pack()


def test_impacket() -> None:
    """impacket reads our header, security descriptor and NetBIOS name: compare fields and bytes."""
    packet = smb3structs.SMB2Packet(smb2.Header(1, 2, 5, 6, 1, 0, 7, 8, 9, 0, 10).pack())
    assert (packet["Command"], packet["MessageID"], packet["TreeID"], packet["SessionID"]) == (5, 7, 9, 10)
    acl = dtyp.ACL([dtyp.ACE(0, 3, 0x1F01FF, dtyp.EVERYONE), dtyp.ACE(1, 0, 1, dtyp.LOCAL_SYSTEM)])
    ours = dtyp.SecurityDescriptor(dtyp.BUILTIN_ADMINISTRATORS, dtyp.LOCAL_SYSTEM, acl)
    theirs = ldaptypes.SR_SECURITY_DESCRIPTOR(data=ours.pack())
    assert theirs["OwnerSid"].formatCanonical() == "S-1-5-32-544"
    parsed = dtyp.SecurityDescriptor.parse(theirs.getData())
    assert (parsed.owner, parsed.group, parsed.dacl) == (ours.owner, ours.group, acl)
    encoded = nmb.encode_name("*SMBSERVER", 0x20, "")
    assert (encoded if isinstance(encoded, bytes) else encoded.encode("latin-1")) == nbt.NetBIOSName(
        "*SMBSERVER"
    ).pack()
