"""TREE_CONNECT over the pair: who may connect, what paths mean, limits, and IPC$ with its pipes."""

from __future__ import annotations

import pytest
from peers.target import SHARES

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    Command,
    IoctlRequest,
    IoctlResponse,
    ReadRequest,
    TreeConnectRequest,
    TreeConnectResponse,
    TreeDisconnectRequest,
    WriteRequest,
)
from pair.client import Client, Session
from pair.conftest import MakePair
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

TRANSCEIVE = 0x0011C017
#: A DCE/RPC bind to srvsvc with the NDR transfer syntax.
BIND = bytes.fromhex(
    "05000b0310000000480000000100000000100010000000000100000000000100"
    "c84f324b7016d30112785a47bf6ee18803000000045d888aeb1cc9119fe808002b10486002000000"
)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("\\\\server\\share", NTStatus.SUCCESS),
        ("\\\\10.0.0.1\\SHARE", NTStatus.SUCCESS),
        ("\\\\server\\IPC$", NTStatus.SUCCESS),
        ("\\\\server\\none", NTStatus.BAD_NETWORK_NAME),
        ("\\\\server\\", NTStatus.BAD_NETWORK_NAME),
        ("share", NTStatus.BAD_NETWORK_NAME),
        ("", NTStatus.BAD_NETWORK_NAME),
        ("\\\\server\\" + "x" * 300, NTStatus.BAD_NETWORK_NAME),
        ("\\\\server\\\ud800", NTStatus.BAD_NETWORK_NAME),
        ("\\\\server\\sha\0re", NTStatus.BAD_NETWORK_NAME),
        ("\\\\server\\others", NTStatus.ACCESS_DENIED),
    ],
)
def test_paths(pair: Pair, path: str, status: NTStatus) -> None:
    """Goal: the last component names the share, whatever stands before. Method: good and bad paths."""
    client = pair.logged_on()
    assert client.call(Command.TREE_CONNECT, TreeConnectRequest(path).pack(), tree=0).status == status


def test_rights(make_pair: MakePair) -> None:
    """Goal: valid users, read list and read only decide the access. Method: two users on one share each."""
    shares = {**SHARES, "mixed": {"read only": "yes", "write list": "user1", "valid users": "user1 user2"}}
    client = make_pair({}, shares).logged_on()
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    assert client.try_tree("mixed").ok(TreeConnectResponse).maximal_access == 0x001F01FF
    assert client.try_tree("mixed", session=other).ok(TreeConnectResponse).maximal_access == 0x001200A9
    client.connect_tree("ro")
    assert client.create("new").status == NTStatus.ACCESS_DENIED


def test_max_connections(make_pair: MakePair) -> None:
    """Goal: `max connections` counts connections while they last. Method: one client too many; the first one
    leaves."""
    shares = {**SHARES, "few": {"max connections": "1"}}
    pair = make_pair({}, shares)
    first, second = pair.logged_on(), pair.logged_on()
    tree = first.connect_tree("few")
    assert second.try_tree("few").status == NTStatus.REQUEST_NOT_ACCEPTED
    assert (
        first.call(Command.TREE_DISCONNECT, TreeDisconnectRequest().pack(), tree=tree).status
        == NTStatus.SUCCESS
    )
    second.connect_tree("few")
    second.disconnect()
    first.connect_tree("few")


def test_trees_per_session(make_pair: MakePair) -> None:
    """Goal: trees are bounded. Method: one more than configured."""
    client = make_pair({"frevo:max trees per session": "2"}).logged_on()
    client.connect_tree("share")
    assert client.try_tree("share").status == NTStatus.INSUFFICIENT_RESOURCES


def test_disconnected_tree(pair: Pair) -> None:
    """Goal: a disconnected tree, or one of another session, is NETWORK_NAME_DELETED, and its opens are closed. Method:
    disconnect with a file open, use it again; use it from another session."""
    client = pair.logged_on()
    client.open("a", share_access=0)
    tree = client.tree
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    body = TreeDisconnectRequest().pack()
    assert client.call(Command.TREE_DISCONNECT, body, session=other).status == NTStatus.NETWORK_NAME_DELETED
    assert client.call(Command.TREE_DISCONNECT, body).status == NTStatus.SUCCESS
    assert client.call(Command.TREE_DISCONNECT, body).status == NTStatus.NETWORK_NAME_DELETED
    assert client.create("a").status == NTStatus.NETWORK_NAME_DELETED
    assert not pair.server.opens
    assert client.connect_tree() != tree


def test_open_of_another_tree_or_session(pair: Pair) -> None:
    """Goal: a FileId is valid only in its tree and session. Method: use it with each wrong one, through both
    planes."""
    client = pair.logged_on()
    file_id = client.open("a")
    client.write(file_id, 0, b"data")
    assert client.read(file_id, 0, 4) == client.read(file_id, 0, 4) == b"data"
    tree = client.tree
    second = client.connect_tree()
    assert client.close(file_id, tree=second).status == NTStatus.FILE_CLOSED
    with pytest.raises(AssertionError, match="FILE_CLOSED"):
        client.read(file_id, 0, 4, tree=second)
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    reply = client.try_tree("share", session=other)
    with pytest.raises(AssertionError, match="FILE_CLOSED"):
        client.read(file_id, 0, 4, tree=reply.header.tree_id, session=other)
    assert client.read(file_id, 0, 4, tree=tree) == b"data"
    assert client.close((file_id[0] + 1, file_id[1]), tree=tree).status == NTStatus.FILE_CLOSED


