"""One result of `frevo doctor`, and helpers that read small kernel files."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict


class State(enum.StrEnum):
    """The result of a check."""

    #: Works.
    OK = "ok"
    #: Not there; frevo does without it or uses something slower.
    LIMITED = "limited"
    #: Not there, and frevo needs it: the exit code of `frevo doctor` is 1.
    FAILED = "failed"


class Check(msgspec.Struct, frozen=True):
    """One check and its result."""

    group: str
    name: str
    state: State
    #: What was found, and why when something is missing; one sentence.
    text: str
    #: What a person can do about it: a command or a sentence; empty when there is nothing to do.
    fix: str = ""
    #: The same for programs.
    data: dict[str, Any] = msgspec.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The check as JSON values."""
        return asdict(self)


def guarded(name: str, check: Callable[[], list[Check]]) -> list[Check]:
    """The results of *check*; an exception becomes a result as well, never a traceback."""
    try:
        return check()
    except Exception as error:
        text = f"could not be checked: {type(error).__name__}: {error}"
        return [Check("other", name, State.LIMITED, text)]


def read_text(path: str) -> str:
    """The stripped contents of a small file; empty if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def read_number(path: str) -> int | None:
    """The number in a small file; None if there is none."""
    text = read_text(path)
    return int(text) if text.isdigit() else None
