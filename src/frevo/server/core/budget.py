"""Budgets: what the server has only so much of, and how much of it each user may take.

One rule for all of them: there is a limit in all, and one user may hold at most as much as is left for the others.
The first one so gets half, the next half of the rest; nobody takes everything, and nobody has to be told a number.
A user is an account; all null sessions are one user together, and so are all guests.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from frevo.errors import SMBError
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

    __slots__ = ("_by_user", "_limit", "_total", "name")

    def __init__(self, name: str, limit: Callable[[], int]) -> None:
        self.name = name
        self._limit = limit
        self._total = 0
        self._by_user: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How much is taken."""
        return self._total

    def of(self, user: str) -> int:
        """How much *user* has."""
        return self._by_user.get(user, 0)

    def room(self, user: str, count: int = 1) -> bool:
        """Whether *user* may take *count* more: then as much as it has is still free."""
        return self.of(user) + count <= self._limit() - self._total - count

    def check(self, user: str, count: int = 1) -> None:
        """Raises INSUFFICIENT_RESOURCES when there is no room."""
        held = self._by_user.get(user, 0)  # as `room`, in the way of every CREATE
        if held + count > self._limit() - self._total - count:
            raise SMBError(
                NTStatus.INSUFFICIENT_RESOURCES,
                f"{user} has {self.of(user)} of {self._total} {self.name}, {self._limit()} are all there are",
            )

    def take(self, user: str, count: int = 1) -> None:
        """Counts what was asked for with `check` before."""
        self._by_user[user] = self._by_user.get(user, 0) + count
        self._total += count

    def give(self, user: str, count: int = 1) -> None:
        """Counts that it is free again."""
        left = self._by_user[user] - count
        if left:
            self._by_user[user] = left
        else:
            del self._by_user[user]
        self._total -= count

    def users(self) -> Iterator[tuple[str, int]]:
        """Who has how much."""
        return iter(self._by_user.items())


class Budgets:
    """All budgets of a server. `config` gives the configuration in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        def key(name: str) -> Callable[[], int]:
            return lambda: int(getattr(config().globals, name))

        descriptors = descriptors_for_files()
        self._numbers: dict[str, int] = {}
        configured, possible = key("frevo_max_connections"), descriptors_for_connections()
        self.connections = Budget("connections", lambda: min(configured(), possible))
        self.sessions = Budget("sessions", key("frevo_max_sessions"))
        #: Descriptors of opens; the rest of the process's are for connections.
        self.descriptors = Budget("descriptors", lambda: descriptors)
        self.pipes = Budget("pipes", key("frevo_max_pipes"))
        self.pipe_bytes = Budget("bytes in pipes", key("frevo_max_pipe_bytes"))
        self.watches = Budget("watches", key("frevo_max_watches"))
        self.folders = Budget("watched folders", key("frevo_max_watched_folders"))
        self.waiting = Budget("waiting requests", key("frevo_max_waiting_requests"))

    def number_of(self, user: str) -> int:
        """What the data plane calls *user*: 0 are null sessions, who are nobody."""
        return 0 if user == NOBODY else self._numbers.setdefault(user, len(self._numbers) + 1)

    def all(self) -> tuple[Budget, ...]:
        """Each of them."""
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


def descriptors_for_connections() -> int:
    """A quarter of the descriptors that this process may have: more connections the data plane does not accept."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4


def descriptors_for_files() -> int:
    """Three quarters of the descriptors that this process may have; the data plane keeps connections to the rest."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4
