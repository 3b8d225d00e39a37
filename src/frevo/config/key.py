"""One key of the configuration table: the field of a frozen record, so that mypy sees its type.

`setting(...)` stands on the right of a field of `GlobalConfig` or `ShareConfig`; `keys_of(cls)` reads the
table back. The attribute gives the name: `server_string` is `server string`, `frevo_fast_path` is `frevo:fast
path`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import fields, replace

from frevo.config.types import ValueType

T = TypeVar("T")


class Key(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    attribute: str
    scope: str  # "global" or "share"; a share key in [global] is the default of every share
    kind: ValueType[Any]
    unit: str
    default: Callable[[], Any]
    default_text: str
    sentence: str
    synonyms: tuple[str, ...]
    inverses: tuple[str, ...]  # boolean synonyms that mean the opposite
    restart: bool  # a change is taken only at the next start, not on SIGHUP
    lenient: bool  # an ill-typed value is passed over with a warning: the default gives no more access
    guards: (
        Callable[[Any], bool] | None
    )  # whether a value takes access away: a misspelt name is an error then

    @property
    def frevo_own(self) -> bool:
        """Whether the key is frevo's, not one that Samba has too."""
        return self.name.startswith("frevo:")

    def shown_default(self) -> str:
        """The default as text for people."""
        return self.default_text or self.kind.format(self.default())


class _Default(msgspec.Struct, frozen=True):
    """The factory of a field's default, which brings the field's row along."""

    row: Key

    def __call__(self) -> Any:
        return self.row.default()


def normal(name: str) -> str:
    """The form in which key names are compared: lower case without blanks (`Read  Only` is `readonly`)."""
    return "".join(name.lower().split())


def setting(
    kind: ValueType[T],
    default: T | Callable[[], T],
    sentence: str,
    *,
    unit: str = "",
    default_text: str = "",
    synonyms: tuple[str, ...] = (),
    inverses: tuple[str, ...] = (),
    restart: bool = False,
    lenient: bool = False,
    guards: Callable[[T], bool] | None = None,
) -> T:
    """Declare a key as a field of a record. A callable *default* is called at each load."""
    factory: Callable[[], T] = default if callable(default) else lambda: default
    row = Key(
        *("", "", ""),
        kind,
        unit,
        factory,
        default_text,
        sentence,
        synonyms,
        inverses,
        restart,
        lenient,
        guards,
    )
    declared: T = msgspec.field(default_factory=_Default(row))
    return declared


def keys_of(model: type[msgspec.Struct], scope: str) -> tuple[Key, ...]:
    """The rows that the fields of the record *model* declare, in order; inherited ones come last."""
    rows = []
    own = model.__annotations__
    for field in sorted(fields(model), key=lambda field: field.name not in own):
        if isinstance(field.default_factory, _Default):
            name = field.name.replace("_", " ")
            if name.startswith("frevo "):
                name = name.replace(" ", ":", 1)
            rows.append(replace(field.default_factory.row, name=name, attribute=field.name, scope=scope))
    return tuple(rows)
