"""`username map`: maps clients' names to Unix users, in the format of Samba's manual.

A line is `unixname = name name ...`. Names may be quoted, may be `DOMAIN\\user` or `@group` (or `+group`, `&group`:
the members of a Unix group); `*` means everyone. All lines are searched and the last match counts; a line that begins
with `!` ends the search if it matches. Lines that begin with `#` or `;` are comments.
"""

from __future__ import annotations

import grp
import logging
import pwd
import re
from pathlib import Path

import msgspec

from frevo import nss

log = logging.getLogger(__name__)

#: A map is a page of names; a larger file is something else.
SIZE_MAX = 1 << 20
_NAME = re.compile(r'"([^"]*)"|([^\s,"]+)')
_GROUP = ("@", "+", "&")


class _Line(msgspec.Struct, frozen=True):
    """One line: the Unix user, its names (in lower case), and whether it ends the search."""

    unix_name: str
    names: frozenset[str]
    groups: tuple[str, ...]
    last: bool


class UsernameMap:
    """The file *path*, read again when it has changed; "" maps nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._lines: tuple[_Line, ...] = ()

    def unix_name(self, user: str, domain: str = "") -> str:
        """The Unix name for *user*; *user* itself if no line matches or the file cannot be read (which is logged)."""
        if not self._path:
            return user
        self._read()
        names = {user.lower(), f"{domain}\\{user}".lower()}
        found = user
        for line in self._lines:
            if "*" in line.names or names & line.names or _in_groups(user, line.groups):
                found = line.unix_name
                if line.last:
                    break
        return found

    def _read(self) -> None:
        path = Path(self._path)
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            if status.st_size > SIZE_MAX:
                raise OSError(0, f"it is larger than {SIZE_MAX} bytes")
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            log.error("username map %s: %s", self._path, error.strerror)
            self._seen, self._lines = None, ()
            return
        self._seen, self._lines = seen, parse(text)


def parse(text: str) -> tuple[_Line, ...]:
    """The lines of a map; skips lines without `=` or without a name on the left."""
    lines = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;" or "=" not in line:
            continue
        left, _, right = line.partition("=")
        last = left.startswith("!")
        unix_name = left.lstrip("!").strip().strip('"')
        names = [quoted or plain for quoted, plain in _NAME.findall(right)]
        if unix_name and names:
            groups = tuple(name.lstrip("@+&") for name in names if _means_unix_group(name))
            users = frozenset(name.lower() for name in names if name[0] not in _GROUP)
            lines.append(_Line(unix_name, users, groups, last))
    return tuple(lines)


def _means_unix_group(name: str) -> bool:
    signs = name[: len(name) - len(name.lstrip("@+&"))]
    return "@" in signs or "+" in signs


def _in_groups(user: str, groups: tuple[str, ...]) -> bool:
    return any(_is_member(user, group) for group in groups)


def _is_member(user: str, name: str) -> bool:
    try:
        group = nss.look_up(grp.getgrnam, name)
        return user in group.gr_mem or nss.look_up(pwd.getpwnam, user).pw_gid == group.gr_gid
    except (KeyError, ValueError):
        return False
