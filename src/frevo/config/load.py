"""Loading: sections of text to a frozen Config, with every problem reported at its file and line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from frevo.config.check import check
from frevo.config.config import Config
from frevo.config.global_keys import GLOBAL_KEYS, GlobalConfig
from frevo.config.key import Key, normal
from frevo.config.parser import Entry, Parser, Section
from frevo.config.problem import ConfigErrors, ConfigProblem, Problems
from frevo.config.share_keys import SHARE_KEYS, ShareConfig
from frevo.config.types import Boolean
from frevo.config.unsupported import RESTRICTING, SAME, UNSUPPORTED

#: The whole table, in the order of the reference page.
KEYS: tuple[Key, ...] = GLOBAL_KEYS + SHARE_KEYS

#: Normalised spelling (names, synonyms, inverse synonyms) to its row.
_BY_NAME: dict[str, Key] = {
    normal(name): key for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)
}
_INVERSES = frozenset(normal(name) for key in KEYS for name in key.inverses)
_SPELLINGS: dict[str, str] = {
    normal(name): name for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)
}
_SHARE_NAME_MAX = 80
_COPY_DEPTH_MAX = 10
_FORBIDDEN_IN_NAME = frozenset('\\/[]:|<>+=;,*?"%')


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The configuration in the file at *path*; *overrides* are [global] keys that win over it.

    Raises ConfigErrors with every problem found. Warnings are in `Config.warnings`.
    """
    problems = Problems()
    parser = Parser(problems)
    parser.parse_file(str(path))
    return _finish(parser, problems, str(path), overrides or {})


def load_text(text: str, overrides: Mapping[str, str] | None = None, source: str = "(text)") -> Config:
    """As `load`, from a text; *source* names it in problems."""
    problems = Problems()
    parser = Parser(problems)
    parser.parse_text(text, source)
    return _finish(parser, problems, source, overrides or {})


def default_for_folder(
    path: str | Path,
    share_name: str,
    *,
    read_only: bool = False,
    valid_users: Iterable[str] = (),
    overrides: Mapping[str, str] | None = None,
) -> Config:
    """The configuration of `frevo serve PATH`: one share, and defaults for the rest."""
    folder = str(path).replace("%", "%%")
    section = Section(share_name, "(command line)", 0)
    parser = Parser(problems := Problems())
    if share_name.lower() != "homes":  # that one would be a share for each user
        parser.sections[share_name.lower()] = section
    # One folder, one user: the server acts as itself, which `frevo serve` makes the folder's owner.
    alone = {"frevo:unix users": "no", **(overrides or {})}
    config = _finish(parser, problems, "", alone, require_path=False)
    template = config.share(share_name)
    if template is None:
        message = "not a share's name: it has a meaning of its own"
        raise ConfigErrors([ConfigProblem("(command line)", 0, share_name, message)])
    share = replace(template, path=folder, read_only=read_only, valid_users=tuple(valid_users))
    return config.with_share(share)


def _finish(
    parser: Parser,
    problems: Problems,
    source: str,
    overrides: Mapping[str, str],
    *,
    require_path: bool = True,
) -> Config:
    sections = dict(parser.sections)
    entries = list(section.entries) if (section := sections.pop("global", None)) else []
    entries += [Entry(key, value, "(command line)", 0) for key, value in overrides.items()]
    shared = _values(entries, SHARE_KEYS, GLOBAL_KEYS, problems)
    defaults = replace(ShareConfig(), **shared)
    values = _values(entries, GLOBAL_KEYS, SHARE_KEYS, problems, complain=False)
    config_globals = GlobalConfig(defaults=defaults, **values)
    shares: dict[str, ShareConfig] = {}
    for lower, section in sections.items():
        share = _share(section, sections, defaults, problems)
        if share is not None:
            shares[lower] = share
    config = Config(config_globals, MappingProxyType(shares), source)
    check(config, sections, problems, require_path=require_path)
    if problems.failed:
        raise ConfigErrors(sorted(problems.items, key=lambda problem: (problem.file, problem.line)))
    return replace(config, warnings=tuple(problems.items))


