"""A compound in single steps, for servers that grant fewer credits than it has requests ([MS-SMB2] 3.2.4.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from frevo.client.connection.connection import Element, Reply
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, CreateResponse
from frevo.wire.smb2.request_layout import REQUEST_LAYOUTS

if TYPE_CHECKING:
    from frevo.client.tree.tree import FileId, Tree


async def in_steps(tree: Tree, elements: Sequence[Element]) -> list[Reply]:
    """The answers of *elements*, each sent when the one before it was answered.

    The first one opens a file or names one that is open, and the others are about it, as in a compound: after a CREATE
    that failed they get its answer. What a cancelled or broken-off row has opened is closed.
    """
    first = elements[0]
    opens = first.command == Command.CREATE
    if opens:
        first = Element(first.command, first.body, first.charge, orphan=tree._close_orphan)
    replies = [await _step(tree, first)]
    if opens and replies[0].status != NTStatus.SUCCESS:
        return replies * len(elements)
    if opens:
        file_id = CreateResponse.parse(replies[0].message).file_id
    else:
        file_id = REQUEST_LAYOUTS[first.command].file_id_of(bytes(64) + first.body)
    try:
        for element in elements[1:]:
            replies.append(await _step(tree, _about(element, file_id)))
    except BaseException:
        if opens:
            tree.close_later(file_id)
        raise
    return replies


def _about(element: Element, file_id: FileId) -> Element:
    body = REQUEST_LAYOUTS[element.command].with_file_id(element.body, file_id)
    return Element(element.command, body, element.charge, element.tail, element.sink, element.orphan)


async def _step(tree: Tree, element: Element) -> Reply:
    return await tree.connection.exchange(element, tree.session.protection, tree.id, seal=tree.seal)
