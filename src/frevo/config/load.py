"""Loading: sections of text to a frozen Config, with every problem reported at its file and line.

A share with an error is left out and named in `Config.unserved`. An error in the server's own keys raises
ConfigErrors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from frevo.config.access import with_backslashes
from frevo.config.check import check_globals, check_share
from frevo.config.config import Config
from frevo.config.global_keys import GlobalConfig
from frevo.config.key import normal
from frevo.config.names import BY_NAME, KEYS
from frevo.config.parser import ENTRIES_MAX, Entry, Parser, Section
from frevo.config.problem import ConfigErrors, ConfigProblem, Problems
from frevo.config.share_keys import ShareConfig
from frevo.config.types import unquote
from frevo.config.unsupported import YES
from frevo.config.values import Outcome, outcomes, report, settle, stray, values_of

__all__ = ["KEYS", "default_for_folder", "load", "load_text"]

#: Share keys that in [global] rule every connection, whatever a share says itself: by attribute and by spelling.
_EVERYWHERE = frozenset({"hosts_allow", "hosts_deny", "hostsallow", "hostsdeny", "allowhosts", "denyhosts"})
_SHARE_NAME_MAX = 80
_COPY_DEPTH_MAX = 10
#: What a share's name cannot hold, and what Samba takes although [MS-DTYP] 2.2.57 does not.
_IMPOSSIBLE_IN_NAME = frozenset('\\/"')
_ODD_IN_NAME = frozenset("[]:|<>+=;,*?")


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """The configuration in the file at *path*; *overrides* are [global] keys that win over it.

    Raises ConfigErrors with every problem found when the file as a whole cannot be used. Everything else is
    in `Config.problems`, and shares that are not served are in `Config.unserved`.
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
    parser = Parser(problems := Problems())
    name = share_name.strip()
    if name.lower() not in ("global", "globals", "homes", ""):
        parser.section(name, "(command line)", 0)
    # One folder, one user: the server acts as itself, which `frevo serve` makes the folder's owner.
    alone = {"frevo:unix users": "no", **(overrides or {})}
    config = _finish(parser, problems, "", alone, require_path=False)
    template = config.share(name)
    if template is None:
        message = "cannot be used as a share name: it is reserved"
        reasons = config.problems or (ConfigProblem("(command line)", 0, share_name, message),)
        raise ConfigErrors(reasons)
    share = replace(template, path=folder, read_only=read_only, valid_users=tuple(valid_users))
    return config.with_share(share)


class _Defaults(msgspec.Struct, frozen=True):
    """The defaults that [global] gives to the shares that begin at one point of the file."""

    config: ShareConfig
    settled: dict[str, Outcome]
    faults: tuple[Outcome, ...]


def _finish(
    parser: Parser,
    problems: Problems,
    source: str,
    overrides: Mapping[str, str],
    *,
    require_path: bool = True,
) -> Config:
    sections = dict(parser.sections)
    shared = sections.pop("global", None) or Section("global", source, 0, problems)
    given = [Entry(key, value, "(command line)", 0) for key, value in overrides.items()]
    settled = settle(outcomes([*shared.entries, *given], problems, scope="global"))
    settled |= settle(filter(None, (stray(line, problems, scope="global") for line in shared.strays)))
    for outcome in settled.values():
        if outcome.fault:
            report(outcome, problems)
    defaults = _defaults(shared, given, sections.values(), problems)
    if any(fault.id.split()[-1] in _EVERYWHERE for fault in defaults[len(shared.entries)].faults):
        problems.failed = True
    config_globals = GlobalConfig(defaults=defaults[len(shared.entries)].config, **values_of(settled))
    guests = config_globals.map_to_guest != "never"
    shares, unserved = _shares(sections, defaults, problems, guests=guests, require_path=require_path)
    positions = {("global", outcome.id): _position(outcome.entry) for outcome in settled.values()}
    for lower, (_, found) in shares.items():
        positions |= {(lower, outcome.id): _position(outcome.entry) for outcome in found.values()}
    separator = config_globals.winbind_separator
    config = Config(
        config_globals,
        MappingProxyType({lower: with_backslashes(share, separator) for lower, (share, _) in shares.items()}),
        source,
        unserved=tuple(unserved),
        positions=MappingProxyType(positions),
    )
    check_globals(config, problems)
    items = tuple(sorted(problems.items, key=lambda problem: (problem.file, problem.line)))
    if problems.failed:
        raise ConfigErrors(items)
    return replace(config, problems=items)


def _position(entry: Entry) -> ConfigProblem:
    return ConfigProblem(entry.file, entry.line, entry.key, "", "warning")


