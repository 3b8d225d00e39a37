"""Entries of one section to typed values; errors and ignored entries are reported at their lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from frevo.config.key import Key, normal
from frevo.config.names import BY_NAME, INVERSES, key_at_start, meant_by, suggestion
from frevo.config.parser import Entry, readable
from frevo.config.problem import Position, Problems
from frevo.config.types import Boolean, OutOfRange, Path, split_words
from frevo.config.unsupported import OPTIONS, UNSUPPORTED, VFS_OBJECTS, Effect, Unsupported
from frevo.config.vfs_modules import judge

_VFS_OBJECTS = VFS_OBJECTS.partition(" |")[0]


class Outcome(msgspec.Struct, frozen=True):
    """The result of one entry: the key or parameter that it sets (`id`), and its value or its error.

    Of several entries with one id, the last one counts, whether valid or not.
    """

    id: str
    entry: Entry
    key: Key | None = None
    value: Any = None
    fault: str = ""


def outcomes(entries: Iterable[Entry], problems: Problems, *, scope: str) -> list[Outcome]:
    """The outcomes of those *entries* that belong to *scope*: `global` (the whole server) or `share`.

    [global] is read once for each. Warnings are reported here, faults are not.
    """
    found = []
    for entry in entries:
        name = normal(entry.key)
        key = BY_NAME.get(name)
        if key is not None:
            if key.scope == scope:
                found.append(_own(key, name, entry, problems))
        elif name in UNSUPPORTED:
            row = UNSUPPORTED[name]
            if row.scope == scope:
                found.append(_unsupported(row, entry, problems))
        elif ":" not in name or name.startswith("frevo:"):  # `module:option` goes with `vfs objects`
            outcome = _unknown(entry, scope, problems)
            if outcome is not None:
                found.append(outcome)
        elif scope == "share" and (option := OPTIONS.get(name) or OPTIONS.get(name.partition(":")[0])):
            found.append(replace(_unsupported(option, entry, problems), id=name))
    return found


def stray(entry: Entry, problems: Problems, *, scope: str) -> Outcome | None:
    """The outcome of a line without `=`: ignored, unless it looks like a key that restricts access."""
    spelling, rest = key_at_start(entry.key)
    fault = _loses(spelling, rest) if spelling and rest and scope_of(spelling) == scope else ""
    if fault:
        return Outcome(f"stray {spelling}", entry, fault=f"`=` is missing, and {fault}")
    if scope == "share":
        problems.warning(
            entry.file,
            entry.line,
            readable(entry.key[:40]),
            "expected `[section]` or `key = value`: ignored",
        )
    return None


def scope_of(spelling: str) -> str:
    """`global` or `share`: the scope of the key or parameter with this normalised spelling."""
    key = BY_NAME.get(spelling)
    return key.scope if key is not None else UNSUPPORTED[spelling].scope


def _own(key: Key, name: str, entry: Entry, problems: Problems) -> Outcome:
    try:
        value = parse(key, name, entry, problems)
    except OutOfRange as error:
        if key.frevo_own:
            return Outcome(key.attribute, entry, key, fault=str(error))
        problems.warn_at(entry, f"{error}: {error.nearest:g} is used")
        return Outcome(key.attribute, entry, key, type(key.default())(error.nearest))
    except ValueError as error:
        if key.lenient:
            problems.warn_at(entry, f"{error}: the default is used")
            return Outcome(key.attribute, entry, key, key.default())
        return Outcome(key.attribute, entry, key, fault=str(error))
    return Outcome(key.attribute, entry, key, value)


def parse(key: Key, name: str, entry: Entry, problems: Problems) -> Any:
    """The typed value of *entry* for *key*, spelt *name*; ValueError if invalid."""
    text = entry.value if isinstance(key.kind, Path) else readable(entry.value)
    value = key.kind.parse(text, lambda message: problems.warn_at(entry, message))
    if isinstance(key.kind, Boolean) and name in INVERSES:
        return not value
    return value


def _unsupported(row: Unsupported, entry: Entry, problems: Problems) -> Outcome:
    if row.name == _VFS_OBJECTS:
        return _modules(row, entry, problems)
    effect = row.effect_of(entry.value)
    if effect is Effect.MORE:
        return Outcome(row.name, entry, fault=f"frevo does not support this: {row.reason}")
    if effect is Effect.LESS:
        problems.warn_at(entry, f"ignored: {row.reason}")
    return Outcome(row.name, entry)


def _modules(row: Unsupported, entry: Entry, problems: Problems) -> Outcome:
    faults = []
    for module, effect, reason in judge(split_words(entry.value)):
        if effect is Effect.MORE:
            faults.append(f"{module}: {reason}")
        else:
            problems.warn_at(entry, f"{module}: {reason}")
    fault = f"frevo does not have the module {'; '.join(faults)}" if faults else ""
    return Outcome(row.name, entry, fault=fault)


def _unknown(entry: Entry, scope: str, problems: Problems) -> Outcome | None:
    meant = meant_by(entry.key)
    fault = _loses(meant, entry.value) if meant else ""
    where = scope_of(meant) if fault else "share"
    if where != scope:
        return None
    if fault:
        return Outcome(f"unknown {meant}", entry, fault=f"unknown key{suggestion(entry.key)} If so, {fault}")
    problems.warn_at(entry, f"unknown key{suggestion(entry.key)}: ignored, as in Samba")
    return None


def _loses(spelling: str, text: str) -> str:
    """Why it would be unsafe to ignore the key *spelling* with the value *text*; empty if it is safe."""
    key = BY_NAME.get(spelling)
    if key is None:
        row = UNSUPPORTED[spelling]
        return "ignoring it would give clients more access" if row.effect_of(text) is Effect.MORE else ""
    if key.guards is None:
        return ""
    quiet = Problems()
    try:
        value = parse(key, spelling, Entry(key.name, text, "", 0), quiet)
    except ValueError:
        return "ignoring it may give clients more access"
    return "ignoring it would give clients more access" if key.guards(value) else ""


def settle(found: Iterable[Outcome]) -> dict[str, Outcome]:
    """The last outcome of each id."""
    return {outcome.id: outcome for outcome in found}


def values_of(settled: Mapping[str, Outcome]) -> dict[str, Any]:
    """Attribute to value, from the valid outcomes of keys that frevo has."""
    return {
        outcome.id: outcome.value
        for outcome in settled.values()
        if outcome.key is not None and not outcome.fault
    }


def report(outcome: Outcome, problems: Problems, consequence: str = "") -> None:
    """Report the fault of *outcome* as an error at its line."""
    position: Position = outcome.entry
    problems.at(position, outcome.fault + consequence)
