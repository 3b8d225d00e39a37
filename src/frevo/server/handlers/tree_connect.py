"""TREE_CONNECT: connects a session to a share ([MS-SMB2] 3.3.5.7)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from frevo.aio.acting import as_identity
from frevo.config import ShareAccess
from frevo.config.choices import CachePolicy
from frevo.errors import RemoteProtocolError, SMBError
from frevo.server.core.request import Request
from frevo.server.core.shares import Share
from frevo.server.core.state import SessionState, Tree
from frevo.server.handlers.session_setup import mark_authenticated
from frevo.server.rules.acting import identity_on
from frevo.server.rules.encryption import encryption_on
from frevo.server.rules.homes import find_home
from frevo.server.rules.hosts import share_allows
from frevo.server.rules.share_access import access_of, folder_of
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ShareFlags, ShareType, TreeConnectRequest, TreeConnectResponse

if TYPE_CHECKING:
    from frevo.aio.acting import UnixIdentity
    from frevo.server.core.lane import Lane
    from frevo.vfs.base import Backend

log = logging.getLogger("frevo.server")

FULL_ACCESS = 0x001F01FF
READ_ACCESS = 0x001200A9
#: `csc policy` on the wire ([MS-SMB2] 2.2.10).
_CACHING: dict[CachePolicy, ShareFlags] = {
    "manual": ShareFlags.MANUAL_CACHING,
    "documents": ShareFlags.AUTO_CACHING,
    "programs": ShareFlags.VDO_CACHING,
    "disable": ShareFlags.NO_CACHING,
}
#: Share names have at most 80 characters ([MS-SMB2] 2.2.9 and [MS-SRVS] 2.2.4.22).
MAX_SHARE_NAME = 80


def handle(request: Request) -> bytes | Awaitable[bytes]:
    """Finds the share by the last component of the path; the server name before it is not checked."""
    server, session = request.server, request.session
    fields = TreeConnectRequest.parse(request.message)
    _check_protection(request)
    name = _share_name(fields.path)
    share = server.shares.get(name.casefold()) or find_home(server, session, name)
    if share is None:
        raise SMBError(NTStatus.BAD_NETWORK_NAME, f"no share {name!r}")
    if not share_allows(share.config, request.connection):
        raise SMBError(NTStatus.ACCESS_DENIED, f"share {share.name}: `hosts allow`, `hosts deny`")
    access = access_of(server, session, share)
    if access is ShareAccess.NONE:
        raise SMBError(NTStatus.ACCESS_DENIED, f"share {share.name}")
    if share.is_pipe:
        return _answer(request, _connect(request, share, access, None, None, None))
    acting = identity_on(server, session, share)
    path = folder_of(share, session, server.config)
    lane = share.lane_at(path, server.lanes)

    def connect(_: Request) -> bytes:
        backend = share.backend_at(path, lane)
        return _answer(request, _connect(request, share, access, acting, backend, share.lanes[path]))

    return connect(request) if lane is None else lane.handle(connect, request)


def _answer(request: Request, tree: Tree) -> bytes:
    share = tree.share
    request.header.tree_id = tree.id
    request.chain.tree_id = tree.id
    flags = int(ShareFlags.ENCRYPT_DATA) if tree.encrypt else 0
    flags |= ShareFlags.NO_CACHING if share.is_pipe else _CACHING[share.config.csc_policy]
    kind = ShareType.PIPE if share.is_pipe else ShareType.DISK
    return TreeConnectResponse(int(kind), flags, 0, tree.maximal_access).pack()


def _check_protection(request: Request) -> None:
    """With 3.1.1, this request proves that the negotiation was not changed and the log-on is not relayed, so it must be
    signed or encrypted with the keys of the session.

    Reference: [MS-SMB2] 3.3.5.7; guests and anonymous users have no keys for that.
    """
    dialect = request.connection.dialect
    has_keys = request.session.keys is not None
    if dialect is not None and dialect.contexts and has_keys and not request.protected:
        raise RemoteProtocolError("an unprotected TREE_CONNECT")


def _share_name(path: str) -> str:
    name = path.rpartition("\\")[2]
    if not path.startswith("\\\\") or not name or len(name) > MAX_SHARE_NAME:
        raise SMBError(NTStatus.BAD_NETWORK_NAME, f"{path[:300]!r} is not \\\\server\\share")
    return name


def _connect(
    request: Request,
    share: Share,
    access: ShareAccess,
    acting: UnixIdentity | None,
    backend: Backend | None,
    lane: Lane | None,
) -> Tree:
    session, settings = request.session, request.server.config.globals
    if session.state is SessionState.GONE:
        raise SMBError(
            NTStatus.USER_SESSION_DELETED, ("the session ended while its share was being looked up")
        )
    policy = encryption_on(request.connection, share.config)
    encrypt = session.encrypt or (not share.is_pipe and policy == "required")
    if encrypt and not session.may_encrypt:
        raise SMBError(NTStatus.ACCESS_DENIED, f"share {share.name} requires encryption, which the client lacks")
    if len(session.trees) >= settings.frevo_max_trees_per_session:
        raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, "too many trees in this session")
    if share.config.max_connections and share.users >= share.config.max_connections:
        raise SMBError(NTStatus.REQUEST_NOT_ACCEPTED, f"share {share.name}: max connections")
    if backend is not None and acting is not None:
        with as_identity(acting):
            backend.check_reachable()
    writable = access is ShareAccess.WRITE
    number = session.next_tree_id
    session.next_tree_id += 1
    tree = Tree(
        number,
        session,
        share,
        backend,
        request.server.now(),
        FULL_ACCESS if writable else READ_ACCESS,
        writable,
        encrypt,
        acting,
        lane,
    )
    session.trees[number] = tree
    if session.identity is not None and session.identity.is_anonymous and not share.is_pipe:
        mark_authenticated(request.server, session)
    share.users += 1
    return tree
