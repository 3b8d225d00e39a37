"""Compounds over the pair: related and unrelated, mixed sessions, failures in the middle, waits, hostile
NextCommand."""

from __future__ import annotations

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    ChangeNotifyRequest,
    CloseRequest,
    Command,
    CreateOptions,
    EchoRequest,
    FlushRequest,
    IoctlRequest,
    LockElement,
    LockRequest,
    LogoffRequest,
    QueryDirectoryRequest,
    QueryInfoRequest,
    ReadRequest,
    ReadResponse,
    TreeConnectRequest,
    WriteRequest,
)
from pair.client import RELATED, Client, Element, Session, create_request
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

CLOSE = CloseRequest(0, ANY_FILE_ID).pack()
ECHO = EchoRequest().pack()


def related(command: int, body: bytes, **fields: int) -> Element:
    return Element(command, body, RELATED, fields=dict(fields))


def statuses(client: Client, ids: list[int]) -> list[NTStatus]:
    return [client.wait(message_id).status for message_id in ids]


def create(name: str, **fields: int) -> Element:
    return Element(Command.CREATE, create_request(name, **fields).pack())


@pytest.mark.parametrize("encrypt", [False, True])
def test_create_write_read_close(pair: Pair, encrypt: bool) -> None:
    """Goal: the usual chain, with the FileId passed on. Method: one message, four responses in order, each right."""
    client = pair.logged_on()
    ids = client.compound(
        create("a"),
        related(Command.WRITE, WriteRequest(ANY_FILE_ID, 0, b"hello").pack()),
        related(Command.READ, ReadRequest(ANY_FILE_ID, 1, 10).pack()),
        related(Command.CLOSE, CLOSE),
        encrypt=encrypt,
    )
    client.pump()
    assert [reply.header.message_id for reply in client.replies] == ids
    assert all(reply.encrypted == encrypt and reply.signed != encrypt for reply in client.replies)
    assert client.replies[1].status == NTStatus.SUCCESS
    assert bytes(client.replies[2].ok(ReadResponse).data) == b"ello"
    assert not pair.server.opens


def test_related_after_a_failed_create(pair: Pair) -> None:
    """Goal: [MS-SMB2] 3.3.5.2.7.2: what needs the file fails with the status of the CREATE. Method: a missing name."""
    client = pair.logged_on()
    ids = client.compound(
        create("missing", create_disposition=1),
        related(Command.READ, ReadRequest(ANY_FILE_ID, 0, 1).pack()),
        related(Command.QUERY_INFO, QueryInfoRequest(1, 5, 100, file_id=ANY_FILE_ID).pack()),
        related(Command.IOCTL, IoctlRequest(0x00140078, ANY_FILE_ID, max_output_response=32).pack()),
        related(Command.CLOSE, CLOSE),
    )
    assert statuses(client, ids) == [NTStatus.OBJECT_NAME_NOT_FOUND] * 5


def test_failure_in_the_middle_does_not_stop_the_rest(pair: Pair) -> None:
    """Goal: each element gets its own response. Method: a READ behind the end between CREATE and CLOSE."""
    client = pair.logged_on()
    ids = client.compound(
        create("a"),
        related(Command.READ, ReadRequest(ANY_FILE_ID, 5, 10).pack()),
        related(Command.CLOSE, CLOSE),
    )
    assert statuses(client, ids) == [NTStatus.SUCCESS, NTStatus.END_OF_FILE, NTStatus.SUCCESS]


def test_first_is_related(pair: Pair) -> None:
    """Goal: the first element cannot be related. Method: RELATED on the first element, on all, and on a single
    request."""
    client = pair.logged_on()
    for count in (1, 3):
        ids = client.compound(*[related(Command.CLOSE, CLOSE) for _ in range(count)])
        assert statuses(client, ids)[0] == NTStatus.INVALID_PARAMETER
    assert client.echo().status == NTStatus.SUCCESS


