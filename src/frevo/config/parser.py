"""smb.conf syntax: text to sections of entries, with includes. The keys' meanings are not known here.

The syntax is Samba's: `[section]`, `key = value`, comment lines that start with `#` or `;`, and a backslash at the end
of a line to continue it. File size, depth and number of files are bounded, and nothing is evaluated. A broken line is
ignored; a share with a broken include is not served.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

import msgspec

from frevo.config.key import normal
from frevo.config.macros import expand, macros_in
from frevo.config.problem import ConfigProblem, Problems

FILE_SIZE_MAX = 1 << 20
INCLUDE_DEPTH_MAX = 8
FILES_MAX = 64
ENTRIES_MAX = 50_000
#: How many files that differ by client a message names.
_NAMED_MAX = 5

#: Macros whose value is known when the file is read.
_LOAD_TIME_MACROS = frozenset("hvVwd$LN")
#: Macros whose value the client chooses freely: a file named after them cannot restrict access.
_CLAIMED_MACROS = frozenset("maTt")
_GLOBAL_NAMES = ("global", "globals")
#: Errors that mean that the file does not exist; Samba ignores these.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Entry(msgspec.Struct, frozen=True):
    """One `key = value` line."""

    key: str
    value: str
    file: str
    line: int


class Section(msgspec.Struct):
    """All entries of the sections with one name (case ignored), in the order of the file.

    `strays` are its lines without `=`. `defaults` is the number of [global] entries before the section: those are its
    defaults, as in Samba.
    """

    name: str
    file: str
    line: int
    problems: Problems
    defaults: int = 0
    entries: list[Entry] = msgspec.field(default_factory=list)
    strays: list[Entry] = msgspec.field(default_factory=list)


class Parser:
    """Reads one configuration with its includes; `sections` is the result, by lower-case name."""

    def __init__(self, problems: Problems) -> None:
        self.sections: dict[str, Section] = {}
        self._problems = problems
        self._current: Section | None = None
        self._files = 0
        self._entries = 0
        self._top = ""

    def parse_file(self, path: str) -> None:
        """Read the file at *path* and add its errors to the problems."""
        self._top = path
        text = self._read(path, ConfigProblem(path, 0, "", ""), self._problems, required=True)
        if text is not None:
            self._files += 1
            self.parse_text(text, path)

    def parse_text(self, text: str, file: str, depth: int = 0) -> None:
        """Read *text*, which came from *file*."""
        for line, content in logical_lines(text):
            if content.startswith("["):
                self._begin(content, file, line)
            elif "=" in content:
                key, _, value = content.partition("=")
                self._entry(Entry(" ".join(key.split()), value.strip(), file, line), depth)
            else:
                self.current(file, line).strays.append(Entry(content[:200], "", file, line))

    def section(self, name: str, file: str, line: int) -> Section:
        """The section called *name*, created if new."""
        lower = name.lower()
        lower = "global" if lower in _GLOBAL_NAMES else lower
        section = self.sections.get(lower)
        if section is None:
            shared = self.sections.get("global")
            problems = self._problems if lower == "global" else self._problems.of_share()
            section = Section(name, file, line, problems, len(shared.entries) if shared else 0)
            self.sections[lower] = section
        return section

    def current(self, file: str, line: int) -> Section:
        """The section of a line. Lines before the first section belong to [global], as in Samba."""
        if self._current is None:
            self._current = self.section("global", file, line)
        return self._current

    def _begin(self, content: str, file: str, line: int) -> None:
        name, bracket, rest = content[1:].partition("]")
        name = readable(" ".join(name.split()))
        if not bracket or not name:
            self._problems.error(file, line, content[:40], "expected a section: [name]")
            return
        if rest.strip() and not rest.lstrip().startswith(("#", ";")):
            self._problems.warning(file, line, content[:40], "the text after the section name is ignored")
        self._current = self.section(name, file, line)

    def _entry(self, entry: Entry, depth: int) -> None:
        section = self.current(entry.file, entry.line)
        if not entry.key:
            section.problems.warn_at(entry, "there is no key before `=`: this line is ignored")
            return
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            if self._entries == ENTRIES_MAX + 1:
                self._problems.error(
                    entry.file, entry.line, entry.key, f"the configuration has more than {ENTRIES_MAX} keys"
                )
            return
        if normal(entry.key) == "include":
            self._include(entry, depth, section.problems)
            return
        section.entries.append(entry)

    # -- includes

    def _include(self, entry: Entry, depth: int, problems: Problems) -> None:
        name = entry.value.strip('"')
        if name.lower() == "registry":
            problems.at(
                entry, "the rest of the configuration is in Samba's registry, which frevo does not read"
            )
            return
        if not name:
            return
        if depth >= INCLUDE_DEPTH_MAX or self._files >= FILES_MAX:
            problems.at(
                entry,
                f"includes are nested more than {INCLUDE_DEPTH_MAX} deep, or are more than {FILES_MAX} files",
            )
            return
        late = macros_in(name) - _LOAD_TIME_MACROS
        if late:
            self._late_include(entry, name, late, problems)
            return
        path = Path(entry.file).parent / expand(name, server=self._netbios_name())
        text = self._read(str(path), entry, problems)
        if text is not None:
            self._files += 1
            self.parse_text(text, str(path), depth + 1)

    def _late_include(self, entry: Entry, name: str, late: frozenset[str], problems: Problems) -> None:
        """An include that differs by client or user: Samba reads it when a client connects, frevo never does.

        Ignoring it silently could lift a restriction. It is a warning if no such file exists, or if the client can
        choose freely which file applies; otherwise it is an error.
        """
        names = ", ".join(f"%{letter}" for letter in sorted(late))
        found = self._candidates(entry, name, late)
        shown = ", ".join(found[:_NAMED_MAX]) + (" ..." if len(found) > _NAMED_MAX else "")
        if not found:
            text = f"{names} differs by client: frevo would not read such files; there are none now"
            problems.warn_at(entry, text)
        elif late <= _CLAIMED_MACROS:
            problems.warn_at(entry, f"{names} differs by client: frevo does not read these files: {shown}")
        else:
            text = "frevo does not read these files, and they may restrict access"
            problems.at(entry, f"{names} differs by user or client: {text}: {shown}")

    def _candidates(self, entry: Entry, name: str, late: frozenset[str]) -> list[str]:
        """The existing files that *name* can refer to, depending on the values of the macros *late*."""
        marked = re.sub(r"%(.)", lambda m: "\0" if m[1] in late else m[0], name, flags=re.DOTALL)
        path = str(Path(entry.file).parent / expand(marked, server=self._netbios_name()))
        fixed = Path(path.partition("\0")[0] + "x").parent
        pattern = re.sub(r"([*?\[])", r"[\1]", path[len(str(fixed)) :].lstrip("/")).replace("\0", "*")
        own = {entry.file, self._top, str(fixed / "smb.conf")}  # the including file itself
        try:
            files = sorted(str(file) for file in fixed.glob(pattern) if file.is_file())
        except (OSError, ValueError, IndexError, NotImplementedError):
            return []
        return [file for file in files if file not in own]

    def _netbios_name(self) -> str:
        """The value of `netbios name` so far."""
        shared = self.sections.get("global")
        for entry in reversed(shared.entries if shared else ()):
            if normal(entry.key) == "netbiosname":
                return expand(entry.value)
        return ""

    def _read(
        self, path: str, origin: Entry | ConfigProblem, problems: Problems, *, required: bool = False
    ) -> str | None:
        try:
            with Path(path).open("rb") as stream:
                data = stream.read(FILE_SIZE_MAX + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            absent = not isinstance(error, OSError) or error.errno in _ABSENT
            if required or not absent:
                problems.at(origin, f"cannot read {path}: {reason}")
            else:
                problems.warn_at(origin, f"cannot read {path}: {reason}: ignored, as in Samba")
            return None
        if len(data) > FILE_SIZE_MAX:
            problems.at(origin, f"{path} is larger than {FILE_SIZE_MAX} bytes")
            return None
        if b"\0" in data:
            problems.error(
                path, data.count(b"\n", 0, data.index(b"\0")) + 1, "", "this line contains a NUL byte"
            )
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            text = "not valid UTF-8: paths are used byte by byte, other text is read as Latin-1"
            problems.warning(path, line, "", text)
            return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def readable(text: str) -> str:
    """*text* without surrogates: read as Latin-1 if it is not valid UTF-8."""
    if text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of the first line, content) of every line that is neither empty nor a comment; joins continued lines."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n"), 1):
        content = raw.strip()
        if not parts:
            if not content or content[0] in "#;":
                continue
            start = number
        if content.endswith("\\"):
            parts.append(content[:-1].rstrip())
            continue
        lines.append((start, " ".join(filter(None, [*parts, content]))))
        parts = []
    if any(parts):
        lines.append((start, " ".join(filter(None, parts))))
    return [(number, content) for number, content in lines if content]
