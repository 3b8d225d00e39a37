"""A compound sent as single requests, for servers that grant fewer credits than it has ([MS-SMB2] 3.2.4.1.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from frevo.client.connection.messages import Element, FileId, Reply
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, CreateResponse
from frevo.wire.smb2.request_layout import REQUEST_LAYOUTS


async def in_steps(
    elements: Sequence[Element],
    exchange: Callable[[Element], Awaitable[Reply]],
    close_later: Callable[[FileId], object],
) -> list[Reply]:
    """The responses to *elements*, each sent with *exchange* after the response to the previous one.

    The first one opens a file or names an open one, and the others use it, as in a compound: after a failed CREATE,
    they get its response. Files opened by a cancelled or interrupted series go to *close_later*.
    """
    first = elements[0]
    opens = first.command == Command.CREATE

    def close_abandoned(reply: Reply) -> None:
        if reply.status == NTStatus.SUCCESS:
            close_later(CreateResponse.parse(reply.message).file_id)

    if opens:
        first = Element(first.command, first.body, first.charge, on_abandoned=close_abandoned)
    replies = [await exchange(first)]
    if opens and replies[0].status != NTStatus.SUCCESS:
        return replies * len(elements)
    if opens:
        file_id = CreateResponse.parse(replies[0].message).file_id
    else:
        file_id = REQUEST_LAYOUTS[first.command].file_id_of(bytes(64) + first.body)
    try:
        for element in elements[1:]:
            replies.append(await exchange(_with_file_id(element, file_id)))
    except BaseException:
        if opens:
            close_later(file_id)
        raise
    return replies


def _with_file_id(element: Element, file_id: FileId) -> Element:
    body = REQUEST_LAYOUTS[element.command].with_file_id(element.body, file_id)
    return Element(element.command, body, element.charge, element.tail, element.sink, element.on_abandoned)
