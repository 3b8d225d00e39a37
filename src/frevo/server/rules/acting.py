"""The Unix user that a session acts as on disk: decided at log-on for the account, at TREE_CONNECT for the share.

The keys are Samba's: `guest account`, `guest only`, `force user`, `force group`, `admin users`; `username map` has
already been applied (frevo.auth). docs/unix-users.md describes it for administrators.
"""

from __future__ import annotations

import logging
import os
import pwd
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo import nss
from frevo.config import Config, expand
from frevo.config.access import GROUP_SIGNS, is_named
from frevo.errors import SMBError
from frevo.server.core.unix_users import UnixUser, UnixUsers, acts_as_users
from frevo.server.rules.session_macros import fill, person
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.aio.acting import UnixIdentity
    from frevo.server.core.server import Server
    from frevo.server.core.shares import Share
    from frevo.server.core.state import Session

log = logging.getLogger("frevo.server")


def who_acts(config: Config) -> str:
    """One sentence about the user that sessions act as on disk; empty for the server of an ordinary user, as that is
    obvious."""
    if acts_as_users(config):
        return "Running as root: each session accesses the disk as its own Unix user (frevo:unix users)."
    if os.geteuid() != 0:
        return ""
    return "This server runs as root, and EVERY user accesses the disk as root (frevo:unix users = no)."


def check_log_on(server: Server, session: Session) -> None:
    """Finds the Unix user of a session that has just logged on.

    Raises LOGON_FAILURE if there is none, and no share could determine one.
    """
    identity, users = session.identity, server.unix_users
    assert identity is not None
    if users is None:
        session.unix = None
        return
    name = server.config.globals.guest_account if is_guest(session) else identity.account
    session.unix = users.find(name)
    if session.unix is not None or is_guest(session) or _somebody_else_can_act(server):
        return
    ways = "create it (useradd), map it with `username map` or `force user`, or set `frevo:unix users = no`"
    sentence = f"no Unix user {name!r} for this account: {ways}"
    log.warning("%s: log-on of %s refused: %s", session.connection.peer, identity.account, sentence)
    raise SMBError(NTStatus.LOGON_FAILURE, sentence)


def is_guest(session: Session) -> bool:
    """Whether the session belongs to a guest or an anonymous user."""
    identity = session.identity
    return identity is not None and (identity.is_guest or identity.is_anonymous)


def counts_as_guest(server: Server, session: Session, share: Share) -> bool:
    """Whether the session has the rights of guests. So does an account without a Unix user if guests are allowed and
    the share does not determine who acts for it."""
    if is_guest(session):
        return True
    if share.config.force_user:
        return False
    return server.unix_users is not None and session.unix is None and _maps_to_guest(server)


def _maps_to_guest(server: Server) -> bool:
    return server.config.globals.map_to_guest != "never"


def _somebody_else_can_act(server: Server) -> bool:
    shares = (share.config for share in server.shares.values())
    return _maps_to_guest(server) or any(
        config.force_user or (config.guest_only and config.guest_ok) for config in shares
    )


def identity_on(server: Server, session: Session, share: Share) -> UnixIdentity | None:
    """Who acts for *session* on *share*; None: the server's own user. ACCESS_DENIED if there is no one."""
    if share.is_pipe:
        return None
    try:
        return _identity_on(server, session, share)
    except SMBError as error:
        log.warning("%s: share %s: %s", session.connection.peer, share.name, error)
        raise


def _identity_on(server: Server, session: Session, share: Share) -> UnixIdentity | None:
    users, settings, account = server.unix_users, share.config, session.identity
    assert account is not None
    forced = _expanded(server, session, share, settings.force_user)
    group = _expanded(server, session, share, settings.force_group)
    if users is None:
        _check_own(forced)
        return None
    user = session.unix
    if counts_as_guest(server, session, share) or settings.guest_only:
        user = users.find(server.config.globals.guest_account)
    admin = user is not None and _is_admin(server, users, session, share, user)
    if forced:
        user = users.find(forced.rpartition("\\")[2])
        named = user is not None and _is_admin(server, users, session, share, user)
        admin = named or (admin and user is not None and user.identity.uid == 0)
    if user is None:
        name = forced or (
            server.config.globals.guest_account
            if counts_as_guest(server, session, share)
            else account.account
        )
        raise _denied(f"no Unix user {name!r} to act as")
    if admin:
        user = users.superuser(user)
    elif user.identity.uid == 0:
        raise _denied(f"{user.name!r} is root, and only users in `admin users` may act as root")
    return _with_group(users, user, group).identity


def _is_admin(server: Server, users: UnixUsers, session: Session, share: Share, user: UnixUser) -> bool:
    """Whether `admin users` contains *user*, who acts on disk for *session*. Entries are read as in `valid users`."""
    settings = share.config
    if is_guest(session) or not settings.admin_users:
        return False
    who = person(session, server.config, settings, user.name, (settings.admin_users,), share.name)
    names = (
        expand(entry.lstrip(GROUP_SIGNS), **who.macros).rpartition("\\")[2]
        for entry in settings.admin_users
        if entry.startswith(tuple(GROUP_SIGNS))
    )
    who = replace(who, groups=frozenset(name.lower() for name in names if users.is_member(user, name)))
    return is_named(settings.admin_users, who, share.name)


def _with_group(users: UnixUsers, user: UnixUser, name: str) -> UnixUser:
    """*user* with the group of `force group`; `+name` applies to its members only."""
    gid = users.group(name.lstrip("+").rpartition("\\")[2]) if name else None
    if not name:
        return user
    if gid is None:
        raise _denied(f"no Unix group {name.lstrip('+')!r} (`force group`)")
    member = gid == user.identity.gid or gid in user.identity.groups
    return users.in_group(user, gid) if member or not name.startswith("+") else user


def _check_own(forced: str) -> None:
    """Raises ACCESS_DENIED if `force user` is not the server's own user, the only one it can act as."""
    own = os.geteuid()
    if forced and not _is_user(forced.rpartition("\\")[2], own):
        fix = "run it as root with `frevo:unix users = auto`"
        raise _denied(f"`force user = {forced}`, but this server acts as user {own} for everyone: {fix}")


def _is_user(name: str, uid: int) -> bool:
    try:
        return nss.look_up(pwd.getpwnam, name).pw_uid == uid
    except (KeyError, ValueError):
        return False


def _expanded(server: Server, session: Session, share: Share, text: str) -> str:
    """The value of a key, with macros expanded for this session."""
    return fill(text, session, server.config, share.config)


def _denied(sentence: str) -> SMBError:
    return SMBError(NTStatus.ACCESS_DENIED, sentence)
