"""8.3 names for clients that query them. They cannot be used to open files."""

from __future__ import annotations

import zlib

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALLOWED = frozenset(_DIGITS + "!#$%&'()-@^_`{}~")
_HASH_DIGITS = 3


def short_name(name: str) -> str:
    """*name* itself if it is an 8.3 name, otherwise one from its beginning, a checksum and its extension.

    Never fails, as smbclient's `allinfo` stops if there is no alternate name ([MS-FSCC] 2.4.5).
    """
    if name in (".", "..") or _is_short(name.upper()):
        return name
    base, _, extension = name.upper().rpartition(".")
    if not base:
        base, extension = extension, ""
    checksum = zlib.crc32(name.encode("utf-16-le", "surrogatepass"))
    digits = ""
    for _ in range(_HASH_DIGITS):
        checksum, digit = divmod(checksum, len(_DIGITS))
        digits += _DIGITS[digit]
    short = f"{_only_allowed(base)[: 7 - _HASH_DIGITS]}~{digits}"
    extension = _only_allowed(extension)[:3]
    return f"{short}.{extension}" if extension else short


def _only_allowed(text: str) -> str:
    return "".join(letter for letter in text if letter in _ALLOWED)


def _is_short(name: str) -> bool:
    """Up to eight characters, and at most one dot followed by up to three ([MS-FSCC] 2.1.5.2.1)."""
    base, dot, extension = name.partition(".")
    if not 0 < len(base) <= 8 or len(extension) > 3 or (dot and not extension):
        return False
    return _ALLOWED.issuperset(base + extension)
