"""smb.conf syntax: text to sections of entries, with includes; no key has a meaning here yet.

As Samba's users know it: `[section]`, `key = value`, lines that start with `#` or `;` are comments, a
backslash at the end of a line joins the next one. Sizes, depth and number of files are bounded, and nothing
is evaluated.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from frevo.config.key import normal
from frevo.config.macros import expand, macros_in
from frevo.config.problem import ConfigProblem, Problems

FILE_SIZE_MAX = 1 << 20
INCLUDE_DEPTH_MAX = 8
FILES_MAX = 64
ENTRIES_MAX = 50_000

#: Macros whose value is known when the file is read.
_LOAD_TIME_MACROS = frozenset("hvw")


class Entry(msgspec.Struct, frozen=True):
    """One `key = value` line."""

    key: str
    value: str
    file: str
    line: int


class Section(msgspec.Struct):
    """All entries of the sections with one name (case ignored), in the order of the file."""

    name: str
    file: str
    line: int
    entries: list[Entry] = msgspec.field(default_factory=list)


class Parser:
    """Reads one configuration with its includes; `sections` is the result, by lower-case name."""

    def __init__(self, problems: Problems) -> None:
        self.sections: dict[str, Section] = {}
        self._problems = problems
        self._current: Section | None = None
        self._files = 0
        self._entries = 0

    def parse_file(self, path: str) -> None:
        """Read the file at *path*; what is wrong with it goes to the problems."""
        text = self._read(path, ConfigProblem(path, 0, "", ""))
        if text is not None:
            self._files += 1
            self.parse_text(text, path)

    def parse_text(self, text: str, file: str, depth: int = 0) -> None:
        """Read *text*, which came from *file*."""
        for line, content in logical_lines(text):
            if content.startswith("["):
                self._section(content, file, line)
            elif "=" in content:
                key, _, value = content.partition("=")
                self._entry(Entry(" ".join(key.split()), value.strip(), file, line), depth)
            else:
                self._problems.error(file, line, content[:40], "expected `[section]` or `key = value`")

    def _section(self, content: str, file: str, line: int) -> None:
        name, bracket, rest = content[1:].partition("]")
        name = " ".join(name.split())
        if not bracket or not name:
            self._problems.error(file, line, content[:40], "a section is written [name]")
            return
        if rest.strip() and not rest.lstrip().startswith(("#", ";")):
            self._problems.error(file, line, content[:40], "unexpected text after the section's name")
        self._current = self.sections.setdefault(name.lower(), Section(name, file, line))

    def _entry(self, entry: Entry, depth: int) -> None:
        if not entry.key:
            self._problems.error(entry.file, entry.line, "", "a key is missing before `=`")
            return
        self._entries += 1
        if self._entries > ENTRIES_MAX:
            if self._entries == ENTRIES_MAX + 1:
                self._problems.error(entry.file, entry.line, entry.key, f"more than {ENTRIES_MAX} keys")
            return
        if normal(entry.key) == "include":
            self._include(entry, depth)
            return
        if self._current is None:  # as in Samba, what stands before the first section is global
            self._current = self.sections.setdefault("global", Section("global", entry.file, entry.line))
        self._current.entries.append(entry)

    def _include(self, entry: Entry, depth: int) -> None:
        if entry.value.lower() == "registry":
            self._problems.at(entry, "frevo has no registry: include a file")
            return
        late = macros_in(entry.value) - _LOAD_TIME_MACROS
        if late:
            names = ", ".join(f"%{letter}" for letter in sorted(late))
            self._problems.at(entry, f"{names} differs by client and cannot choose an included file")
            return
        if depth >= INCLUDE_DEPTH_MAX or self._files >= FILES_MAX:
            self._problems.at(entry, f"more than {INCLUDE_DEPTH_MAX} levels or {FILES_MAX} files of includes")
            return
        path = Path(expand(entry.value.strip('"')))
        if not path.is_absolute():
            path = Path(entry.file).parent / path
        text = self._read(str(path), entry)
        if text is not None:
            self._files += 1
            self.parse_text(text, str(path), depth + 1)

    def _read(self, path: str, origin: Entry | ConfigProblem) -> str | None:
        try:
            with Path(path).open("rb") as stream:
                data = stream.read(FILE_SIZE_MAX + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._problems.at(origin, f"cannot read {path}: {reason}")
            return None
        if len(data) > FILE_SIZE_MAX:
            self._problems.at(origin, f"{path} is larger than {FILE_SIZE_MAX} bytes")
            return None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._problems.error(path, line, "", "this line is not UTF-8")
            return None
        if "\0" in text:
            self._problems.error(
                path, text.count("\n", 0, text.index("\0")) + 1, "", "this line holds a NUL byte"
            )
            return None
        return text


def logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of the first line, content) of every line that says something; continuations joined by a
    blank.
    """
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
