"""Unix users and groups by name, as identities that threads can act as; answers are cached for a bounded time.

Look-ups may have to wait for a directory service, so they run in threads (frevo.nss), and only for log-on and
TREE_CONNECT, never for requests on files.
"""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from frevo import nss
from frevo.aio.acting import UnixIdentity
from frevo.config import Config

#: Seconds that a result is cached.
AGE_S = 60.0
#: Most cached results: clients choose the names.
KEPT_MAX = 4096

_K = TypeVar("_K")
_V = TypeVar("_V")


class UnixUser(msgspec.Struct, frozen=True):
    """A user of this system: the name, and the identity that threads take."""

    name: str
    identity: UnixIdentity


class UnixUsers:
    """The users and groups of this system."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._users: _Remembered[str, UnixUser | None] = _Remembered(_look_up, clock)
        self._groups: _Remembered[str, int | None] = _Remembered(_group, clock)
        #: One object for each set of credentials, so that a thread that already has the identity changes nothing.
        self._identities: dict[tuple[int, int, tuple[int, ...]], UnixIdentity] = {}

    def find(self, name: str) -> UnixUser | None:
        """The user *name*, or else *name* in lower case; None if there is none."""
        user = self._users.get(name)
        return None if user is None else self._same(user.name, user.identity)

    def group(self, name: str) -> int | None:
        """The GID of the group *name*; None if there is none."""
        return self._groups.get(name)

    def superuser(self, user: UnixUser) -> UnixUser:
        """*user* with root's rights."""
        return self._shared(user.name, 0, 0, ())

    def in_group(self, user: UnixUser, gid: int) -> UnixUser:
        """*user* with *gid* as the group of new files, and a member of it."""
        who = user.identity
        return self._shared(user.name, who.uid, gid, (*who.groups, gid))

    def is_member(self, user: UnixUser, group: str) -> bool:
        """Whether *user* is in the group *group*."""
        gid = self.group(group)
        return gid is not None and (gid == user.identity.gid or gid in user.identity.groups)

    def _same(self, name: str, who: UnixIdentity) -> UnixUser:
        return self._shared(name, who.uid, who.gid, who.groups)

    def _shared(self, name: str, uid: int, gid: int, groups: Iterable[int]) -> UnixUser:
        key = (uid, gid, tuple(sorted(set(groups))))
        identity = self._identities.get(key)
        if identity is None:
            if (
                len(self._identities) >= KEPT_MAX
            ):  # threads with an old identity continue; the next look-up makes a new object
                self._identities.clear()
            identity = self._identities[key] = UnixIdentity(uid, gid, list(key[2]))
        return UnixUser(name, identity)


class _Remembered(Generic[_K, _V]):
    """The results of *ask* in the last `AGE_S` seconds."""

    def __init__(self, ask: Callable[[_K], _V], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: dict[_K, tuple[float, _V]] = {}

    def get(self, question: _K) -> _V:
        known, now = self._answers.get(question), self._clock()
        if known is not None and now - known[0] < AGE_S:
            return known[1]
        answer = self._ask(question)
        if len(self._answers) >= KEPT_MAX:
            self._answers.clear()
        self._answers[question] = (now, answer)
        return answer


def _look_up(name: str) -> UnixUser | None:
    for spelling in dict.fromkeys((name, name.lower())):
        try:
            entry = nss.look_up(pwd.getpwnam, spelling)
        except (KeyError, ValueError):  # there is none, or this is no valid name
            continue
        groups = nss.look_up(os.getgrouplist, entry.pw_name, entry.pw_gid)
        return UnixUser(entry.pw_name, UnixIdentity(entry.pw_uid, entry.pw_gid, groups))
    return None


def _group(name: str) -> int | None:
    try:
        return nss.look_up(grp.getgrnam, name).gr_gid
    except (KeyError, ValueError):
        return None


def acts_as_users(config: Config) -> bool:
    """Whether every session acts on disk as its own Unix user (`frevo:unix users`)."""
    wish = config.globals.frevo_unix_users
    return wish == "yes" or (wish == "auto" and os.geteuid() == 0)


def unix_users_of(config: Config) -> UnixUsers | None:
    """The users that sessions act as; None if all of them act as the server's own user."""
    return UnixUsers() if acts_as_users(config) else None
