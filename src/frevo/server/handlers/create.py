"""CREATE: opens or creates a file, directory, stream or pipe ([MS-SMB2] 3.3.5.9, [MS-FSA] 2.1.5.1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import msgspec

from frevo.errors import SMBError
from frevo.locking.share_modes import DATA_ACCESS
from frevo.server.core.lane import INTERIM_SECONDS
from frevo.server.core.request import Request
from frevo.server.core.state import MODES, Open
from frevo.server.pipes.feed import new_pipe
from frevo.server.rules import create_checks
from frevo.server.rules.create_access import changed_by, granted_for_existing, granted_for_new, new_descriptor
from frevo.server.rules.deleting import check_deletable, check_not_pending, check_not_readonly
from frevo.server.rules.security import maximal_access, without_readonly
from frevo.vfs.base import FileIdentity, FileLeasedError, FileStat, Handle, OpenIntent, Resolved
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    AllocationSize,
    CreateAction,
    CreateContext,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    EaBuffer,
    FileAccess,
    FileAttributes,
    QueryMaximalAccessResponse,
    QueryOnDiskIdResponse,
    SdBuffer,
    find_create_context,
)

_READS = int(FileAccess.READ_DATA | FileAccess.EXECUTE)
_WRITES = int(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA)
_ARCHIVE = int(FileAttributes.ARCHIVE)
_NOT_INDEXED = int(FileAttributes.NOT_CONTENT_INDEXED)
#: Attributes that a client may give a new file ([MS-FSA] 2.1.5.1.1). The others describe what the file is, or belong to
#: other file systems, and are ignored ([MS-FSCC] 2.6).
_SETTABLE = int(
    FileAttributes.READONLY
    | FileAttributes.HIDDEN
    | FileAttributes.SYSTEM
    | FileAttributes.ARCHIVE
    | FileAttributes.TEMPORARY
    | FileAttributes.OFFLINE
    | FileAttributes.NOT_CONTENT_INDEXED
)
_MUST_EXIST = (CreateDisposition.OPEN, CreateDisposition.OVERWRITE)
_OVERWRITES = (CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF)
#: How long somebody may keep a lease on a file that is to be written to; more than the kernel allows by default (45 s).
_LEASE_SECONDS = 60.0
#: How long a CREATE waits before it tries again.
_PAUSE_MIN, _PAUSE_MAX = 0.001, 0.05
#: How often the name may appear or disappear between look-up and open.
_ATTEMPTS = 3


class _Opened(msgspec.Struct):
    """The result of the disposition."""

    handle: Handle
    granted: int
    action: int
    stat: FileStat | None = None  # set if nothing was changed


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Returns the CREATE response body; sets the file of the compound."""
    fields = CreateRequest.parse(request.message)
    if len(request.session.opens) >= request.server.config.globals.frevo_max_opens_per_session:
        raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many opens in this session")
    if request.tree.backend is None:
        _check_pipe_allowed(request)
        return request.server.lookups.run(
            request.connection.party, lambda one: _open_pipe(one, fields), request
        )
    create_checks.check(fields)
    timewarp = find_create_context(fields.contexts, b"TWrp") if fields.contexts else None
    if timewarp is not None and any(timewarp):
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, "there are no snapshots")
    descriptors, user = request.server.budgets.descriptors, request.session.user
    descriptors.reserve(user)
    try:
        return _open(request, fields)
    except FileLeasedError:
        return _open_when_free(request, fields)
    except BaseException:
        descriptors.give(user)
        raise


def _open(request: Request, fields: CreateRequest) -> bytes:
    """Opens the file and enters the open. FileLeasedError if somebody has to give up a lease first."""
    opened = _open_or_create(request, fields)
    try:
        return _enter(request, fields, opened)
    except BaseException:
        opened.handle.close()
        raise


