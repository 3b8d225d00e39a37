"""Hides what a user may not access: `access based share enum`, `hide unreadable`, `hide unwriteable
files`, `hide special files`.

Hiding is no protection: a client that knows the name can use it as usual. Nothing of this runs if the keys are off.
"""

from __future__ import annotations

import stat as stat_module
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frevo.config import ShareAccess
from frevo.errors import SMBError
from frevo.server.rules.hosts import share_allows
from frevo.server.rules.security import maximal_access
from frevo.server.rules.share_access import access_of
from frevo.vfs.base import DirectoryItem, Handle, OpenIntent
from frevo.wire.dtyp import FileAccess

if TYPE_CHECKING:
    from frevo.config import ShareConfig
    from frevo.server.core.server import Server
    from frevo.server.core.shares import Share
    from frevo.server.core.state import Open, Session

_READ = int(FileAccess.READ_DATA)
_WRITE = int(FileAccess.WRITE_DATA)


def may_see(server: Server, session: Session, share: Share) -> bool:
    """Whether lists of shares for *session* contain the share."""
    if share.is_pipe or not share.config.access_based_share_enum:
        return True
    if not share_allows(share.config, session.connection):
        return False
    return access_of(server, session, share) is not ShareAccess.NONE


def hides(share: ShareConfig) -> bool:
    """Whether listings of the share hide anything from its user."""
    return share.hide_special_files or share.hide_unreadable or share.hide_unwriteable_files


def visible(opened: Open, directory: Handle, items: Iterator[DirectoryItem]) -> Iterator[DirectoryItem]:
    """Those of *items* in *directory* that the user of *opened* may see."""
    settings = opened.tree.share.config
    looks = settings.hide_unreadable or settings.hide_unwriteable_files
    for item in items:
        mode = item.stat.mode
        if item.name in (".", ".."):
            yield item
        elif settings.hide_special_files and not (stat_module.S_ISREG(mode) or stat_module.S_ISDIR(mode)):
            continue
        elif not looks or _may(
            opened, directory, item, read=settings.hide_unreadable, write=settings.hide_unwriteable_files
        ):
            yield item


def _may(opened: Open, directory: Handle, item: DirectoryItem, *, read: bool, write: bool) -> bool:
    """Whether the user has the access that is needed, according to the security descriptor and the kernel."""
    backend, tree = opened.tree.backend, opened.tree
    assert backend is not None
    wanted = OpenIntent.READ if read else OpenIntent.PATH
    if write and not item.stat.is_directory:
        wanted |= OpenIntent.WRITE
    if not wanted:
        return True
    path = directory.wire_path
    try:
        resolved = backend.resolve(f"{path}\\{item.name}" if path else item.name)
        if resolved.stat is None or not (
            stat_module.S_ISREG(resolved.stat.mode) or resolved.stat.is_directory
        ):
            return False
        handle = backend.open(resolved, wanted)
    except (OSError, SMBError):
        return False
    try:
        granted = maximal_access(opened.session, tree, handle.security_descriptor(), resolved.stat)
    finally:
        handle.close()
    needed = (_READ if wanted & OpenIntent.READ else 0) | (_WRITE if wanted & OpenIntent.WRITE else 0)
    return granted & needed == needed
