"""Config: the whole configuration, frozen; what the server hands down and replaces on reload."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from frevo.config.global_keys import GLOBAL_KEYS, GlobalConfig
from frevo.config.key import Key
from frevo.config.macros import expand
from frevo.config.problem import ConfigProblem
from frevo.config.share_keys import SHARE_KEYS, ShareConfig


class Change(msgspec.Struct, frozen=True):
    """One key that differs between two configurations; `restart` when SIGHUP alone does not take it."""

    section: str
    key: str
    old: str
    new: str
    restart: bool

    def __str__(self) -> str:
        note = " (takes effect after a restart)" if self.restart else ""
        return f"[{self.section}] {self.key}: {self.old or '(nothing)'} -> {self.new or '(nothing)'}{note}"


class Config(msgspec.Struct, frozen=True):
    """`globals` and `shares` (by lower-case name), with their file and the messages about it.

    `unserved` names the shares that are left out because of an error in `problems`. `positions` says where a value
    stands: (lower-case share or "global", attribute) to file, line and key.
    """

    globals: GlobalConfig = msgspec.field(default_factory=GlobalConfig)
    shares: Mapping[str, ShareConfig] = msgspec.field(default_factory=lambda: MappingProxyType({}))
    source: str = ""
    problems: tuple[ConfigProblem, ...] = ()
    unserved: tuple[str, ...] = ()
    positions: Mapping[tuple[str, str], ConfigProblem] = msgspec.field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def warnings(self) -> tuple[ConfigProblem, ...]:
        """The problems that cost nothing."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def share(self, name: str) -> ShareConfig | None:
        """The share that clients call *name*; case is ignored."""
        return self.shares.get(name.lower())

    def expand(self, text: str, **values: str) -> str:
        """*text* with its %-macros replaced; see frevo.config.macros.expand for the names of *values*."""
        return expand(text, server=self.globals.netbios_name, **values)

    def with_globals(self, **values: Any) -> Config:
        """A copy with attributes of `globals` replaced (for command line options and tests)."""
        return replace(self, globals=replace(self.globals, **values))

    def with_share(self, share: ShareConfig) -> Config:
        """A copy with *share* added or replaced."""
        shares = MappingProxyType({**self.shares, share.name.lower(): share})
        return replace(self, shares=shares)


def diff(old: Config, new: Config) -> list[Change]:
    """What a reload from *old* to *new* changes, key by key; a share that comes or goes is one change."""
    changes = _differences("global", old.globals, new.globals, GLOBAL_KEYS)
    changes += _differences("global", old.globals.defaults, new.globals.defaults, SHARE_KEYS)
    for name in sorted({*old.shares, *new.shares}):
        before, after = old.shares.get(name), new.shares.get(name)
        if before is None or after is None:
            texts = [f"share {share.path}" if share else "" for share in (before, after)]
            changes.append(Change(name, "path", texts[0], texts[1], False))
        else:
            changes += _differences(after.name, before, after, SHARE_KEYS)
    return changes


def _differences(section: str, old: object, new: object, keys: tuple[Key, ...]) -> list[Change]:
    changes = []
    for key in keys:
        before, after = getattr(old, key.attribute), getattr(new, key.attribute)
        if before != after:
            texts = (key.kind.format(before), key.kind.format(after))
            changes.append(Change(section, key.name, *texts, key.restart))
    return changes
