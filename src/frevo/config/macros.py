"""%-macros of smb.conf: replaced at use, from values that the caller has; nothing else is ever substituted.

Values that come from a client (its name, the user's name) cannot add path components: a slash, a NUL or a
control character becomes `_`, and so does a value of `.` or `..`.
"""

from __future__ import annotations

import re

from frevo import __version__
from frevo.config.defaults import host_name

#: Letter to meaning, also for the reference page.
MACROS: dict[str, str] = {
    "S": "the share's name",
    "U": "the user name that the client asked for",
    "u": "the user's name",
    "m": "the client's name",
    "I": "the client's address",
    "h": "the server's host name",
    "H": "the user's home folder",
    "w": "the separator between domain and user name (a backslash)",
    "v": "frevo's version",
    "L": "the server's NetBIOS name",
}

_MACRO = re.compile(r"%(.)", re.DOTALL)
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")


def macros_in(text: str) -> frozenset[str]:
    """The macro letters that *text* uses (known or not)."""
    return frozenset(letter for letter in _MACRO.findall(text) if letter != "%")


def expand(
    text: str,
    *,
    share: str = "",
    user: str = "",
    requested_user: str = "",
    machine: str = "",
    address: str = "",
    home: str = "",
    server: str = "",
) -> str:
    """*text* with every known macro replaced and `%%` as `%`; unknown macros stay as they are."""
    values = {
        "S": harmless(share),
        "U": harmless(requested_user or user),
        "u": harmless(user),
        "m": harmless(machine or address),
        "I": harmless(address),
        "h": host_name(),
        "H": home.replace("\0", ""),
        "w": "\\",
        "v": __version__,
        "L": harmless(server),
        "%": "%",
    }
    return _MACRO.sub(lambda match: values.get(match[1], match[0]), text)


def harmless(value: str) -> str:
    """*value* as one path component at most."""
    clean = _UNSAFE.sub("_", value)
    return "_" * len(clean) if clean in (".", "..") else clean
