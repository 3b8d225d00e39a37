"""The dispatch table, and the checks of [MS-SMB2] 3.3.5.2 that it controls, done once before any handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from time import perf_counter

import msgspec

from frevo.aio.acting import act_as
from frevo.errors import SMBError
from frevo.server.core.lane import Lane
from frevo.server.core.pace import SLOW_S
from frevo.server.core.request import Request
from frevo.server.core.state import SessionState
from frevo.server.handlers import (
    cancel,
    change_notify,
    close,
    create,
    echo,
    flush,
    ioctl,
    lock,
    logoff,
    negotiate,
    oplock_break,
    query_directory,
    query_info,
    read,
    session_setup,
    set_info,
    tree_connect,
    tree_disconnect,
    write,
)
from frevo.server.lifecycle import expire_session
from frevo.vfs.base import Unread
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CREDIT_BYTES, Command, HeaderFlags
from frevo.wire.smb2.request_layout import REQUEST_LAYOUTS, RequestLayout

Outcome = bytes | Awaitable[bytes] | None
#: Most large folders read for one request.
_LOOKS_MAX = 32
#: Commands that may have the SIGNED flag without a session: their handlers check that.
_WITHOUT_SESSION = (Command.NEGOTIATE, Command.SESSION_SETUP, Command.CANCEL)


class Rule(msgspec.Struct, frozen=True):
    """What one command requires."""

    handle: Callable[[Request], Outcome]
    layout: RequestLayout | None
    session: bool = True  # a valid session of this connection
    tree: bool = True  # a connected share of that session
    open: bool = False  # a FileId of that session; -1 in a related request means the previous one
    files: bool = False  # uses the share's file system: goes through its lane, if it has one
    looks_up: bool = False  # looks up Unix users and groups
    when_expired: bool = False  # still served when the session has expired ([MS-SMB2] 3.3.5.2.9)


def _rule(command: int, handle: Callable[[Request], Outcome], **needs: bool) -> tuple[int, Rule]:
    return int(command), Rule(handle, REQUEST_LAYOUTS.get(command), **needs)


TABLE: dict[int, Rule] = dict(
    (
        _rule(Command.NEGOTIATE, negotiate.handle, session=False, tree=False),
        _rule(Command.SESSION_SETUP, session_setup.handle, session=False, tree=False, looks_up=True),
        _rule(Command.LOGOFF, logoff.handle, tree=False, when_expired=True),
        _rule(Command.TREE_CONNECT, tree_connect.handle, tree=False, looks_up=True),
        _rule(Command.TREE_DISCONNECT, tree_disconnect.handle, when_expired=True),
        _rule(Command.CREATE, create.handle, files=True),
        _rule(Command.CLOSE, close.handle, open=True, files=True, when_expired=True),
        _rule(Command.FLUSH, flush.handle, open=True, files=True),
        _rule(Command.READ, read.handle, open=True, files=True),
        _rule(Command.WRITE, write.handle, open=True, files=True),
        _rule(Command.LOCK, lock.handle, open=True, when_expired=True),
        _rule(Command.IOCTL, ioctl.handle, files=True),  # the handler finds the open: some control codes have none
        _rule(Command.CANCEL, cancel.handle, session=False, tree=False),
        _rule(Command.ECHO, echo.handle, session=False, tree=False),
        _rule(Command.QUERY_DIRECTORY, query_directory.handle, open=True, files=True),
        _rule(Command.CHANGE_NOTIFY, change_notify.handle, open=True, files=True),
        _rule(Command.QUERY_INFO, query_info.handle, open=True, files=True),
        _rule(Command.SET_INFO, set_info.handle, open=True, files=True),
        _rule(Command.OPLOCK_BREAK, oplock_break.handle),
    )
)


def execute(request: Request, *, signature_bad: bool, unverified: bool) -> Outcome:
    """Makes the checks of the table and calls the handler. Raises SMBError or WireError if one fails."""
    rule = TABLE.get(request.header.command)
    if rule is None:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"command {request.header.command}")
    chain = request.chain
    if request.header.flags & HeaderFlags.RELATED_OPERATIONS:
        _inherit(request)
    else:
        chain.file_id, chain.create_failed = None, 0
    find_session(request, signature_bad=signature_bad, unverified=unverified)
    if rule.session:
        check_session(request, rule)
    if rule.tree:
        find_tree(request)
    if chain.create_failed and (rule.open or request.header.command == Command.IOCTL):
        raise SMBError(chain.create_failed, "the previous CREATE in this compound failed")
    if rule.layout is not None:
        rule.layout.check_structure_size(request.message)
        check_credit_charge(request, rule.layout)
        if rule.open:
            request.find_open(rule.layout.file_id_of(request.message))
    # From here on, the kernel checks the rights of this share's Unix user, until the next request or a call that needs
    # the server's own rights.
    act_as(request.tree.acting if rule.tree else None)
    if rule.files and request.tree.lane is not None and not request.tree.lane.inside:
        return _in_lane(request, request.tree.lane, rule, signature_bad=signature_bad, unverified=unverified)
    if rule.looks_up and (rule.session or request.server.looks_up_users):
        return request.server.lookups.run(request.connection.party, rule.handle, request)
    request.inline = rule.files and request.tree.lane is None
    began = perf_counter()
    try:
        return rule.handle(request)
    except Unread as unread:
        return _look_again(
            request, _steps(request, unread), signature_bad=signature_bad, unverified=unverified
        )
    finally:
        took_s = perf_counter() - began
        if took_s > SLOW_S and rule.files:
            request.server.lanes.blocked(request.tree, took_s)


async def _in_lane(
    request: Request, lane: Lane, rule: Rule, *, signature_bad: bool, unverified: bool
) -> bytes:
    try:
        return await lane.handle(rule.handle, request)
    except Unread as unread:
        steps = _steps(request, unread)
    return await _look_again(request, steps, signature_bad=signature_bad, unverified=unverified)


def _steps(request: Request, unread: Unread) -> Generator[None, None, None]:
    if request.looks >= _LOOKS_MAX:
        raise unread
    request.looks += 1
    return unread.steps()


async def _look_again(
    request: Request, steps: Generator[None, None, None], *, signature_bad: bool, unverified: bool
) -> bytes:
    """Reads a large folder in turns, then runs the request again with all checks: it has not done anything yet."""
    server = request.server
    with closing(steps):
        piece = server.turns.slice()
        for _ in steps:
            if piece.over():
                piece = await server.turns.next(request.connection.party)
                if request.aborted or request.connection.closed:
                    raise SMBError(request.aborted or NTStatus.CANCELLED, "the connection ended while it waited")
    outcome = execute(request, signature_bad=signature_bad, unverified=unverified)
    body = await outcome if isinstance(outcome, Awaitable) else outcome
    assert body is not None
    return body


def _inherit(request: Request) -> None:
    """A related request uses session, tree and file of the previous one ([MS-SMB2] 3.3.5.2.7.2)."""
    chain = request.chain
    if not chain.started:
        raise SMBError(NTStatus.INVALID_PARAMETER, "the first request of a compound cannot be related")
    if chain.session_id not in request.connection.sessions:
        raise SMBError(NTStatus.INVALID_PARAMETER, "the previous request has no session to share")
    request.header.session_id = chain.session_id
    request.header.tree_id = chain.tree_id


def find_session(request: Request, *, signature_bad: bool, unverified: bool) -> None:
    """Sets request.session if the connection has it, and refuses wrong or missing signatures.

    Reference: [MS-SMB2] 3.3.5.2.4, 3.3.5.2.9.
    """
    header = request.header
    session = request.connection.sessions.get(header.session_id)
    request.session = session  # type: ignore[assignment]  # None is what check_session looks for
    request.chain.session_id = header.session_id
    if request.encrypted:
        request.protected = True  # by this session's keys: the data plane lets nothing else in
        return
    signed = header.flags & HeaderFlags.SIGNED
    if session is None:
        if signed and header.command not in _WITHOUT_SESSION:
            raise SMBError(NTStatus.USER_SESSION_DELETED, f"session {header.session_id:#x}")
    elif session.keys is None:
        pass  # guests, anonymous users and unfinished log-ons have no signing key
    elif not signed:
        if session.signing_required:
            raise SMBError(NTStatus.ACCESS_DENIED, "signing is required")
    elif signature_bad or (unverified and not session.keys.verify(request.message)):
        # Unverified: it arrived before the data plane had the keys, with the last request of the log-on.
        raise SMBError(NTStatus.ACCESS_DENIED, "wrong signature")
    else:
        request.protected = True


def check_session(request: Request, rule: Rule) -> None:
    """The session must exist and be valid, and requests encrypted if it requires that ([MS-SMB2] 3.3.5.2.9)."""
    session = request.session
    if session is None or (
        session.state in (SessionState.IN_PROGRESS, SessionState.GONE) and session.identity is None
    ):
        raise SMBError(NTStatus.USER_SESSION_DELETED, f"session {request.header.session_id:#x}")
    if session.encrypt and not request.encrypted:
        raise SMBError(NTStatus.ACCESS_DENIED, "this session requires encryption")
    if session.expires_at is not None and session.state is SessionState.VALID:
        if request.server.monotonic() >= session.expires_at:
            expire_session(request.server, session)
    if session.state is SessionState.EXPIRED and not rule.when_expired:
        raise SMBError(NTStatus.NETWORK_SESSION_EXPIRED, f"session {session.id:#x}")


def find_tree(request: Request) -> None:
    """Sets request.tree ([MS-SMB2] 3.3.5.2.11)."""
    tree = request.session.trees.get(request.header.tree_id)
    if tree is None:
        raise SMBError(NTStatus.NETWORK_NAME_DELETED, f"tree {request.header.tree_id}")
    if tree.encrypt and not request.encrypted:
        raise SMBError(NTStatus.ACCESS_DENIED, "this share requires encryption")
    request.tree = tree
    request.chain.tree_id = request.header.tree_id


def check_credit_charge(request: Request, layout: RequestLayout) -> None:
    """The charge must cover the larger direction of the payload ([MS-SMB2] 3.3.5.2.5)."""
    if not request.connection.multi_credit or not (layout.sent or layout.expected):
        return
    size = layout.payload_size(request.message)
    if size > CREDIT_BYTES * max(request.header.credit_charge, 1):
        raise SMBError(NTStatus.INVALID_PARAMETER, f"{size} bytes for {request.header.credit_charge} credits")
