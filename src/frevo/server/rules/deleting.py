"""Deletion: who may delete a file, when it is delete pending, and its removal at the last close.

Deletion requires DELETE access, granted by the descriptor of the file or by DELETE_CHILD on its directory
(`frevo.server.rules.security.maximal_to_found`). It is refused if the file is read-only or the system would refuse
(`Backend.check_removable`: modes, sticky bits, mount points, vetoed names). This is checked when the client requests
the deletion, as there may be no one to report an error of the last close to.

Between request and removal, the file is *delete pending* (`FileRecord.delete_pending`): from SET_INFO on, or from the
close of an open with DELETE_ON_CLOSE on. It can no longer be opened then ([MS-FSA] 2.1.5.1.2, 2.1.5.4, 2.1.5.15.3).
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from frevo.aio.acting import as_identity
from frevo.errors import SMBError, ntstatus_of
from frevo.server.core.state import Open, Session, Tree
from frevo.server.rules.security import maximal_to_found
from frevo.vfs.base import Backend, FileStat, Handle, OpenIntent, Resolved
from frevo.vfs.names import wire_path_of
from frevo.wire.dtyp import FileAccess
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAttributes

if TYPE_CHECKING:
    from frevo.locking.file_table import FileRecord, FileTable
    from frevo.server.core.server import Server

log = logging.getLogger("frevo.server")

_READONLY = int(FileAttributes.READONLY)
_DELETE = int(FileAccess.DELETE)


# -- who may ---------------------------------------------------------------------------------------------------


def check_not_readonly(attributes: int, name: str, status: int = NTStatus.CANNOT_DELETE) -> None:
    """Raises *status* for a file or directory that is read-only, which no one may delete."""
    if attributes & _READONLY:
        raise SMBError(status, f"{name} is read-only")


def check_deletable(
    backend: Backend, handle: Handle, stat: FileStat, *, even_readonly: bool = False, empty: bool = True
) -> None:
    """Raises the reason why the file of *handle* cannot be deleted; DELETE access has already been granted.

    *even_readonly*: the client may ignore the read-only attribute. *empty*: a directory must be empty now.
    CANNOT_DELETE, ACCESS_DENIED, MEDIA_WRITE_PROTECTED, DIRECTORY_NOT_EMPTY.
    """
    if not even_readonly:
        check_not_readonly(stat.attributes, handle.path)
    backend.check_removable(handle)
    if empty and handle.is_directory and not backend.is_empty(handle):
        raise SMBError(NTStatus.DIRECTORY_NOT_EMPTY, handle.path)


def check_replaceable(
    session: Session, tree: Tree, files: FileTable, target: Resolved, *, replace: bool, directory: bool
) -> None:
    """Raises the reason why *target* cannot be deleted to give its name to another file ([MS-FSA] 2.1.5.15.12).

    *replace*: the client requested that; *directory*: the other is a directory. The system's own checks come with the
    call that replaces the name.
    """
    assert target.stat is not None
    if not replace:
        raise SMBError(NTStatus.OBJECT_NAME_COLLISION, target.path)
    if directory or target.stat.is_directory:
        raise SMBError(NTStatus.ACCESS_DENIED, "directories are not replaced")
    check_not_readonly(target.stat.attributes, target.path, NTStatus.ACCESS_DENIED)
    if not maximal_to_found(session, tree, target, _DELETE) & _DELETE:
        raise SMBError(NTStatus.ACCESS_DENIED, f"{target.path} may not be deleted")
    check_not_pending(files, target.stat.identity, target.path)
    if files.find(target.stat.identity) is not None or files.streams(target.stat.identity):
        raise SMBError(NTStatus.ACCESS_DENIED, f"{target.path} is open")


# -- when ------------------------------------------------------------------------------------------------------


def check_not_pending(files: FileTable, identity: Hashable, name: str, *, stream_of: Hashable = None) -> None:
    """Raises DELETE_PENDING if the file, or the file of a stream, is deleted at its last close."""
    if files.is_delete_pending(identity, stream_of=stream_of):
        raise SMBError(NTStatus.DELETE_PENDING, f"{name} is being deleted")


def is_delete_pending(opened: Open) -> bool:
    """Whether the file of *opened* is deleted at its last close."""
    return opened.record is not None and opened.record.delete_pending


def set_delete_pending(server: Server, opened: Open, pending: bool) -> None:
    """The file is deleted at its last close, as the user of *opened*; with *pending* False it stays."""
    record = opened.record
    assert record is not None
    record.delete_pending, record.deleter = pending, opened.tree.acting
    if pending and opened.is_directory:
        server.turns.run(opened.session.connection.party, _telling(record))


def _telling(record: FileRecord) -> Iterator[None]:
    for other in tuple(record.opens):
        if isinstance(other, Open) and other.watch is not None:
            other.watch.directory_deleted()
        yield


def set_delete_on_close(opened: Open, wanted: bool, *, even_readonly: bool = False) -> None:
    """The file becomes delete pending when *opened* closes; with *wanted* False it does not."""
    opened.delete_on_close, opened.deletes_readonly = wanted, wanted and even_readonly


# -- at close --------------------------------------------------------------------------------------------------


def leave_file(server: Server, opened: Open, handle: Handle) -> OSError | SMBError | None:
    """Removes a closing open from the record of its file. The last one deletes the file if it is delete pending, as the
    user who requested that. Returns the error if that failed."""
    record = opened.record
    assert record is not None
    if opened.delete_on_close and not record.delete_pending:
        set_delete_pending(server, opened, True)
    if not server.files.remove(record, opened):
        return None
    if not record.file_delete_pending and not record.delete_pending:
        return None
    try:
        with as_identity(record.deleter):
            if record.file_delete_pending:
                _remove_file_of_stream(server, opened, handle)
            else:
                _remove(server, opened, handle)
    except (OSError, SMBError) as error:
        status = ntstatus_of(error) if isinstance(error, OSError) else error.status
        log.warning("%s: not deleted at close: %s", opened.path, status.name)
        return error
    return None


def _remove(server: Server, opened: Open, handle: Handle) -> None:
    """Removes a delete-pending file; one with open streams waits for them, and their share modes apply."""
    backend = opened.tree.backend
    if backend is None:
        return
    if opened.delete_on_close and not opened.deletes_readonly and handle.stat().attributes & _READONLY:
        log.info("%s: not deleted at close: it is now read-only", opened.path)
        return
    streams = server.files.streams(handle.identity)
    for stream in streams:
        stream.file_delete_pending = True
        stream.deleter = opened.record.deleter if opened.record is not None else None
    if not streams:
        backend.remove(handle)


def _remove_file_of_stream(server: Server, opened: Open, stream: Handle) -> None:
    """Removes a deleted file when its last open stream is closed."""
    backend, file = opened.tree.backend, stream.identity._replace(stream="")
    if backend is None or server.files.streams(file):
        return
    resolved = backend.resolve(wire_path_of(stream.path))
    if resolved.stat is None or resolved.stat.identity != file:
        return
    handle = backend.open(resolved, OpenIntent.PATH)
    try:
        backend.remove(handle)
    finally:
        handle.close()