def test_opens_per_session(make_pair: MakePair) -> None:
    """Goal: opens are bounded, pipes too. Method: one more than configured, in a share and in IPC$."""
    client = make_pair({"frevo:max opens per session": "3"}).logged_on()
    opens = [client.open(f"f{number}") for number in range(3)]
    assert client.create("f3").status == NTStatus.INSUFFICIENT_RESOURCES
    share = client.tree
    client.connect_tree("IPC$")
    assert client.create("srvsvc").status == NTStatus.INSUFFICIENT_RESOURCES
    client.close(opens[0], tree=share)
    assert client.create("srvsvc").status == NTStatus.SUCCESS


def pipe(client: Client) -> tuple[int, int]:
    client.connect_tree("IPC$")
    return client.open("srvsvc", create_disposition=1)


def test_pipe_by_write_and_read(pair: Pair) -> None:
    """Goal: a pipe responds to a bind. Method: WRITE and READ, then the same by FSCTL_PIPE_TRANSCEIVE; a READ of an
    empty pipe is PIPE_EMPTY."""
    client = pair.logged_on()
    file_id = pipe(client)
    assert client.write(file_id, 0, BIND).status == NTStatus.SUCCESS
    answer = client.read(file_id, 0, 1024)
    assert answer[2] == 12
    with pytest.raises(AssertionError, match="PIPE_EMPTY"):
        client.read(file_id, 0, 1024)
    file_id = pipe(client)
    body = IoctlRequest(TRANSCEIVE, file_id, BIND, max_output_response=1024).pack()
    assert client.call(Command.IOCTL, body).ok(IoctlResponse).output_buffer[2] == 12


@pytest.mark.parametrize("revision", [0x0202, 0x0300, 0x0302, 0x0311])
def test_flags_that_pipes_do_not_have(pair: Pair, revision: int) -> None:
    """Goal: from 3.0 and 3.0.2 on, a pipe is neither written through nor unbuffered, nor read so ([MS-SMB2] 3.3.5.12,
    3.3.5.13). Method: each flag, in dialects from before and after."""
    client = pair.logged_on(dialects=(revision,))
    file_id = pipe(client)
    for flags in (1, 2, 3):
        status = client.call(Command.WRITE, WriteRequest(file_id, 0, BIND, flags=flags).pack()).status
        assert status == (NTStatus.INVALID_PARAMETER if revision >= 0x0300 else NTStatus.SUCCESS)
    assert client.write(file_id, 0, BIND).status in (NTStatus.SUCCESS, NTStatus.PIPE_DISCONNECTED)
    unbuffered = client.call(Command.READ, ReadRequest(file_id, 0, 1024, flags=1).pack()).status
    assert (unbuffered == NTStatus.INVALID_PARAMETER) is (revision >= 0x0302)
    if revision >= 0x0302:
        assert client.read(file_id, 0, 1024)[2] == 12, "it was not read before"


@pytest.mark.parametrize(
    "junk", [b"", b"\5", BIND[:20], BIND[:8] + b"\xff\xff" + BIND[10:], bytes(4000), b"\xff" * 65536]
)
def test_hostile_pipe(pair: Pair, junk: bytes) -> None:
    """Goal: junk breaks that pipe, not the connection. Method: write it, read, and bind on a new pipe."""
    client = pair.logged_on()
    file_id = pipe(client)
    client.write(file_id, 0, junk)
    client.write(file_id, 0, junk)
    with pytest.raises(AssertionError):
        client.read(file_id, 0, 1024)
        client.read(file_id, 0, 1024)
    assert client.close(file_id).status == NTStatus.SUCCESS
    test_pipe_by_write_and_read(pair)


def test_unknown_pipe(pair: Pair) -> None:
    """Goal: IPC$ has two pipes. Method: other names."""
    client = pair.logged_on()
    client.connect_tree("IPC$")
    for name in ("netlogon", "", "..\\a", "x" * 5000):
        assert client.create(name, create_disposition=1).status == NTStatus.OBJECT_NAME_NOT_FOUND


def test_anonymous_gets_no_share(pair: Pair) -> None:
    """Goal: without a session there is nothing. Method: TREE_CONNECT with session id 0."""
    client = pair.connect()
    client.negotiate()
    assert client.try_tree("share", session=Session(0)).status == NTStatus.USER_SESSION_DELETED


@pytest.mark.parametrize(("level", "status"), [("0", NTStatus.SUCCESS), ("2", NTStatus.ACCESS_DENIED)])
def test_restrict_anonymous(make_pair: MakePair, level: str, status: NTStatus) -> None:
    """Goal: `restrict anonymous = 2` closes IPC$ to anonymous sessions only. Method: both levels."""
    pair = make_pair({"restrict anonymous": level})
    client = pair.connect()
    client.negotiate()
    client.log_on_as_nobody()
    assert client.try_tree("IPC$").status == status
    pair.logged_on().connect_tree("IPC$")
