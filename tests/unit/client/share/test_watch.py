"""Watching a directory: what each answer becomes, and when the next request is sent."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from unit.client.scripted import OPENED, ScriptedConnection, lasting, opened, scripted

from frevo.client.errors import RemoteError, lost
from frevo.client.lasting.tree import LastingTree
from frevo.client.share.watch import EVERYTHING, Change, watch
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import Notification, pack_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, Command, NotifyFlags


def told(*changes: tuple[int, str]) -> bytes:
    """The body of a CHANGE_NOTIFY response."""
    return ChangeNotifyResponse(pack_notifications(Notification(*one) for one in changes)).pack()


def on(*answers: bytes | int | Exception) -> tuple[LastingTree, ScriptedConnection]:
    """A share whose CHANGE_NOTIFY requests get these *answers*, the last one again and again."""
    left = list(answers)

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.CREATE:
            return opened()
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    tree, connection = scripted(answer)
    return lasting(tree), connection


GONE = int(NTStatus.NOTIFY_CLEANUP)


async def seen(share: LastingTree, path: str = "dir", **options: Any) -> list[Change]:
    return [change async for change in watch(share, path, **options)]


async def test_changes() -> None:
    """Each record is a change with its path; an unknown action has its number."""
    share, connection = on(told((1, "a"), (2, "b"), (3, "c\\d"), (4, "old"), (5, "new"), (9, "x")), GONE)
    assert await seen(share) == [
        Change("added", "dir/a"),
        Change("removed", "dir/b"),
        Change("modified", "dir/c/d"),
        Change("renamed-from", "dir/old"),
        Change("renamed-to", "dir/new"),
        Change("action-9", "dir/x"),
    ]
    assert connection.closed == [OPENED]


@pytest.mark.parametrize("status", [NTStatus.NOTIFY_CLEANUP, NTStatus.DELETE_PENDING])
async def test_the_directory_goes_away(status: int) -> None:
    """The watch ends without an error."""
    share, connection = on(int(status))
    assert await seen(share) == [] and connection.closed == [OPENED]


async def test_too_much_at_once() -> None:
    """NOTIFY_ENUM_DIR: more happened than the server could remember, and the watch goes on."""
    share, _ = on(int(NTStatus.NOTIFY_ENUM_DIR), told((1, "a")), GONE)
    assert await seen(share) == [Change("missed", "dir"), Change("added", "dir/a")]


async def test_an_error() -> None:
    """The server's status is raised, and the directory closed."""
    share, connection = on(int(NTStatus.ACCESS_DENIED))
    with pytest.raises(PermissionError, match="watching"):
        await seen(share)
    assert connection.closed == [OPENED]


@pytest.mark.parametrize(("recursive", "flags"), [(False, 0), (True, int(NotifyFlags.WATCH_TREE))])
async def test_requests(recursive: bool, flags: int) -> None:
    """The next request leaves before the caller gets the changes of the last one, so that nothing is missed."""
    share, connection = on(told((1, "a")))
    async with aclosing(watch(share, "dir", recursive=recursive, what=EVERYTHING)) as changes:
        assert await anext(changes) == Change("added", "dir/a")
        sent = [ChangeNotifyRequest.parse(m) for c, m in connection.sent if c == Command.CHANGE_NOTIFY]
        assert len(sent) == 2 and connection.elements[-1].patient
        assert all((one.flags, one.completion_filter) == (flags, EVERYTHING) for one in sent)
    assert len(connection.abandoned) == 1 and connection.closed == [OPENED]


async def test_cancelled_while_nothing_happens() -> None:
    """The request is given up and the directory closed."""
    share, connection = on(GONE)
    connection.hold_posts = True
    task = asyncio.create_task(seen(share))
    while not connection.posted:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.abandoned == connection.posted and connection.closed == [OPENED]


async def test_a_lost_connection() -> None:
    """The caller learns that nobody watched for a while, and hears what happens from then on."""
    share, _ = on(told((1, "a")), lost("cut"), told((1, "b")), GONE)

    async def again(gone: Any, error: RemoteError) -> Any:
        return share.tree

    share.renewed = again  # type: ignore[method-assign]
    assert await seen(share) == [Change("added", "dir/a"), Change("missed", "dir"), Change("added", "dir/b")]