async def _open_when_free(request: Request, fields: CreateRequest) -> bytes:
    """Opens the file for writing once nobody has a lease (fcntl(2)) on it: the data plane, while it sends pages of the
    file, or another program. They have been told by the attempt to open it, and the kernel limits their time."""
    loop = request.server.loop
    ends, pause = loop.time() + _LEASE_SECONDS, _PAUSE_MIN
    interim = loop.call_later(INTERIM_SECONDS, request.tell_pending)
    try:
        while loop.time() < ends:
            paused: asyncio.Future[int] = loop.create_future()
            timer = loop.call_later(pause, paused.set_result, 0)
            try:
                await request.may_end(paused)
            finally:
                timer.cancel()
            with contextlib.suppress(FileLeasedError):
                return _open(request, fields)
            pause = min(2 * pause, _PAUSE_MAX)
        raise SMBError(NTStatus.SHARING_VIOLATION, f"another program has a lease on {fields.name}")
    except BaseException:
        request.server.budgets.descriptors.give(request.session.user)
        raise
    finally:
        interim.cancel()


def _open_or_create(request: Request, fields: CreateRequest) -> _Opened:
    """Opens or creates according to the disposition; tries again if the name appeared or disappeared meanwhile."""
    backend = request.tree.backend
    assert backend is not None
    for attempt in range(_ATTEMPTS):
        resolved = backend.resolve(fields.name)
        try:
            if resolved.exists:
                return _open_existing(request, fields, resolved)
            return _create_new(request, fields, resolved)
        except SMBError as error:
            expected = NTStatus.OBJECT_NAME_NOT_FOUND if resolved.exists else NTStatus.OBJECT_NAME_COLLISION
            if (
                error.status != expected
                or attempt + 1 == _ATTEMPTS
                or not _may_flip(fields.create_disposition)
            ):
                raise
    raise AssertionError("unreachable")


def _may_flip(disposition: int) -> bool:
    return disposition in (
        CreateDisposition.OPEN_IF,
        CreateDisposition.OVERWRITE_IF,
        CreateDisposition.SUPERSEDE,
    )


def _open_existing(request: Request, fields: CreateRequest, resolved: Resolved) -> _Opened:
    backend, stat = request.tree.backend, resolved.stat
    assert backend is not None and stat is not None
    directory = stat.is_directory and not resolved.stream
    if fields.create_disposition == CreateDisposition.CREATE:
        raise SMBError(NTStatus.OBJECT_NAME_COLLISION, fields.name)
    if directory and fields.create_options & CreateOptions.NON_DIRECTORY_FILE:
        raise SMBError(NTStatus.FILE_IS_A_DIRECTORY, fields.name)
    if not directory and fields.create_options & CreateOptions.DIRECTORY_FILE:
        raise SMBError(NTStatus.NOT_A_DIRECTORY, fields.name)
    overwrite = fields.create_disposition in _OVERWRITES
    if overwrite and directory:
        raise SMBError(NTStatus.INVALID_PARAMETER, f"{fields.name}: a directory cannot be overwritten")
    changed = changed_by(fields, resolved) if overwrite else 0
    opened, granted = _open_granted(request, fields, resolved, directory=directory, changed=changed)
    try:
        if fields.create_options & CreateOptions.DELETE_ON_CLOSE:
            check_deletable(backend, opened, stat, empty=False)
        _check_sharing(request, fields, opened, granted | changed)
        if overwrite:
            _overwrite(request, fields, opened, stat)
    except BaseException:
        opened.close()
        raise
    if not overwrite:
        return _Opened(opened, granted, CreateAction.OPENED, None if opened.stream else stat)
    superseded = fields.create_disposition == CreateDisposition.SUPERSEDE
    return _Opened(opened, granted, CreateAction.SUPERSEDED if superseded else CreateAction.OVERWRITTEN)


def _open_granted(
    request: Request, fields: CreateRequest, resolved: Resolved, *, directory: bool, changed: int
) -> tuple[Handle, int]:
    """Decides the access and opens that very file, which cannot be exchanged in between."""
    backend = request.tree.backend
    assert backend is not None
    granted = granted_for_existing(request, fields, resolved, changed=changed)
    intent = _intent(granted | (_WRITES if changed else 0), directory)
    return backend.open(resolved, intent), granted


def _intent(granted: int, directory: bool) -> OpenIntent:
    if directory:
        return OpenIntent.READ if granted & _READS else OpenIntent.PATH
    intent = OpenIntent.PATH
    if granted & _READS:
        intent |= OpenIntent.READ
    if granted & _WRITES:
        intent |= OpenIntent.WRITE
    return intent


def _file_of(opened: Handle) -> FileIdentity | None:
    """The file of a named stream; None for a file itself."""
    return opened.identity._replace(stream="") if opened.stream else None


