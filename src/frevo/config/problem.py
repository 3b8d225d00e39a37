"""Problems in a configuration: one record each, and the list that loading fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from frevo.errors import FrevoError

#: Further problems are dropped.
PROBLEMS_MAX = 1000


class ConfigProblem(msgspec.Struct, frozen=True):
    """One problem and its position; line 0 means the whole file.

    A share with an error is not served; an error in [global] makes the whole file unusable.
    """

    file: str
    line: int
    key: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}" if self.line else self.file
        key = f" `{self.key}`:" if self.key else ""
        return f"{position}: {self.severity}:{key} {self.message}"


class ConfigErrors(FrevoError):
    """A configuration cannot be used; `problems` says why (errors and warnings, in the order found)."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Position(Protocol):
    """Anything with a position in a configuration file."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def key(self) -> str: ...


class Problems:
    """Collects problems while a configuration is read. `failed`: the file, or the share, cannot be used."""

    def __init__(self, items: list[ConfigProblem] | None = None) -> None:
        self.items: list[ConfigProblem] = [] if items is None else items
        self.failed = False

    def of_share(self) -> Problems:
        """The same list with a `failed` of its own, for one share."""
        return Problems(self.items)

    def error(self, file: str, line: int, key: str, message: str) -> None:
        """Add an error: the file, or the share, cannot be used."""
        self.failed = True
        self._add(ConfigProblem(file, line, key, message))

    def warning(self, file: str, line: int, key: str, message: str) -> None:
        """Add a warning."""
        self._add(ConfigProblem(file, line, key, message, "warning"))

    def at(self, position: Position, message: str) -> None:
        """Add an error at *position*."""
        self.error(position.file, position.line, position.key, message)

    def warn_at(self, position: Position, message: str) -> None:
        """Add a warning at *position*."""
        self.warning(position.file, position.line, position.key, message)

    def _add(self, problem: ConfigProblem) -> None:
        if len(self.items) < PROBLEMS_MAX:
            self.items.append(problem)
