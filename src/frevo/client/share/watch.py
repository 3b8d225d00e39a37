"""Changes in a directory as they happen ([MS-SMB2] 3.2.4.15, CHANGE_NOTIFY)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from frevo.client.address import join
from frevo.client.connection.messages import Element, FileId, Pending
from frevo.client.errors import RemoteError, remote_error
from frevo.client.lasting.retry import Attempts
from frevo.client.lasting.tree import LastingTree
from frevo.client.tree import requests
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import parse_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, Command, CompletionFilter, NotifyFlags

_BUFFER_BYTES = 65536
EVERYTHING = int(
    CompletionFilter.FILE_NAME
    | CompletionFilter.DIR_NAME
    | CompletionFilter.ATTRIBUTES
    | CompletionFilter.SIZE
    | CompletionFilter.LAST_WRITE
    | CompletionFilter.CREATION
    | CompletionFilter.EA
    | CompletionFilter.SECURITY
)
_ACTIONS = {1: "added", 2: "removed", 3: "modified", 4: "renamed-from", 5: "renamed-to"}


class Change(msgspec.Struct, frozen=True):
    """What happened to *path*. action: added, removed, modified, renamed-from, renamed-to, or missed: there was more
    than the server could buffer, so list the directory."""

    action: str
    path: str


async def watch(
    lasting: LastingTree, path: str, *, recursive: bool = False, what: int = EVERYTHING
) -> AsyncGenerator[Change, None]:
    """Changes below *path* from the first step of the iteration on. It ends when the directory is removed.

    After a reconnect, `missed` means that there may be changes in the meantime.
    """
    attempts, taken = Attempts(), 0

    def server_watches() -> None:
        nonlocal taken
        taken += 1

    while True:
        tree = lasting.tree
        try:
            async with aclosing(_watched(tree, path, recursive, what, server_watches)) as changes:
                async for change in changes:
                    yield change
            return
        except (WireError, RemoteError) as error:
            await attempts.renew(error, lasting, tree, progress=taken)
        yield Change("missed", path)


async def _watched(
    tree: Tree, path: str, recursive: bool, what: int, server_watches: Callable[[], None]
) -> AsyncGenerator[Change, None]:
    """The changes reported to one open; *server_watches* is called when the server has accepted a request to watch."""
    opened = await tree.create(requests.opening(path, requests.LIST, options=requests.DIRECTORY), path)
    pending: Pending | None = None
    try:
        pending = await tree.post(_request(opened.file_id, recursive, what))
        while True:
            reply = await pending.future
            if reply.status in (NTStatus.NOTIFY_CLEANUP, NTStatus.DELETE_PENDING):
                return
            if reply.status not in (NTStatus.SUCCESS, NTStatus.NOTIFY_ENUM_DIR):
                raise remote_error(reply.status, path, "watching")
            server_watches()
            # Between two requests, the server buffers only so much: send the next one before the caller gets busy.
            pending = await tree.post(_request(opened.file_id, recursive, what))
            if reply.status == NTStatus.NOTIFY_ENUM_DIR:
                yield Change("missed", path)
                continue
            for action, name in parse_notifications(ChangeNotifyResponse.parse(reply.message).buffer):
                yield Change(_ACTIONS.get(action, f"action-{action}"), join(path, name.replace("\\", "/")))
    finally:
        if pending is not None:
            if pending.async_id:  # an interim response came
                server_watches()
            tree.connection.abandon([pending])
        tree.close_later(opened.file_id)


def _request(file_id: FileId, recursive: bool, what: int) -> Element:
    flags = int(NotifyFlags.WATCH_TREE) if recursive else 0
    body = ChangeNotifyRequest(flags, _BUFFER_BYTES, file_id, what).pack()
    return Element(Command.CHANGE_NOTIFY, body, patient=True)
