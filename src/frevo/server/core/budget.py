"""Budgets: scarce resources of the server, and how much of them each user may hold.

One rule for all: each resource has a total limit, and one user may hold at most as much as is left for the others. So
the first user gets at most half, the next half of the rest, and so on; nobody can take everything, and no limit per
user has to be configured. A user is an account; all null sessions count as one user, and so do all guests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frevo.errors import SMBError
from frevo.transport.base import descriptor_shares
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.auth.identity import Identity
    from frevo.config import Config

#: Users without an account; no account name contains parentheses.
NOBODY, GUEST = "(null session)", "(guest)"


def user_of(identity: Identity) -> str:
    """The user that an identity counts as."""
    if identity.is_anonymous:
        return NOBODY
    return GUEST if identity.is_guest else identity.account.casefold()


class Budget:
    """One resource: its limit, and how much of it each user holds."""

    __slots__ = ("_by_user", "limit", "name", "total")

    def __init__(self, name: str, limit: int = 0) -> None:
        self.name = name
        #: The limit for all users together.
        self.limit = limit
        #: What all users hold together.
        self.total = 0
        self._by_user: dict[str, int] = {}

    def of(self, user: str) -> int:
        """How much *user* holds."""
        return self._by_user.get(user, 0)

    def room(self, user: str, count: int = 1) -> bool:
        """Whether *user* may take *count* more: it would then hold no more than is still free."""
        return self._by_user.get(user, 0) + count <= self.limit - self.total - count

    def check(self, user: str, count: int = 1) -> None:
        """Raises INSUFFICIENT_RESOURCES if there is no room."""
        if not self.room(user, count):
            raise SMBError(
                NTStatus.INSUFFICIENT_RESOURCES,
                f"{user} has {self.of(user)} of {self.total} {self.name}; the limit is {self.limit}",
            )

    def reserve(self, user: str) -> None:
        """`check` and `take` of one."""
        self.check(user)
        self.take(user)

    def take(self, user: str, count: int = 1) -> None:
        """Takes *count*, unchecked: `check` and `room` tell whether there is room."""
        self._by_user[user] = self._by_user.get(user, 0) + count
        self.total += count

    def give(self, user: str, count: int = 1) -> None:
        """Frees *count* that *user* holds."""
        left = self._by_user[user] - count
        if left:
            self._by_user[user] = left
        else:
            del self._by_user[user]
        self.total -= count

    def users(self) -> Iterator[tuple[str, int]]:
        """(user, how much it holds) of every user."""
        return iter(self._by_user.items())


class Budgets:
    """All budgets of a server."""

    def __init__(self, config: Config) -> None:
        self._numbers: dict[str, int] = {}
        self.connections = Budget("connections")
        self.sessions = Budget("sessions")
        #: Descriptors of opens; the other descriptors of the process are for connections.
        self.descriptors = Budget("descriptors", descriptor_shares()[1])
        self.pipes = Budget("pipes")
        self.pipe_bytes = Budget("bytes in pipes")
        self.watches = Budget("watches")
        self.folders = Budget("watched folders")
        self.waiting = Budget("waiting requests")
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Takes the limits of *config*. Users keep what they hold, even above a new limit."""
        settings = config.globals
        self.connections.limit = min(settings.frevo_max_connections, descriptor_shares()[0])
        self.sessions.limit = settings.frevo_max_sessions
        self.pipes.limit = settings.frevo_max_pipes
        self.pipe_bytes.limit = settings.frevo_max_pipe_bytes
        self.watches.limit = settings.frevo_max_watches
        self.folders.limit = settings.frevo_max_watched_folders
        self.waiting.limit = settings.frevo_max_waiting_requests

    def number_of(self, user: str) -> int:
        """The number of *user* in the data plane; 0 for null sessions."""
        return 0 if user == NOBODY else self._numbers.setdefault(user, len(self._numbers) + 1)

    def all(self) -> tuple[Budget, ...]:
        """Every budget."""
        return (
            self.connections, self.sessions, self.descriptors, self.pipes, self.pipe_bytes, self.watches,
            self.folders, self.waiting,
        )  # fmt: skip

    def by_user(self) -> dict[str, dict[str, int]]:
        """What each user holds, by the name of the budget."""
        found: dict[str, dict[str, int]] = {}
        for budget in self.all():
            for user, count in budget.users():
                found.setdefault(user, {})[budget.name] = count
        return found