def _values(
    entries: Iterable[Entry],
    keys: tuple[Key, ...],
    elsewhere: tuple[Key, ...],
    problems: Problems,
    *,
    complain: bool = True,
) -> dict[str, Any]:
    """Attribute to value of the entries that belong to *keys*; *complain*: report unknown keys."""
    values: dict[str, Any] = {}
    for entry in entries:
        key = _BY_NAME.get(normal(entry.key))
        if key is not None and key in keys:
            value = _value(key, entry, problems)
            if value is not None:
                values[key.attribute] = value
        elif complain and (key is None or key not in elsewhere):
            _unknown(entry, problems)
    return values


def _value(key: Key, entry: Entry, problems: Problems) -> Any:
    """The typed value of *entry*; None after a problem."""
    try:
        value = key.kind.parse(entry.value, lambda message: problems.warn_at(entry, message))
    except ValueError as error:
        problems.at(entry, str(error))
        return None
    if isinstance(key.kind, Boolean) and normal(entry.key) in _INVERSES:
        return not value
    return value


def _unknown(entry: Entry, problems: Problems) -> None:
    name = normal(entry.key)
    if name in UNSUPPORTED:
        if entry.value.strip().lower() in SAME.get(name, ()):
            return
        if name in RESTRICTING:
            problems.at(
                entry, "frevo does not implement this Samba parameter, and ignoring it would give more access"
            )
        else:
            problems.warn_at(entry, "frevo does not implement this Samba parameter: ignored")
    elif ":" in name and not name.startswith("frevo:"):
        problems.warn_at(entry, "frevo has no Samba modules: ignored")
    else:
        problems.at(entry, f"unknown key{suggestion(entry.key)}")


def suggestion(name: str) -> str:
    """`; did you mean ...?` with the nearest known key, or nothing."""
    known = {**UNSUPPORTED, **_SPELLINGS}
    near = difflib.get_close_matches(normal(name)[:80], _SPELLINGS, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(normal(name)[:80], known, n=1, cutoff=0.85)
    return f"; did you mean `{known[near[0]]}`?" if near else ""


def _share(
    section: Section, sections: Mapping[str, Section], defaults: ShareConfig, problems: Problems
) -> ShareConfig | None:
    place = ConfigProblem(section.file, section.line, f"[{section.name}]", "")
    name = section.name.lower()
    entries = _with_copies(section, sections, problems)
    if name in ("printers", "print$") or _is_printer(entries):
        problems.warn_at(place, "frevo does not print: this share is left out")
        return None
    if name == "ipc$":
        problems.warn_at(place, "IPC$ always exists: this section is ignored")
        return None
    bad = sorted(_FORBIDDEN_IN_NAME & set(section.name))
    if bad or not section.name.isprintable() or not 0 < len(section.name) <= _SHARE_NAME_MAX:
        reason = (
            f"it holds {' '.join(bad)}" if bad else f"expected 1 to {_SHARE_NAME_MAX} printable characters"
        )
        problems.at(place, f"not a share name: {reason}")
        return None
    for entry in entries:
        key = _BY_NAME.get(normal(entry.key))
        if key is not None and key.scope == "global":
            problems.warn_at(entry, "this key belongs into [global]: ignored here")
    values = _values(entries, SHARE_KEYS, GLOBAL_KEYS, problems)
    return replace(defaults, **values, name=section.name)


def _is_printer(entries: Iterable[Entry]) -> bool:
    values = [e.value for e in entries if normal(e.key) in ("printable", "printok")]
    return bool(values) and values[-1].strip().lower() in ("yes", "true", "1", "on")


def _with_copies(
    section: Section, sections: Mapping[str, Section], problems: Problems, depth: int = 0
) -> list[Entry]:
    """The entries of *section*, each `copy = NAME` replaced by the entries of that section."""
    result: list[Entry] = []
    for entry in section.entries:
        if normal(entry.key) != "copy":
            result.append(entry)
            continue
        source = sections.get(entry.value.strip('"').lower())
        if source is None or source is section or depth >= _COPY_DEPTH_MAX:
            problems.at(entry, f"cannot copy from {entry.value!r}: no such section, or a circle")
            continue
        result += _with_copies(source, sections, problems, depth + 1)
    return result