def test_unrelated_sessions(pair: Pair) -> None:
    """Goal: unrelated elements may belong to different sessions, each signed with its own keys. Method: two users'
    CREATEs and an unknown session in one message."""
    client = pair.logged_on()
    other = client.log_on(OTHER_USER, OTHER_PASSWORD)
    tree = client.try_tree("share", session=other).header.tree_id
    ids = client.compound(
        create("a"),
        Element(Command.CREATE, create_request("b").pack(), session=other, tree=tree),
        Element(Command.CREATE, create_request("c").pack(), session=Session(4711)),
        Element(Command.ECHO, ECHO),
    )
    assert statuses(client, ids) == [
        NTStatus.SUCCESS,
        NTStatus.SUCCESS,
        NTStatus.USER_SESSION_DELETED,
        NTStatus.SUCCESS,
    ]


@pytest.mark.parametrize("foreign", ["another user's", "unknown", "none"])
def test_encrypted_unrelated_sessions(pair: Pair, foreign: str) -> None:
    """Goal: what is encrypted with one session's keys is for this session alone; anything else ends the connection
    ([MS-SMB2] 3.3.5.2.1.1), and nothing of it is done. Method: a CREATE, then a CREATE of another session."""
    client = pair.logged_on()
    others = {
        "another user's": client.log_on(OTHER_USER, OTHER_PASSWORD),
        "unknown": Session(4711),
        "none": Session(0),
    }
    element = Element(Command.CREATE, create_request("b").pack(), session=others[foreign])
    ids = client.compound(create("a"), create("a"), encrypt=True)
    assert statuses(client, ids) == [NTStatus.SUCCESS] * 2
    client.compound(create("c"), element, encrypt=True)
    assert client.closed
    assert not pair.root.joinpath("share", "c").exists()


def test_related_takes_session_and_tree_of_the_one_before(pair: Pair) -> None:
    """Goal: a related element's own SessionId and TreeId are ignored. Method: all ones in them."""
    client = pair.logged_on()
    ids = client.compound(
        create("a"),
        related(Command.FLUSH, FlushRequest(ANY_FILE_ID).pack(), session_id=2**64 - 1, tree_id=2**32 - 1),
        related(Command.CLOSE, CLOSE, session_id=2**64 - 1, tree_id=2**32 - 1),
    )
    assert statuses(client, ids) == [NTStatus.SUCCESS] * 3


def test_tree_connect_then_create(pair: Pair) -> None:
    """Goal: the tree that an element connects is that of the next one. Method: TREE_CONNECT, CREATE, CLOSE related."""
    client = pair.logged_on()
    ids = client.compound(
        Element(Command.TREE_CONNECT, TreeConnectRequest("\\\\s\\share").pack(), tree=0),
        related(Command.CREATE, create_request("a").pack()),
        related(Command.CLOSE, CLOSE),
    )
    assert statuses(client, ids) == [NTStatus.SUCCESS] * 3


def test_logoff_in_a_compound(pair: Pair) -> None:
    """Goal: what follows LOGOFF in one message has no session, not even a signed ECHO (3.3.5.17). Method: LOGOFF,
    CREATE, ECHO; all get a response."""
    client = pair.logged_on()
    ids = client.compound(
        Element(Command.LOGOFF, LogoffRequest().pack()), create("a"), Element(Command.ECHO, ECHO)
    )
    assert statuses(client, ids) == [NTStatus.SUCCESS, *[NTStatus.USER_SESSION_DELETED] * 2]
    assert not pair.server.sessions


def test_the_last_one_waits(pair: Pair) -> None:
    """Goal: async at the end: the earlier responses go out with an interim response, the last one later. Method:
    CREATE and CHANGE_NOTIFY related; then make a file."""
    client = pair.logged_on()
    ids = client.compound(
        create("", desired_access=1, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=1),
        related(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 1000, ANY_FILE_ID, 0xFFF).pack()),
    )
    assert client.wait(ids[0]).status == NTStatus.SUCCESS
    assert [reply.status for reply in client.answers(ids[1])] == [NTStatus.PENDING]
    client.open("new")
    assert client.wait(ids[1]).status == NTStatus.SUCCESS


