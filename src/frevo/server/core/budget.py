"""Budgets: what the server has only so much of, and how much of it each user may take.

One rule for all of them: there is a limit in all, and one user may hold at most as much as is left for the others.
The first one so gets half, the next half of the rest; nobody takes everything, and nobody has to be told a number.
A user is an account; all null sessions are one user together, and so are all guests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from frevo.errors import SMBError
from frevo.transport.base import descriptor_shares
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.auth.identity import Identity
    from frevo.config import Config

#: The users that are no account; the parentheses are no part of any account's name.
NOBODY, GUEST = "(null session)", "(guest)"


def user_of(identity: Identity) -> str:
    """Who an identity counts as."""
    if identity.is_anonymous:
        return NOBODY
    return GUEST if identity.is_guest else identity.account.casefold()


class Budget:
    """How much there is of one thing, and who has how much."""

    __slots__ = ("_by_user", "limit", "name", "total")

    def __init__(self, name: str, limit: int = 0) -> None:
        self.name = name
        #: How much there is in all.
        self.limit = limit
        #: How much of it is taken.
        self.total = 0
        self._by_user: dict[str, int] = {}

    def of(self, user: str) -> int:
        """How much *user* has."""
        return self._by_user.get(user, 0)

    def room(self, user: str, count: int = 1) -> bool:
        """Whether *user* may take *count* more: then as much as it has is still free."""
        return self._by_user.get(user, 0) + count <= self.limit - self.total - count

    def check(self, user: str, count: int = 1) -> None:
        """Raises INSUFFICIENT_RESOURCES when there is no room."""
        if not self.room(user, count):
            self._refuse(user)

    def reserve(self, user: str) -> None:
        """`check` and `take` of one."""
        held = self._by_user.get(user, 0) + 1
        if held >= self.limit - self.total:
            self._refuse(user)
        self._by_user[user] = held
        self.total += 1

    def take(self, user: str, count: int = 1) -> None:
        """Counts what *user* has, whether or not there is room: that was asked for with `check` or `room`."""
        self._by_user[user] = self._by_user.get(user, 0) + count
        self.total += count

    def _refuse(self, user: str) -> NoReturn:
        raise SMBError(
            NTStatus.INSUFFICIENT_RESOURCES,
            f"{user} has {self.of(user)} of {self.total} {self.name}; the limit is {self.limit}",
        )

    def give(self, user: str, count: int = 1) -> None:
        """Counts that it is free again."""
        left = self._by_user[user] - count
        if left:
            self._by_user[user] = left
        else:
            del self._by_user[user]
        self.total -= count

    def users(self) -> Iterator[tuple[str, int]]:
        """Every user with what it has."""
        return iter(self._by_user.items())


class Budgets:
    """All budgets of a server."""

    def __init__(self, config: Config) -> None:
        self._numbers: dict[str, int] = {}
        self.connections = Budget("connections")
        self.sessions = Budget("sessions")
        #: Descriptors of opens; the rest of the process's are for connections.
        self.descriptors = Budget("descriptors", descriptor_shares()[1])
        self.pipes = Budget("pipes")
        self.pipe_bytes = Budget("bytes in pipes")
        self.watches = Budget("watches")
        self.folders = Budget("watched folders")
        self.waiting = Budget("waiting requests")
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Takes the limits of *config*. Users who have more than that keep it."""
        settings = config.globals
        self.connections.limit = min(settings.frevo_max_connections, descriptor_shares()[0])
        self.sessions.limit = settings.frevo_max_sessions
        self.pipes.limit = settings.frevo_max_pipes
        self.pipe_bytes.limit = settings.frevo_max_pipe_bytes
        self.watches.limit = settings.frevo_max_watches
        self.folders.limit = settings.frevo_max_watched_folders
        self.waiting.limit = settings.frevo_max_waiting_requests

    def number_of(self, user: str) -> int:
        """What the data plane calls *user*: 0 are null sessions, who are nobody."""
        return 0 if user == NOBODY else self._numbers.setdefault(user, len(self._numbers) + 1)

    def all(self) -> tuple[Budget, ...]:
        """Every budget."""
        return (
            self.connections, self.sessions, self.descriptors, self.pipes, self.pipe_bytes, self.watches,
            self.folders, self.waiting,
        )  # fmt: skip

    def by_user(self) -> dict[str, dict[str, int]]:
        """What each user has, by the budget's name."""
        found: dict[str, dict[str, int]] = {}
        for budget in self.all():
            for user, count in budget.users():
                found.setdefault(user, {})[budget.name] = count
        return found
