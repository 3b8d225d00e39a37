"""`[homes]`: a share for each user, created when a client connects to the name of the user, as in Samba.

The share has the name of its user and is `path` of [homes] (usually with %S), or the Unix home of the user. The keys of
[homes] determine who may use it; with `valid users = %S`, users can only use their own. `\\\\server\\homes` is the
user's own home. Only users who can log on have one, so system users have none.
"""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo import nss
from frevo.server.core.shares import HOMES, Share

if TYPE_CHECKING:
    from frevo.config import ShareConfig
    from frevo.server.core.server import Server
    from frevo.server.core.state import Session

#: Most unused homes that are kept.
KEPT_MAX = 256


def find_home(server: Server, session: Session, name: str) -> Share | None:
    """The home that *name* means for *session*; None if there is none."""
    template = server.config.shares.get(HOMES)
    if template is None or not template.available:
        return None
    own = _own_name(session)
    if own and name.casefold() in (HOMES, own.casefold(), _account(session).casefold()):
        return _share(server, template, own, own=True)
    account = server.authenticator.accounts.lookup(name)
    return None if account is None else _share(server, template, account.name, own=False)


def listed_homes(server: Server, session: Session) -> list[Share]:
    """The home in the list of shares for *session*: its own, or none."""
    template, own = server.config.shares.get(HOMES), _own_name(session)
    if template is None or not own or own.casefold() in server.shares:
        return []
    share = _share(server, template, own, own=True)
    return [] if share is None else [share]


def forget_homes(server: Server) -> None:
    """Closes unused homes and forgets all of them; connected trees keep their share."""
    for name in tuple(server.homes):
        _forget(server, name)


def _own_name(session: Session) -> str:
    """The Unix user of the session, or its account if it has none; "" for guests."""
    identity = session.identity
    if identity is None or identity.is_guest or identity.is_anonymous:
        return ""
    return session.unix.name if session.unix is not None else identity.account


def _share(server: Server, template: ShareConfig, user: str, *, own: bool) -> Share | None:
    entry = unix_entry(user)
    name = entry.pw_name if entry is not None else user
    path, owner = template.path, None
    if not path:
        if entry is None or not _may_be_shared(server, entry, own=own):
            return None
        path, owner = entry.pw_dir.replace("%", "%%"), entry.pw_uid
    made = server.homes.get(name)
    if made is not None and (made.path, made.home_of) != (path, owner):
        _forget(server, name)
        made = None
    if made is None:
        settings = replace(
            template,
            name=name,
            path=path,
            comment=template.comment or f"Home directory of {name}",
            browseable=server.config.globals.defaults.browseable,
        )
        acted = server.unix_users is not None
        made = server.homes[name] = Share(name, settings, guard=server.guard, acted=acted, home_of=owner)
        _forget_unused(server)
    server.homes.move_to_end(name)
    return made


def _may_be_shared(server: Server, entry: pwd.struct_passwd, *, own: bool) -> bool:
    """Whether the Unix home may be a share, only for its user (*own*) or for others, too.

    If everyone acts as the server's own user, file modes do not protect anything, so users can only use their own home.
    """
    if not entry.pw_dir.startswith("/"):
        return False
    return own or (entry.pw_uid != 0 and server.unix_users is not None)


def _forget_unused(server: Server) -> None:
    for name, share in tuple(server.homes.items()):
        if len(server.homes) <= KEPT_MAX:
            return
        if not share.users:
            _forget(server, name)


def _forget(server: Server, name: str) -> None:
    """The next connect creates another share; connected trees keep this one."""
    share = server.homes.pop(name)
    if not share.users:
        share.close()


def _account(session: Session) -> str:
    return session.identity.account if session.identity is not None else ""


def unix_entry(name: str) -> pwd.struct_passwd | None:
    """The Unix user *name*, or else *name* in lower case."""
    for spelling in dict.fromkeys((name, name.lower())):
        try:
            return nss.look_up(pwd.getpwnam, spelling)
        except (KeyError, ValueError):
            continue
    return None
