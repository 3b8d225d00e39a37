"""Entries of one section to values: typed, with what is wrong or passed over reported at its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from frevo.config.key import Key, normal
from frevo.config.names import BY_NAME, INVERSES, key_at_start, meant_by, suggestion
from frevo.config.parser import Entry, readable
from frevo.config.problem import Place, Problems
from frevo.config.types import Boolean, OutOfRange, Path, split_words
from frevo.config.unsupported import UNSUPPORTED, VFS_OBJECTS, Effect, Unsupported
from frevo.config.vfs_modules import judge

_VFS_OBJECTS = VFS_OBJECTS.partition(" |")[0]


class Outcome(msgspec.Struct, frozen=True):
    """What one entry comes to: the key or parameter that it sets (`id`), and its value or why it costs the share.

    Of several entries with one id the last counts, be it good or not.
    """

    id: str
    entry: Entry
    key: Key | None = None
    value: Any = None
    fault: str = ""


def outcomes(entries: Iterable[Entry], problems: Problems, *, scope: str) -> list[Outcome]:
    """The outcomes of *entries* that belong to *scope* (`global`: to the whole server; `share`: to one share).

    In [global] both are asked for, one after the other. Faults are not reported here, warnings are.
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
        elif ":" not in name or name.startswith("frevo:"):  # `module:option` is judged with `vfs objects`
            outcome = _unknown(entry, scope, problems)
            if outcome is not None:
                found.append(outcome)
    return found


def stray(entry: Entry, problems: Problems, *, scope: str) -> Outcome | None:
    """What a line without `=` comes to: passed over, unless it looks like a key that takes access away."""
    spelling, rest = key_at_start(entry.key)
    fault = _loses(spelling, rest) if spelling and rest and scope_of(spelling) == scope else ""
    if fault:
        return Outcome(f"stray {spelling}", entry, fault=f"`=` is missing, and {fault}")
    if scope == "share":
        problems.warning(
            entry.file,
            entry.line,
            readable(entry.key[:40]),
            "expected `[section]` or `key = value`: passed over",
        )
    return None


def scope_of(spelling: str) -> str:
    """`global` or `share`: what the key or parameter with this normalised spelling rules."""
    key = BY_NAME.get(spelling)
    return key.scope if key is not None else UNSUPPORTED[spelling].scope


def _own(key: Key, name: str, entry: Entry, problems: Problems) -> Outcome:
    try:
        value = parse(key, name, entry, problems)
    except OutOfRange as error:
        if key.frevo_own:
            return Outcome(key.attribute, entry, key, fault=str(error))
        problems.warn_at(entry, f"{error}: {error.nearest:g} is taken")
        return Outcome(key.attribute, entry, key, type(key.default())(error.nearest))
    except ValueError as error:
        if key.lenient:
            problems.warn_at(entry, f"{error}: the default is taken")
            return Outcome(key.attribute, entry, key, key.default())
        return Outcome(key.attribute, entry, key, fault=str(error))
    return Outcome(key.attribute, entry, key, value)


def parse(key: Key, name: str, entry: Entry, problems: Problems) -> Any:
    """The typed value of *entry* for *key* in the spelling *name*; ValueError when it has none."""
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
        return Outcome(row.name, entry, fault=f"frevo does not have this: {row.reason}")
    if effect is Effect.LESS:
        problems.warn_at(entry, f"not used: {row.reason}")
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
        return Outcome(f"unknown {meant}", entry, fault=f"unknown key{suggestion(entry.key)} Then {fault}")
    problems.warn_at(entry, f"unknown key{suggestion(entry.key)}: passed over, as Samba does")
    return None


def _loses(spelling: str, text: str) -> str:
    """Why it would be unsafe to pass over the key *spelling* with the value *text*, or nothing."""
    key = BY_NAME.get(spelling)
    if key is None:
        row = UNSUPPORTED[spelling]
        return "more would be reachable without it" if row.effect_of(text) is Effect.MORE else ""
    if key.guards is None:
        return ""
    quiet = Problems()
    try:
        value = parse(key, spelling, Entry(key.name, text, "", 0), quiet)
    except ValueError:
        return "more may be reachable without it"
    return "more would be reachable without it" if key.guards(value) else ""


def settle(found: Iterable[Outcome]) -> dict[str, Outcome]:
    """The last outcome of every id."""
    return {outcome.id: outcome for outcome in found}


def values_of(settled: Mapping[str, Outcome]) -> dict[str, Any]:
    """Attribute to value of the good outcomes of frevo's own keys."""
    return {
        outcome.id: outcome.value
        for outcome in settled.values()
        if outcome.key is not None and not outcome.fault
    }


def report(outcome: Outcome, problems: Problems, consequence: str = "") -> None:
    """The fault of *outcome* as an error at its line."""
    place: Place = outcome.entry
    problems.at(place, outcome.fault + consequence)