def test_one_in_the_middle_cannot_wait(pair: Pair) -> None:
    """Goal: only the last may wait. Method: a blocking LOCK before a CLOSE."""
    client = pair.logged_on()
    first, second = client.open("a"), client.open("a")
    taken = LockRequest(first, [LockElement(0, 10, 2)]).pack()
    assert client.call(Command.LOCK, taken).status == NTStatus.SUCCESS
    wanted = LockRequest(second, [LockElement(0, 10, 2)]).pack()
    ids = client.compound(
        Element(Command.LOCK, wanted), Element(Command.CLOSE, CloseRequest(0, second).pack())
    )
    assert statuses(client, ids) == [NTStatus.INTERNAL_ERROR, NTStatus.SUCCESS]
    assert client.close(first).status == NTStatus.SUCCESS


def test_find_chain(pair: Pair) -> None:
    """Goal: the listing chain of Windows. Method: CREATE, two QUERY_DIRECTORY and CLOSE."""
    client = pair.logged_on()
    for name in "abc":
        client.close(client.open(name))
    listing = QueryDirectoryRequest(3, 0, 0, ANY_FILE_ID, 65536, "*").pack()
    ids = client.compound(
        create("", desired_access=0x81, create_options=CreateOptions.DIRECTORY_FILE, create_disposition=1),
        related(Command.QUERY_DIRECTORY, listing),
        related(Command.QUERY_DIRECTORY, listing),
        related(Command.CLOSE, CLOSE),
    )
    assert statuses(client, ids) == [
        NTStatus.SUCCESS,
        NTStatus.SUCCESS,
        NTStatus.NO_MORE_FILES,
        NTStatus.SUCCESS,
    ]


@pytest.mark.parametrize("next_command", [1, 8, 63, 65, 64, 68, 71, 80, 0x7FFFFFF8, 0xFFFFFFF8, 0xFFFFFFFF])
def test_hostile_next_command(pair: Pair, next_command: int) -> None:
    """Goal: a malformed chain ends the connection, or its elements fail one by one. Method: NextCommand of an ECHO set
    to each value; no other client notices."""
    other, client = pair.logged_on(), pair.logged_on()
    client.send(Command.ECHO, ECHO, next_command=next_command, sign=False)
    assert client.closed
    assert other.echo().status == NTStatus.SUCCESS


@pytest.mark.parametrize("count", [64, 65, 200])
def test_long_chains(pair: Pair, count: int) -> None:
    """Goal: the number of elements is bounded. Method: that many ECHOs in one message."""
    client = pair.logged_on()
    while client.granted - client.next_id < 300:
        client.echo(credits=500)
    ids = client.compound(*[Element(Command.ECHO, ECHO) for _ in range(count)])
    if count > 64:
        assert client.closed
    else:
        assert statuses(client, ids) == [NTStatus.SUCCESS] * count


def test_bad_signature_in_one_element(pair: Pair) -> None:
    """Goal: each element's signature is checked on its own. Method: the middle one of three is wrong."""
    client = pair.logged_on()
    assert client.session is not None and client.session.keys is not None
    parts = []
    for number in range(3):
        body = create_request(f"file{number}").pack()
        part = bytearray(client.element(Element(Command.CREATE, body), client.next_id + number))
        if number < 2:
            part += bytes(-len(part) % 8)
            part[20:24] = len(part).to_bytes(4, "little")
        signed = bytearray(client.session.keys.sign(bytes(part)))
        if number == 1:
            signed[50] ^= 1
        parts.append(bytes(signed))
    client.raw(b"".join(parts))
    ids = list(range(client.next_id, client.next_id + 3))
    assert statuses(client, ids) == [NTStatus.SUCCESS, NTStatus.ACCESS_DENIED, NTStatus.SUCCESS]
    assert sorted(path.name for path in (pair.root / "share").iterdir()) == ["file0", "file2"]
