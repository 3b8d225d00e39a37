"""What is wrong with a configuration: one record per problem, and the list that loading fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from frevo.errors import FrevoError

#: Further problems are counted, not kept.
PROBLEMS_MAX = 1000


class ConfigProblem(msgspec.Struct, frozen=True):
    """One problem: where it is (line 0: the whole file), and what it is.

    An error costs the share that it is about, or the whole file where it is about [global].
    """

    file: str
    line: int
    key: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" `{self.key}`:" if self.key else ""
        return f"{place}: {self.severity}:{key} {self.message}"


class ConfigErrors(FrevoError):
    """A configuration cannot be used; `problems` says why (errors and warnings, in the order found)."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Place(Protocol):
    """Anything with a position in a configuration file."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def key(self) -> str: ...


class Problems:
    """Collects problems while a configuration is read; `failed` when what they are about cannot be used."""

    def __init__(self, items: list[ConfigProblem] | None = None) -> None:
        self.items: list[ConfigProblem] = [] if items is None else items
        self.failed = False

    def of_share(self) -> Problems:
        """The same list, but an error spoils one share only."""
        return Problems(self.items)

    def error(self, file: str, line: int, key: str, message: str) -> None:
        """Note something for which the file, or the share, cannot be used."""
        self.failed = True
        self._add(ConfigProblem(file, line, key, message))

    def warning(self, file: str, line: int, key: str, message: str) -> None:
        """Note something that deserves a word but does no harm."""
        self._add(ConfigProblem(file, line, key, message, "warning"))

    def at(self, place: Place, message: str) -> None:
        """Note an error at *place*."""
        self.error(place.file, place.line, place.key, message)

    def warn_at(self, place: Place, message: str) -> None:
        """Note a warning at *place*."""
        self.warning(place.file, place.line, place.key, message)

    def _add(self, problem: ConfigProblem) -> None:
        if len(self.items) < PROBLEMS_MAX:
            self.items.append(problem)