def _check_sharing(request: Request, fields: CreateRequest, opened: Handle, access: int) -> None:
    """Share modes and delete-pending against the opens that exist ([MS-FSA] 2.1.5.1.2)."""
    files = request.server.files
    check_not_pending(files, opened.identity, fields.name, stream_of=_file_of(opened))
    drops_streams = access & FileAccess.DELETE or fields.create_disposition in _OVERWRITES
    # Deleting or overwriting the file deletes its streams: their opens must allow that.
    if drops_streams and not opened.stream and not files.streams_may_go(opened.identity):
        raise SMBError(NTStatus.SHARING_VIOLATION, fields.name)
    record = files.find(opened.identity)
    if record is not None and access & DATA_ACCESS and record.conflicts(access, fields.share_access):
        raise SMBError(NTStatus.SHARING_VIOLATION, fields.name)


def _overwrite(request: Request, fields: CreateRequest, opened: Handle, before: FileStat) -> None:
    """Empties the file, removes its named streams and EAs, and sets the new attributes. A hidden or system file is only
    overwritten if the request has the same attributes ([MS-FSA] 2.1.5.1.2)."""
    protected = before.attributes & (FileAttributes.HIDDEN | FileAttributes.SYSTEM)
    if protected & ~fields.file_attributes and not opened.stream:
        raise SMBError(NTStatus.ACCESS_DENIED, "overwriting a hidden or system file")
    if not opened.stream:
        if request.server.files.streams(opened.identity):
            raise SMBError(NTStatus.SHARING_VIOLATION, f"a stream of {fields.name} is open")
        opened.drop_extras()
    opened.truncate(0)
    if not opened.stream:
        # NOT_CONTENT_INDEXED is not taken over: [MS-FSA] 2.1.5.1.2.
        wanted = fields.file_attributes & _SETTABLE & ~_NOT_INDEXED | FileAttributes.ARCHIVE
        if wanted != before.attributes:
            opened.set_basic(attributes=int(wanted))


def _create_new(request: Request, fields: CreateRequest, resolved: Resolved) -> _Opened:
    backend, tree = request.tree.backend, request.tree
    assert backend is not None
    if fields.create_disposition in _MUST_EXIST:
        raise SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, fields.name)
    if not tree.writable:
        raise SMBError(NTStatus.ACCESS_DENIED, f"share {tree.share.name} is read-only")
    directory = bool(fields.create_options & CreateOptions.DIRECTORY_FILE)
    if directory and resolved.stream:
        raise SMBError(NTStatus.NOT_A_DIRECTORY, fields.name)
    attributes = fields.file_attributes & _SETTABLE
    if fields.create_options & CreateOptions.DELETE_ON_CLOSE:
        check_not_readonly(attributes, fields.name)
    descriptor = new_descriptor(request, fields, resolved, directory)
    if resolved.stat is None:
        granted = granted_for_new(request, fields)
    else:  # a stream of a file that exists
        granted = granted_for_existing(request, fields, resolved, changed=changed_by(fields, resolved))
    config = tree.share.config
    if directory:
        mode = 0o777 & config.directory_mask | config.force_directory_mode
    else:
        mode = 0o666 & config.create_mask | config.force_create_mode
        attributes |= FileAttributes.ARCHIVE
    intent = _intent(granted | (0 if directory else _WRITES), directory)
    made = backend.create(resolved, directory=directory, intent=intent, attributes=int(attributes), mode=mode)
    if descriptor is not None:
        try:
            made.set_security_descriptor(descriptor)
        except BaseException:  # never leave a file that everyone may read
            backend.remove(made)
            made.close()
            raise
    return _Opened(made, granted, CreateAction.CREATED)