def _defaults(
    shared: Section, given: list[Entry], sections: Iterable[Section], problems: Problems
) -> dict[int, _Defaults]:
    """A share's defaults by the number of [global] entries that precede it, as in Samba.

    An error in a share key of [global] does not stop the server: the shares that do not set the key are not served.
    """
    whole = len(shared.entries)
    wanted = sorted({*(section.defaults for section in sections), whole})
    quiet = problems.of_share()
    strays = settle(filter(None, (stray(line, quiet, scope="share") for line in shared.strays)))
    last = settle(outcomes(given, quiet, scope="share"))
    result: dict[int, _Defaults] = {}
    current: dict[str, Outcome] = {}
    start = 0
    for count in wanted:
        current |= settle(outcomes(shared.entries[start:count], quiet, scope="share"))
        start = count
        settled = current | last | strays
        faults = tuple(outcome for outcome in settled.values() if outcome.fault)
        result[count] = _Defaults(ShareConfig(**values_of(settled)), settled, faults)
    for fault in {id(fault): fault for item in result.values() for fault in item.faults}.values():
        report(fault, quiet, ": shares that do not set this key themselves are not served")
    return result


def _shares(
    sections: Mapping[str, Section],
    defaults: Mapping[int, _Defaults],
    problems: Problems,
    *,
    guests: bool,
    require_path: bool,
) -> tuple[dict[str, tuple[ShareConfig, dict[str, Outcome]]], list[str]]:
    """The shares that can be served (by lower-case name, with their own settings) and the names of the others."""
    shares: dict[str, tuple[ShareConfig, dict[str, Outcome]]] = {}
    unserved = []
    copier = _Copier(sections)
    for lower, section in sections.items():
        entries = copier.entries(section)
        if _left_out(section, entries, problems):
            continue
        settled = _settled(section, entries)
        inherited = defaults[section.defaults]
        mine = {outcome.id for outcome in settled.values()}
        share = replace(inherited.config, **values_of(settled), name=section.name)
        if require_path or share.path:
            check_share(share, section, guests=guests)
        if section.problems.failed or any(fault.id not in mine for fault in inherited.faults):
            unserved.append(section.name)
        else:
            shares[lower] = (share, inherited.settled | settled)
    return shares, unserved


def _settled(section: Section, entries: list[Entry]) -> dict[str, Outcome]:
    """The settings of *section*, by attribute; reports its errors."""
    for entry in entries:
        key = BY_NAME.get(normal(entry.key))
        if key is not None and key.scope == "global":
            section.problems.warn_at(entry, "this key belongs in [global]: ignored here, as in Samba")
    settled = settle(outcomes(entries, section.problems, scope="share"))
    settled |= settle(filter(None, (stray(line, section.problems, scope="share") for line in section.strays)))
    for outcome in settled.values():
        if outcome.fault:
            report(outcome, section.problems, f": [{section.name}] is not served")
    return settled


def _left_out(section: Section, entries: Iterable[Entry], problems: Problems) -> bool:
    """Whether *section* is not a folder to share, or has an invalid name; reports either."""
    position = ConfigProblem(section.file, section.line, f"[{section.name}]", "")
    name = section.name.lower()
    if name in ("printers", "print$") or _says_yes(entries, ("printable", "printok")):
        problems.warn_at(position, "frevo does not print: this section is ignored")
        return True
    if name == "ipc$":
        problems.warn_at(position, "IPC$ always exists: this section is ignored")
        return True
    bad = sorted(_IMPOSSIBLE_IN_NAME & set(section.name))
    if bad or not section.name.isprintable() or not 0 < len(section.name) <= _SHARE_NAME_MAX:
        reason = (
            f"it contains {' '.join(bad)}" if bad else f"expected 1 to {_SHARE_NAME_MAX} printable characters"
        )
        section.problems.at(position, f"invalid share name: {reason}: it is not served")
    elif odd := sorted(_ODD_IN_NAME & set(section.name)):
        text = f"Windows does not allow {' '.join(odd)} in a share name: some clients cannot connect"
        section.problems.warn_at(position, text)
    return False


def _says_yes(entries: Iterable[Entry], names: tuple[str, ...]) -> bool:
    values = [entry.value for entry in entries if normal(entry.key) in names]
    return bool(values) and values[-1].strip().lower() in YES


class _Copier:
    """Replaces `copy = NAME` by the entries of that section."""

    def __init__(self, sections: Mapping[str, Section]) -> None:
        self._sections = sections
        self._left = ENTRIES_MAX

    def entries(self, section: Section, depth: int = 0) -> list[Entry]:
        """The entries of *section* with its copies."""
        result: list[Entry] = []
        for entry in section.entries:
            if normal(entry.key) != "copy":
                result.append(entry)
                continue
            source = self._sections.get(" ".join(unquote(entry.value).lower().split()))
            if source is None or source is section or depth >= _COPY_DEPTH_MAX or self._left <= 0:
                reason = "no such section, or it copies itself"
                text = f"cannot copy from {entry.value!r}: {reason}: [{section.name}] is not served"
                section.problems.at(entry, text)
                continue
            copied = self.entries(source, depth + 1)
            self._left -= len(copied)
            result += copied
            if source.problems.failed:
                section.problems.failed = True
        return result
