"""The access of a session to a share, and the folder of the share for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.config import Config, ShareAccess, expand, share_access
from frevo.config.macros import macros_in
from frevo.errors import SMBError
from frevo.server.rules.acting import counts_as_guest
from frevo.server.rules.session_macros import person, values
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.shares import Share
    from frevo.server.core.state import Session


def access_of(server: Server, session: Session, share: Share) -> ShareAccess:
    """The access of this session to *share*."""
    identity = session.identity
    assert identity is not None
    if share.is_pipe:
        closed = identity.is_anonymous and server.config.globals.restrict_anonymous == 2
        return ShareAccess.NONE if closed else ShareAccess.WRITE
    settings = share.config
    lists = (settings.valid_users, settings.invalid_users, settings.read_list, settings.write_list)
    who = person(session, server.config, settings, identity.account, lists, share.name)
    return share_access(settings, who, guest=counts_as_guest(server, session, share))


def folder_of(share: Share, session: Session, config: Config) -> str:
    """The folder that *session* sees in *share*; "" for IPC$."""
    if "%" not in share.path:
        return share.path
    letters = macros_in(share.path)
    found = values(letters, session, config, share.config, name=share.name)
    if "H" in letters and not found.get("home"):
        raise SMBError(NTStatus.BAD_NETWORK_NAME, f"share {share.name}: the user has no Unix home for %H")
    return expand(share.path, **found)
