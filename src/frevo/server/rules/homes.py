"""`[homes]`: a share for each user, made when somebody connects to the user's name, as Samba does.

The share is called as its user and stands for `path` of [homes] (mostly with %S), else for the user's Unix home. Who
may use it is said by the keys of [homes]; `valid users = %S` keeps everybody to his own. `\\\\server\\homes` is one's
own. A name is a share only when somebody of that name can log on here, so that system users have none.
"""

from __future__ import annotations

import logging
import pwd
from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frevo.server.core.shares import HOMES, Share

if TYPE_CHECKING:
    from frevo.config import Config
    from frevo.server.core.state import Session
    from frevo.server.service import Server

log = logging.getLogger("frevo.server")

#: Homes that are kept while nobody uses them.
KEPT_MAX = 256


class Homes:
    """The homes of a server: made when asked for, kept while they are used."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._made: OrderedDict[str, Share] = OrderedDict()  # by the user's name
        self.take(server.config)

    def take(self, config: Config) -> None:
        """Takes a new configuration: connected trees keep their share."""
        self._template = config.shares.get(HOMES)
        self._browseable = config.globals.defaults.browseable
        self.close()

    def find(self, session: Session, name: str) -> Share | None:
        """The home that *session* means by *name*; None when there is none."""
        if self._template is None or not self._template.available:
            return None
        own = self._own_name(session)
        if own and name.casefold() in (HOMES, own.casefold(), _account(session).casefold()):
            return self._share(own, own=True)
        account = self._server.authenticator.accounts.lookup(name)
        return None if account is None else self._share(account.name, own=False)

    def listed(self, session: Session) -> list[Share]:
        """The home that a list of shares shows to *session*: its own, or none."""
        own = self._own_name(session)
        if self._template is None or not own or own.casefold() in self._server.shares:
            return []
        share = self._share(own, own=True)
        return [] if share is None else [share]

    def in_use(self) -> tuple[Share, ...]:
        """The homes that there are."""
        return tuple(self._made.values())

    def _own_name(self, session: Session) -> str:
        """The Unix user of the session, or its account when it has none; "" for guests."""
        identity = session.identity
        if identity is None or identity.is_guest or identity.is_anonymous:
            return ""
        return session.unix.name if session.unix is not None else identity.account

    def _share(self, user: str, *, own: bool) -> Share | None:
        template = self._template
        assert template is not None
        entry = unix_entry(user)
        name = entry.pw_name if entry is not None else user
        path, owner = template.path, None
        if not path:
            if entry is None or not self._may_be_shared(entry, own=own):
                return None
            path, owner = entry.pw_dir.replace("%", "%%"), entry.pw_uid
        made = self._made.get(name)
        if made is not None and (made.path, made.home_of) != (path, owner):
            self._forget(name)
            made = None
        if made is None:
            settings = replace(
                template,
                name=name,
                path=path,
                comment=template.comment or f"Home directory of {name}",
                browseable=self._browseable,
            )
            made = self._made[name] = Share(
                name,
                settings,
                guard=self._server.guard,
                acted=self._server.unix_users is not None,
                home_of=owner,
            )
            self._forget_unused()
        self._made.move_to_end(name)
        return made

    def _may_be_shared(self, entry: pwd.struct_passwd, *, own: bool) -> bool:
        """Whether the Unix home may be a share at all, for the user himself (*own*) or for others.

        Where everybody acts as the server's own user, file modes keep nobody apart: each has his own home only.
        """
        if not entry.pw_dir.startswith("/"):
            return False
        return own or (entry.pw_uid != 0 and self._server.unix_users is not None)

    def _forget_unused(self) -> None:
        for name, share in tuple(self._made.items()):
            if len(self._made) <= KEPT_MAX:
                return
            if not share.users:
                self._forget(name)

    def _forget(self, name: str) -> None:
        """The next who comes gets another share; who is connected keeps the one that there is."""
        share = self._made.pop(name)
        if not share.users:
            share.close()

    def close(self) -> None:
        """Closes the homes that nobody uses and forgets all."""
        for name in tuple(self._made):
            self._forget(name)


def _account(session: Session) -> str:
    return session.identity.account if session.identity is not None else ""


def unix_entry(name: str) -> pwd.struct_passwd | None:
    """The Unix user called *name*, else *name* in lower case."""
    for spelling in dict.fromkeys((name, name.lower())):
        try:
            return pwd.getpwnam(spelling)
        except (KeyError, ValueError):
            continue
    return None
