"""%-macros of smb.conf: replaced at use, from values that the caller has; nothing else is ever substituted.

Values that come from a client (its name, the user's name) cannot add path components: a slash, a NUL or a
control character becomes `_`, and so does a value of `.` or `..`.
"""

from __future__ import annotations

import os
import re
import time

from frevo import __version__
from frevo.config.defaults import host_name

#: Letter to meaning, also for the reference page.
MACROS: dict[str, str] = {
    "S": "the share's name",
    "P": "the share's folder, if known",
    "U": "the user name that the client sent",
    "u": "the user's name",
    "G": "the primary group of %U",
    "g": "the primary group of %u",
    "D": "the workgroup (or Kerberos realm) of the user",
    "H": "the user's home folder",
    "m": "the client's name",
    "M": "the client's DNS name; always its address, as with `hostname lookups = no`",
    "I": "the client's address",
    "J": "the client's address with `_` instead of `:`",
    "i": "the server's address that the client connected to",
    "j": "the server's address with `_` instead of `:`",
    "R": "the dialect, as SMB3_11",
    "a": "the client's operating system; always UNKNOWN, because SMB 2 does not tell",
    "h": "the server's host name",
    "L": "the server's NetBIOS name",
    "N": "the home server: the server's NetBIOS name",
    "w": "the separator between domain and user name (`winbind separator`)",
    "v": "frevo's version",
    "V": "frevo's version",
    "d": "the server's process id",
    "T": "date and time",
    "t": "date and time without colons",
    "$": "in the form `%$(NAME)`: the server's environment variable NAME",
}

_MACRO = re.compile(r"%(?:\$\(([A-Za-z_][A-Za-z0-9_]*)\)|(.))", re.DOTALL)
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")


def macros_in(text: str) -> frozenset[str]:
    """The macro letters that *text* uses (known or not); `$` for `%$(NAME)`."""
    return frozenset(letter or "$" for _, letter in _MACRO.findall(text) if letter != "%")


def expand(
    text: str,
    *,
    share: str = "",
    user: str = "",
    requested_user: str = "",
    group: str = "",
    domain: str = "",
    machine: str = "",
    address: str = "",
    local_address: str = "",
    dialect: str = "",
    home: str = "",
    path: str = "",
    server: str = "",
    separator: str = "\\",
) -> str:
    """*text* with every known macro replaced and `%%` as `%`; unknown macros stay as they are."""
    if "%" not in text:
        return text
    values = {
        "S": harmless(share),
        "P": path.replace("\0", ""),
        "U": harmless(requested_user or user),
        "u": harmless(user),
        "G": harmless(group),
        "g": harmless(group),
        "D": harmless(domain),
        "H": home.replace("\0", ""),
        "m": harmless(machine or address),
        "M": harmless(address),
        "I": harmless(address),
        "J": harmless(address.replace(":", "_")),
        "i": harmless(local_address),
        "j": harmless(local_address.replace(":", "_")),
        "R": harmless(dialect),
        "a": "UNKNOWN",
        "h": host_name(),
        "L": harmless(server),
        "N": harmless(server),
        "w": harmless(separator),
        "v": __version__,
        "V": __version__,
        "d": str(os.getpid()),
        "T": time.strftime("%Y-%m-%d %H:%M:%S"),
        "t": time.strftime("%Y%m%d_%H%M%S"),
        "%": "%",
    }

    def value(match: re.Match[str]) -> str:
        variable, letter = match.groups()
        return os.environ.get(variable, "") if variable else values.get(letter, match[0])

    return _MACRO.sub(value, text)


def harmless(value: str) -> str:
    """*value* as one path component at most."""
    clean = _UNSAFE.sub("_", value)
    return "_" * len(clean) if clean in (".", "..") else clean
