"""CHANGE_NOTIFY over the pair: what is reported, in which order, to whom, and what ends it."""

from __future__ import annotations

import pytest

from frevo.wire.dtyp import FileAccess
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import CompletionFilter, FileDispositionInformation, FileInfoClass, parse_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, Command, CreateOptions
from pair.client import Client, FileId
from pair.file_calls import folder, put
from pair.machine import Pair

NAMES = int(CompletionFilter.FILE_NAME | CompletionFilter.DIR_NAME)
ADDED, REMOVED = 1, 2
TREE = 1


def ask(client: Client, file_id: FileId, *, flags: int = 0, size: int = 1000, wanted: int = NAMES) -> int:
    """Sends CHANGE_NOTIFY."""
    return client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(flags, size, file_id, wanted).pack())


def told(client: Client, message_id: int) -> list[tuple[int, str]]:
    """The changes in the response."""
    reply = client.wait(message_id)
    assert reply.status == NTStatus.SUCCESS, reply.status.name
    return [tuple(change) for change in parse_notifications(ChangeNotifyResponse.parse(reply.message).buffer)]


def watched(client: Client, **fields: int) -> FileId:
    """An open of a new folder that no test deletes."""
    return folder(client, "watched", desired_access=0x1, share_access=7, **fields)


def test_queue_and_memory(pair: Pair) -> None:
    """Goal: the oldest request gets the first change, and nothing between two requests is lost. Method: two requests,
    three changes, a third request."""
    client = pair.logged_on()
    directory = watched(client)
    first, second = ask(client, directory), ask(client, directory)
    client.close(client.open("watched\\one"))
    assert told(client, first) == [(ADDED, "one")]
    client.close(client.open("watched\\two"))
    assert told(client, second) == [(ADDED, "two")]
    client.close(client.open("watched\\two", create_options=CreateOptions.DELETE_ON_CLOSE))
    client.close(folder(client, "watched\\three"))
    pair.turn(0.01)
    assert told(client, ask(client, directory)) == [(REMOVED, "two"), (ADDED, "three")]


@pytest.mark.usefixtures("reached_at_once")
def test_depth(pair: Pair) -> None:
    """Goal: WATCH_TREE sees what is below, with its path; without it only the directory itself. Method: both kinds."""
    client = pair.logged_on()
    shallow, deep = watched(client), watched(client)
    client.close(folder(client, "watched\\below"))
    flat, tree = ask(client, shallow), ask(client, deep, flags=TREE)
    client.close(client.open("watched\\below\\file"))
    assert told(client, tree) == [(ADDED, "below\\file")]
    client.close(client.open("watched\\file"))
    assert told(client, flat) == [(ADDED, "file")]


@pytest.mark.parametrize("size", [0, 20])
def test_too_much_to_report(pair: Pair, size: int) -> None:
    """Goal: NOTIFY_ENUM_DIR when the changes do not fit, and a fresh start after it. Method: small buffers."""
    client = pair.logged_on()
    directory = watched(client)
    request = ask(client, directory, size=size)
    client.close(client.open("watched\\a rather long name"))
    assert client.wait(request).status == NTStatus.NOTIFY_ENUM_DIR
    roomy = watched(client)
    request = ask(client, roomy, size=64)
    client.close(client.open("watched\\1"))
    assert told(client, request) == [(ADDED, "1")]
    for number in range(10):
        client.close(client.open(f"watched\\file{number}"))
    pair.turn(0.01)
    assert client.wait(ask(client, roomy, size=64)).status == NTStatus.NOTIFY_ENUM_DIR
    request = ask(client, roomy, size=64)
    client.close(client.open("watched\\2"))
    assert told(client, request) == [(ADDED, "2")]


def test_close(pair: Pair) -> None:
    """Goal: all requests of an open that closes end with NOTIFY_CLEANUP. Method: two of them."""
    client = pair.logged_on()
    directory = watched(client)
    requests = [ask(client, directory), ask(client, directory)]
    client.close(directory)
    assert [client.wait(request).status for request in requests] == [NTStatus.NOTIFY_CLEANUP] * 2


@pytest.mark.parametrize("how", ["disposition", "delete on close"])
def test_directory_goes_away(pair: Pair, how: str) -> None:
    """Goal: watchers of a directory to be deleted get DELETE_PENDING. Method: both ways to delete it."""
    client = pair.logged_on()
    directory = watched(client)
    request = ask(client, directory)
    on_close = how == "delete on close"
    options = CreateOptions.DIRECTORY_FILE | (CreateOptions.DELETE_ON_CLOSE if on_close else 0)
    other = client.open("watched", create_options=int(options))
    if not on_close:
        put(client, other, FileInfoClass.DISPOSITION, FileDispositionInformation(True).pack())
    client.close(other)
    assert client.wait(request).status == NTStatus.DELETE_PENDING
    assert client.wait(ask(client, directory)).status == NTStatus.DELETE_PENDING


def test_wrong_requests(pair: Pair) -> None:
    """Goal: files, opens without the right to list, and huge buffers are refused at once. Method: one of each."""
    client = pair.logged_on()
    blind = folder(client, desired_access=FileAccess.READ_ATTRIBUTES)
    for status, file_id, size in [
        (NTStatus.INVALID_PARAMETER, client.open("file"), 1000),
        (NTStatus.ACCESS_DENIED, blind, 1000),
        (NTStatus.INVALID_PARAMETER, watched(client), 0x7FFFFFFF),
    ]:
        assert client.wait(ask(client, file_id, size=size)).status == status


def test_unread_answers_are_bounded(pair: Pair) -> None:
    """Goal: unsolicited data does not grow a user's unread responses: a user who has too many gets an overflow instead
    of single changes, and later changes in full again. Method: the transport reports it, then that they were read."""
    client = pair.logged_on()
    directory = watched(client)
    request = ask(client, directory)
    pair.transport.over = {pair.server.budgets.number_of("user1")}
    client.close(client.open("watched\\one"))
    reply = client.wait(request)
    assert reply.status == NTStatus.NOTIFY_ENUM_DIR and not ChangeNotifyResponse.parse(reply.message).buffer
    pair.transport.over = set()
    request = ask(client, directory)
    client.close(client.open("watched\\two"))
    assert told(client, request) == [(ADDED, "two")]
