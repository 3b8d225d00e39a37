"""The information about the server that RPC services may give to a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.config import expand
from frevo.dcerpc import (
    STYPE_DISKTREE,
    STYPE_IPC,
    STYPE_SPECIAL,
    UNLIMITED_USES,
    RpcContext,
    ShareInfo,
)
from frevo.server.pipes.account_names import directory
from frevo.server.rules.homes import listed_homes
from frevo.server.rules.visibility import may_see

if TYPE_CHECKING:
    from frevo.server.core.server import Server
    from frevo.server.core.state import Session


def rpc_context(server: Server, session: Session) -> RpcContext:
    """The information that RPC services may give to this session."""
    settings, identity = server.config.globals, session.identity
    known = identity is not None and not identity.is_anonymous
    return RpcContext(
        server_name=settings.netbios_name,
        domain=settings.workgroup,
        comment=expand(settings.server_string, server=settings.netbios_name),
        shares=_described(server, session),
        is_admin=identity is not None and identity.is_admin,
        now=server.now(),
        logged_on_users=len(server.sessions),
        names=directory(server.authenticator, settings.netbios_name, settings.workgroup) if known else None,
        may_list=identity is not None and known and not identity.is_guest,
        user=identity.account if identity is not None else "",
        user_domain=settings.netbios_name.upper(),
    )


def _described(server: Server, session: Session) -> list[ShareInfo]:
    """The shares, and the home of the session, for srvsvc."""
    return [
        ShareInfo(
            name=share.name,
            type=STYPE_IPC | STYPE_SPECIAL if share.is_pipe else STYPE_DISKTREE,
            comment=share.config.comment,
            path=share.path.encode("utf-8", "replace").decode(),
            max_uses=share.config.max_connections or UNLIMITED_USES,
            current_uses=share.users,
            browseable=share.config.browseable and may_see(server, session, share),
        )
        for share in (*server.shares.values(), *listed_homes(server, session))
    ]
