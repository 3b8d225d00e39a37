"""Linux names in SMB's form and back: what Windows forbids is mapped to the private use area, as by Linux' cifs.

The mapping is that of Services for Macintosh (`mapposix` of mount.cifs): `"*:<>?`, backslash and bar become U+F020 to
U+F027, a space or dot at the end U+F028 and U+F029, control characters U+F001 to U+F01F. Bytes that are no UTF-8 (lone
surrogates in Python's str) become U+F080 to U+F0FF, as Cygwin has them. [MS-FSCC] 2.1.5 says what is forbidden.
"""

from __future__ import annotations

import re

#: The longest name, in UTF-16 code units ([MS-FSCC] 2.1.5.2).
NAME_UNITS_MAX = 255

_FORBIDDEN = {
    **{chr(code): chr(0xF000 + code) for code in range(1, 0x20)},
    **dict(zip('"*:<>?\\|', map(chr, range(0xF020, 0xF028)), strict=True)),
    **{chr(0xDC00 + byte): chr(0xF000 + byte) for byte in range(0x80, 0x100)},
}
_LAST = {" ": "\uf028", ".": "\uf029"}
_BACK = {mapped: plain for plain, mapped in {**_FORBIDDEN, **_LAST}.items()}

_to_map = re.compile(f"[{re.escape(''.join(_FORBIDDEN))}]|[ .]$").search
_to_map_back = re.compile(f"[{''.join(_BACK)}]").search
_table = str.maketrans(_FORBIDDEN)
_table_back = str.maketrans(_BACK)


def to_remote(name: str) -> str:
    """One name (not a path) as it is sent to the server; from `os.fsdecode` it may hold any byte but "/" and NUL."""
    if _to_map(name) is None:
        return name
    mapped = name.translate(_table)
    return mapped[:-1] + _LAST.get(mapped[-1], mapped[-1])


def from_remote(name: str) -> str:
    """One name of a listing as Linux programs see it; one that would be "." or ".." there stays as it is."""
    if _to_map_back(name) is None:
        return name
    mapped = name.translate(_table_back)
    return name if mapped in (".", "..") else mapped


def is_too_long(name: str) -> bool:
    """Whether a name is longer than any server allows."""
    return (
        len(name) * 2 > NAME_UNITS_MAX and len(name.encode("utf-16-le", "surrogatepass")) > 2 * NAME_UNITS_MAX
    )
