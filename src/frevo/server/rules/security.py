"""The access of a user to a file according to its security descriptor, for CREATE and the security classes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo.auth.access import Token, granted_by, may_own, owner_sid
from frevo.auth.descriptors import default_sd, new_sd
from frevo.auth.sids import unix_group_sid
from frevo.errors import SMBError, WireError
from frevo.wire.dtyp import (
    ACE,
    ACL,
    FILE_ALL_ACCESS,
    LOCAL_SYSTEM,
    DirectoryAccess,
    FileAccess,
    SecurityDescriptor,
    SecurityDescriptorControl,
)
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAttributes

if TYPE_CHECKING:
    from frevo.locking.file_table import FileTable
    from frevo.server.core.state import Session, Tree
    from frevo.vfs.base import FileStat, Handle, Resolved

#: Rights that no one has to a read-only file, whatever its descriptor says ([MS-FSA] 2.1.5.1.2.1).
_NOT_TO_READONLY = int(FileAccess.WRITE_DATA | FileAccess.APPEND_DATA | FileAccess.DELETE_CHILD)
_READONLY = int(FileAttributes.READONLY)
#: The rights that the directory of a file may grant ([MS-FSA] 2.1.5.1.2.1).
FROM_PARENT = int(FileAccess.DELETE | FileAccess.READ_ATTRIBUTES)
_DACL_PRESENT = int(SecurityDescriptorControl.DACL_PRESENT)
_SYSTEM_SECURITY = int(FileAccess.ACCESS_SYSTEM_SECURITY)
#: The largest stored descriptor: an xattr (64 KiB) without its header. And the most entries of a list, as in Windows.
DESCRIPTOR_BYTES_MAX = 65536 - 8
ACES_MAX = 1820
_LONG = 4096


def token_of(session: Session, tree: Tree) -> Token:
    """The token for access checks of *session* in *tree*: the account, and the Unix user that acts for it there."""
    who = tree.acting
    token = session.tokens.get(who)
    if token is None:
        assert session.identity is not None
        unix = None if who is None else (who.uid, who.gid, who.groups)
        superuser = who is not None and who.uid == 0
        token = session.tokens[who] = Token.of(session.identity, unix, superuser=superuser)
    return token


def parse_descriptor(data: bytes) -> SecurityDescriptor:
    """A self-relative descriptor from a client or from disk; INVALID_SECURITY_DESCR if it is malformed."""
    try:
        return SecurityDescriptor.parse(data)
    except WireError as error:
        raise SMBError(NTStatus.INVALID_SECURITY_DESCR, str(error)) from None


def packed(descriptor: SecurityDescriptor) -> bytes:
    """*descriptor* in its stored form: as on Windows at most 64 KiB, and at most `ACES_MAX` entries in each list, so
    that no access check takes long. INVALID_ACL if a list has more, INVALID_SECURITY_DESCR if it is larger."""
    for acl in (descriptor.dacl, descriptor.sacl):
        if acl is not None and len(acl.aces) > ACES_MAX:
            raise SMBError(NTStatus.INVALID_ACL, f"{len(acl.aces)} entries")
    try:
        data = descriptor.pack()
    except WireError as error:
        raise SMBError(NTStatus.INVALID_ACL, str(error)) from None
    if len(data) > DESCRIPTOR_BYTES_MAX:
        raise SMBError(NTStatus.INVALID_SECURITY_DESCR, f"{len(data)} bytes")
    return data


@lru_cache(maxsize=4096)
def _default(mode: int, is_directory: bool, uid: int, gid: int, token: Token) -> SecurityDescriptor:
    return default_sd(mode, is_directory=is_directory, owner=owner_sid(uid, token), group=unix_group_sid(gid))


@lru_cache(maxsize=4096)
def _granted_by_mode(mode: int, is_directory: bool, uid: int, gid: int, token: Token) -> int:
    return granted_by(_default(mode, is_directory, uid, gid, token), token)


@lru_cache(maxsize=4096)
def _granted_by_stored(stored: bytes, token: Token) -> int:
    return granted_by(parse_descriptor(stored), token)


#: Few, as each descriptor can be as long as an xattr.
_granted_by_long = lru_cache(maxsize=64)(_granted_by_stored.__wrapped__)


def descriptor_of(stored: bytes | None, stat: FileStat, tree: Tree) -> SecurityDescriptor:
    """The effective descriptor: the *stored* one, otherwise one from owner, group and mode of *stat*."""
    if stored is not None:
        return parse_descriptor(stored)
    return _default(stat.mode & 0o7777, stat.is_directory, stat.uid, stat.gid, token_of(tree.session, tree))


def effective_descriptor(handle: Handle, tree: Tree) -> SecurityDescriptor:
    """The effective descriptor of the file of *handle*, as the user of *tree* sees it. Must not be modified."""
    return descriptor_of(handle.security_descriptor(), handle.stat(), tree)


def granted_to(token: Token, stored: bytes | None, stat: FileStat) -> int:
    """All rights that the descriptor of the file grants to *token*."""
    if stored is not None:
        return (_granted_by_stored if len(stored) <= _LONG else _granted_by_long)(stored, token)
    return _granted_by_mode(stat.mode & 0o7777, stat.is_directory, stat.uid, stat.gid, token)


def maximal_access(session: Session, tree: Tree, stored: bytes | None, stat: FileStat) -> int:
    """The maximal access of *session* to a file in *tree* ([MS-SMB2] 2.2.14.2.5).

    *stored* is the file's security descriptor; None means that the mode of *stat* decides.
    """
    token = token_of(session, tree)
    granted = granted_to(token, stored, stat) & FILE_ALL_ACCESS & tree.maximal_access
    return granted | _SYSTEM_SECURITY if token.is_admin else granted


def without_readonly(maximal: int, stat: FileStat) -> int:
    """*maximal* without the rights that no one has to a read-only file, for MxAc and MAXIMUM_ALLOWED."""
    if stat.attributes & _READONLY and not stat.is_directory:
        return maximal & ~_NOT_TO_READONLY
    return maximal


def check_adding(
    session: Session, tree: Tree, files: FileTable, resolved: Resolved, *, directory: bool
) -> tuple[bytes | None, FileStat]:
    """Raises ACCESS_DENIED if *session* may not add the name of *resolved* to its directory, and DELETE_PENDING if
    that directory is about to be deleted.

    Returns the stored descriptor and metadata of the directory.
    """
    assert tree.backend is not None
    stored, stat = tree.backend.parent(resolved)
    needed = DirectoryAccess.ADD_SUBDIRECTORY if directory else DirectoryAccess.ADD_FILE
    if not maximal_access(session, tree, stored, stat) & needed:
        raise SMBError(NTStatus.ACCESS_DENIED, f"nothing can be added to {resolved.parent!r}")
    if files.is_delete_pending(stat.identity):
        raise SMBError(NTStatus.DELETE_PENDING, f"{resolved.parent!r} is being deleted")
    return stored, stat


def granted_by_parent(session: Session, tree: Tree, resolved: Resolved) -> int:
    """The rights to a file that its directory grants, whatever the descriptor of the file says: the right to delete
    children of the directory allows deleting the file, the right to list it allows reading attributes of the file
    ([MS-FSA] 2.1.5.1.2.1)."""
    assert tree.backend is not None
    stored, stat = tree.backend.parent(resolved)
    maximal = maximal_access(session, tree, stored, stat)
    granted = FileAccess.DELETE if maximal & DirectoryAccess.DELETE_CHILD else 0
    return granted | (FileAccess.READ_ATTRIBUTES if maximal & DirectoryAccess.LIST_DIRECTORY else 0)


def maximal_to_found(session: Session, tree: Tree, resolved: Resolved, wanted: int) -> int:
    """The maximal access of *session* to an existing file, with the rights granted by its directory if they are
    *wanted*."""
    assert tree.backend is not None and resolved.stat is not None
    maximal = maximal_access(session, tree, tree.backend.security_descriptor(resolved), resolved.stat)
    if wanted & FROM_PARENT & ~maximal and resolved.name:
        maximal |= granted_by_parent(session, tree, resolved)
    return maximal


def inherited_descriptor(
    session: Session,
    tree: Tree,
    files: FileTable,
    resolved: Resolved,
    explicit: bytes | None,
    *,
    directory: bool,
) -> bytes | None:
    """The descriptor to store with a new file below *resolved*.parent:

    *explicit*, completed by inheritance; None: mode bits only. Raises ACCESS_DENIED if the descriptor of the parent
    does not allow the session to add a file or folder, DELETE_PENDING if the parent, or the file that gets a stream, is
    about to be deleted, INVALID_OWNER and PRIVILEGE_NOT_HELD for an owner or SACL that the session may not set.
    """
    if resolved.stat is not None:  # a stream of a file that exists: it shares the file's descriptor
        if files.is_delete_pending(resolved.stat.identity._replace(stream="")):
            raise SMBError(NTStatus.DELETE_PENDING, resolved.path)
        return None
    stored, _ = check_adding(session, tree, files, resolved, directory=directory)
    if stored is None and explicit is None:
        return None
    parent = parse_descriptor(stored) if stored is not None else None
    supplied = parse_descriptor(explicit) if explicit is not None else None
    token = token_of(session, tree)
    if supplied is not None:
        _check_supplied(supplied, token)
    made = new_sd(parent, supplied, token, is_directory=directory)
    if made is None or (made.dacl is None and not made.control & _DACL_PRESENT):
        made = _with_default_dacl(made, token)
    return packed(made)


def _check_supplied(supplied: SecurityDescriptor, token: Token) -> None:
    """Setting another owner, or a SACL, needs privileges ([MS-DTYP] 2.5.3.4.1)."""
    if supplied.owner is not None and not may_own(supplied.owner, token):
        raise SMBError(NTStatus.INVALID_OWNER, f"{supplied.owner} cannot become the owner")
    if supplied.sacl is not None and not token.is_admin:
        raise SMBError(NTStatus.PRIVILEGE_NOT_HELD, "a system access list")


def with_owner_of_parent(tree: Tree, resolved: Resolved, descriptor: bytes) -> bytes:
    """*descriptor* with the owner of the directory that *resolved* is in (`inherit owner`)."""
    assert tree.backend is not None
    stored, stat = tree.backend.parent(resolved)
    owner = descriptor_of(stored, stat, tree).owner
    return packed(replace(parse_descriptor(descriptor), owner=owner))


def _with_default_dacl(made: SecurityDescriptor | None, token: Token) -> SecurityDescriptor:
    """If nothing was inherited or supplied, the creator and LOCAL SYSTEM get full access ([MS-DTYP] 2.5.3.4)."""
    aces = [ACE(mask=FILE_ALL_ACCESS, sid=token.user), ACE(mask=FILE_ALL_ACCESS, sid=LOCAL_SYSTEM)]
    base = made or SecurityDescriptor()
    return SecurityDescriptor(
        owner=base.owner or token.user,
        group=base.group or token.group,
        dacl=ACL(aces),
        sacl=base.sacl,
        control=base.control | _DACL_PRESENT,
    )