def _enter(request: Request, fields: CreateRequest, opened: _Opened) -> bytes:
    """Applies the create contexts, adds the open to the tables, and returns the response."""
    server, session, tree = request.server, request.session, request.tree
    vfs_handle = opened.handle
    if fields.contexts and opened.action != CreateAction.OPENED:
        _apply_contexts(fields, vfs_handle)
    number = server.new_open_id()
    entry = Open(
        persistent_id=number,
        volatile_id=number,
        session=session,
        tree=tree,
        granted_access=opened.granted,
        share_access=fields.share_access,
        create_options=fields.create_options,
        mode=fields.create_options & MODES,
        path=vfs_handle.wire_path,
        handle=vfs_handle,
        is_directory=vfs_handle.is_directory,
        delete_on_close=bool(fields.create_options & CreateOptions.DELETE_ON_CLOSE),
        opened_at=server.now(),
        own_sequence=request.channel_sequence,
        descriptors=1,  # the one that was reserved
    )
    stat = opened.stat or vfs_handle.stat()
    contexts = _answer_contexts(request, fields, vfs_handle, stat) if fields.contexts else []
    if tree.session.trees.get(tree.id) is not tree:
        raise SMBError(NTStatus.NETWORK_NAME_DELETED, "the tree was disconnected meanwhile")
    entry.record = server.files.add(vfs_handle.identity, entry, stream_of=_file_of(vfs_handle))
    if stat.attributes & _ARCHIVE:
        entry.record.archived = entry.record.stream_of is None
    session.opens[number] = server.opens[number] = entry
    tree.opens.add(number)
    request.chain.file_id = (number, number)
    return CreateResponse(
        0, 0, opened.action, stat.creation_time, stat.last_access_time, stat.last_write_time, stat.change_time,
        stat.allocation_size, stat.end_of_file, stat.attributes, (number, number), contexts,
    ).pack()  # fmt: skip


def _apply_contexts(fields: CreateRequest, handle: Handle) -> None:
    """Sets what a new or overwritten file gets: allocation, EAs, a security descriptor ([MS-SMB2] 2.2.13.2)."""
    for name, data in fields.contexts:
        if name == b"AlSi" and not handle.is_directory:
            size = AllocationSize.parse(data).allocation_size
            if size:
                handle.allocate(size)
        elif name == b"ExtA":
            handle.set_extended_attributes((ea.name, ea.value) for ea in EaBuffer.parse(data).eas)


def _answer_contexts(
    request: Request, fields: CreateRequest, handle: Handle, stat: FileStat
) -> list[CreateContext]:
    """The response contexts MxAc and QFid. Leases and durable handles are not granted, so they get none."""
    backend = request.tree.backend
    assert backend is not None
    answers = []
    for name, data in fields.contexts:
        if name == b"MxAc":
            if data and len(data) != 8:
                raise SMBError(NTStatus.INVALID_PARAMETER, "MxAc context")
            maximal = maximal_access(request.session, request.tree, handle.security_descriptor(), stat)
            answers.append(
                QueryMaximalAccessResponse(NTStatus.SUCCESS, without_readonly(maximal, stat)).context()
            )
        elif name == b"QFid":
            answers.append(QueryOnDiskIdResponse(stat.file_id, backend.serial_number(handle)).context())
        elif name == b"SecD":
            SdBuffer.parse(data)
    return answers


def _check_pipe_allowed(request: Request) -> None:
    """[MS-SMB2] 3.3.5.9: no pipes over QUIC, unless they are allowed (AllowNamedPipeAccessOverQUIC)."""
    if request.connection.traits.secure and not request.server.config.globals.frevo_quic_named_pipes:
        raise SMBError(NTStatus.ACCESS_DENIED, "`frevo:quic named pipes = no`")


def _open_pipe(request: Request, fields: CreateRequest) -> bytes:
    """A named pipe of IPC$: srvsvc and wkssvc ([MS-SMB2] 3.3.5.9, for a pipe share)."""
    server, session = request.server, request.session
    pipe = new_pipe(request, fields.name)
    if session.trees.get(request.tree.id) is not request.tree:
        raise SMBError(NTStatus.NETWORK_NAME_DELETED, "the tree was disconnected meanwhile")
    number = server.new_open_id()
    entry = Open(
        number, number, session, request.tree, 0x0012019F, fields.share_access, fields.create_options, fields.name,
        pipe=pipe, opened_at=server.now(), own_sequence=request.channel_sequence,
    )  # fmt: skip
    session.opens[number] = server.opens[number] = entry
    server.budgets.pipes.take(session.user)
    request.tree.opens.add(number)
    request.chain.file_id = (number, number)
    return CreateResponse(
        create_action=CreateAction.OPENED,
        allocation_size=4096,
        file_attributes=int(FileAttributes.NORMAL),
        file_id=(number, number),
    ).pack()
