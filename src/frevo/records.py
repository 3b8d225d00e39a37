"""Redacted: a record that keeps some of its fields out of its printed form.

Records are `msgspec.Struct`s (docs/decisions/0007-records.md), which have no `repr=False` for a single field.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Redacted:
    """Mixed into a `msgspec.Struct`: the fields named in `HIDDEN` (secrets, long buffers) are in no repr."""

    __slots__ = ()

    HIDDEN: ClassVar[tuple[str, ...]]
    __struct_fields__: ClassVar[tuple[str, ...]]

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What `rich` and `__repr__` show: (name, value) of the fields that are not hidden."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.HIDDEN]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"
