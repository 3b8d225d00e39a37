"""impacket's client, a third implementation: dialects, shares, files, folders, services."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from impacket import smb3structs
from impacket.dcerpc.v5 import srvs, transport, wkst
from impacket.smbconnection import SessionError, SMBConnection
from peers.target import Target

pytestmark = pytest.mark.interop

#: What impacket's client speaks; it has no 3.0.2.
DIALECTS = {
    "2.0.2": smb3structs.SMB2_DIALECT_002,
    "2.1": smb3structs.SMB2_DIALECT_21,
    "3.0": smb3structs.SMB2_DIALECT_30,
    "3.1.1": smb3structs.SMB2_DIALECT_311,
}


def connect(target: Target, dialect: int | None = None, login: bool = True) -> SMBConnection:
    """A connection with *dialect*, logged on."""
    connection = SMBConnection(
        target.host, target.host, sess_port=target.port, preferredDialect=dialect, timeout=30
    )
    if login:
        connection.login(target.user, target.password)
    return connection


@pytest.fixture
def connection(server: Target) -> Iterator[SMBConnection]:
    """A logged-on connection to the default server."""
    connection = connect(server)
    yield connection
    connection.close()


@pytest.mark.parametrize("version", sorted(DIALECTS))
def test_dialects(server: Target, version: str) -> None:
    """Put and get 2 MB with each dialect."""
    connection = connect(server, DIALECTS[version])
    assert connection.getDialect() == DIALECTS[version]
    data = bytes(range(256)) * 8000
    name = f"impacket-{uuid.uuid4()}"
    connection.putFile("share", name, io.BytesIO(data).read)
    back = io.BytesIO()
    connection.getFile("share", name, back.write)
    assert back.getvalue() == data
    assert (server.folder() / name).read_bytes() == data
    connection.deleteFile("share", name)
    connection.close()


def test_list_shares(connection: SMBConnection) -> None:
    """The shares come over srvsvc with their comments; the hidden one stays hidden."""
    shares = {s["shi1_netname"][:-1]: s["shi1_remark"][:-1] for s in connection.listShares()}
    assert shares["share"] == "read and write"
    assert "IPC$" in shares
    assert "hidden" not in shares


def test_folders(server: Target, connection: SMBConnection) -> None:
    """Folders are made, listed, renamed and removed."""
    name = f"impacket-{uuid.uuid4()}"
    connection.createDirectory("share", name)
    for number in range(100):
        (server.folder() / name / f"{number}.txt").write_bytes(bytes(number))
    listed = {f.get_longname(): f.get_filesize() for f in connection.listPath("share", rf"{name}\*")}
    assert {k: v for k, v in listed.items() if k not in (".", "..")} == {f"{n}.txt": n for n in range(100)}
    connection.rename("share", rf"{name}\1.txt", rf"{name}\one.txt")
    assert (server.folder() / name / "one.txt").stat().st_size == 1
    for entry in (server.folder() / name).iterdir():
        connection.deleteFile("share", rf"{name}\{entry.name}")
    connection.deleteDirectory("share", name)
    assert not (server.folder() / name).exists()


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [("user1", "wrong", "STATUS_LOGON_FAILURE"), ("nobody-we-know", "x", "STATUS_LOGON_FAILURE")],
)
def test_wrong_logins(server: Target, user: str, password: str, status: str) -> None:
    """A wrong password and an unknown user get the same response."""
    connection = connect(server, login=False)
    try:
        with pytest.raises(SessionError, match=status):
            connection.login(user, password)
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["..\\smb.conf", "a\\..\\..\\smb.conf", "\\..\\..\\..\\etc\\passwd"])
def test_no_way_out(connection: SMBConnection, path: str) -> None:
    """Names with .. are refused and reach nothing outside the share."""
    with pytest.raises(SessionError, match="STATUS_OBJECT_"):
        connection.getFile("share", path, io.BytesIO().write)


def pipe(target: Target, connection: SMBConnection, name: str, interface: Any) -> Any:
    """A bound RPC client on pipe *name*."""
    binding = transport.SMBTransport(target.host, target.port, rf"\{name}", smb_connection=connection)
    rpc = binding.get_dce_rpc()
    rpc.connect()
    rpc.bind(interface)
    return rpc


def test_services(server: Target, connection: SMBConnection) -> None:
    """srvsvc and wkssvc over their pipes describe the server."""
    info = srvs.hNetrServerGetInfo(pipe(server, connection, "srvsvc", srvs.MSRPC_UUID_SRVS), 101)
    name = info["InfoStruct"]["ServerInfo101"]["sv101_name"][:-1]
    assert name.upper() in ("FREVOTEST", "SAMBAPEER")
    info = wkst.hNetrWkstaGetInfo(pipe(server, connection, "wkssvc", wkst.MSRPC_UUID_WKST), 100)
    assert info["WkstaInfo"]["WkstaInfo100"]["wki100_langroup"][:-1] == "WORKGROUP"


def test_share_info(server: Target, connection: SMBConnection) -> None:
    """NetShareGetInfo describes one share, levels 1 and 2."""
    rpc = pipe(server, connection, "srvsvc", srvs.MSRPC_UUID_SRVS)
    for level in (1, 2):
        info = srvs.hNetrShareGetInfo(rpc, "share\0", level)["InfoStruct"][f"ShareInfo{level}"]
        assert info[f"shi{level}_remark"][:-1] == "read and write"


def test_unknown_pipe(connection: SMBConnection) -> None:
    """An unknown pipe does not exist."""
    tree = connection.connectTree("IPC$")
    with pytest.raises(SessionError, match="STATUS_OBJECT_NAME_NOT_FOUND"):
        connection.openFile(tree, r"\no-such-pipe")
