"""Names: wire paths taken apart and checked, and the map between wire names and names on disk.

Linux allows every byte but `/` and NUL in a name; Windows forbids a dozen characters. The forbidden ones
become private-use characters on the wire, with the numbers that macOS ("SFM") and Linux' `mapposix` use, so
nothing is hidden and nothing clashes. Bytes that are no UTF-8 become U+F080 + (byte - 0x80), and so do the
bytes of a disk name's own private-use characters of those two ranges: wire -> disk is a plain function, and
disk -> wire its exact inverse.

Disk names are `str` as `os.fsdecode` gives them (undecodable bytes as U+DC80..U+DCFF); wire names are `str`
with lone UTF-16 surrogates kept. This module is pure: no file system, no clock. [MS-FSCC] 2.1.5, [MS-SMB2]
2.2.13."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from frevo.errors import SMBError
from frevo.wire.erref import NTStatus

#: A component may have this many UTF-16 units on the wire and this many bytes on disk.
COMPONENT_MAX: Final = 255
#: A whole path may have this many UTF-16 units ([MS-FSCC] 2.1.5).
PATH_UNITS_MAX: Final = 32767
#: `user.DosStream.` and `:$DATA` must fit into an xattr name (255 bytes) beside the stream's name.
STREAM_NAME_MAX: Final = 255 - len("user.DosStream.") - len(":$DATA")

#: Longer paths are not remembered: 8192 of them would be a hoard.
_REMEMBERED_LENGTH_MAX: Final = 512

_RAW_BASE: Final = 0xF000
_MAPPED = {
    **{c: _RAW_BASE + c for c in range(1, 32)},
    **dict(zip(b'"*:<>?\\|', range(0xF020, 0xF028), strict=True)),
}
_MAPPED_TRAILING = {" ": "\uf028", ".": "\uf029"}
_UNMAPPED = {wire: disk for disk, wire in _MAPPED.items()} | {0xF028: ord(" "), 0xF029: ord(".")}

_FORBIDDEN_ON_WIRE = re.compile(r'[\x00-\x1f"*/:<>?|\\]')
_SPECIAL_ON_WIRE = re.compile("[\ud800-\udfff\uf001-\uf029\uf080-\uf0ff]")
_SPECIAL_ON_DISK = re.compile('[\x01-\x1f"*:<>?\\\\|\ud800-\udfff\uf001-\uf029\uf080-\uf0ff]')
_SPECIAL_ASCII = re.compile('[\x01-\x1f"*:<>?\\\\|]')  # the same for names in ASCII: four times as fast
_FORBIDDEN_IN_STREAM = re.compile(r"[\x00/\\:]")
_SURROGATE_BYTES = re.compile("\udced[\udca0-\udcbf][\udc80-\udcbf]")


class WirePath(NamedTuple):
    """A wire path taken apart: names as they are on disk, and what the stream suffix says."""

    parts: tuple[str, ...]  # () is the root
    path: str  # the real path, share-relative with slashes
    stream: str  # "" is the main stream
    explicit: bool  # the suffix said `::$DATA`: a directory will not do
    directory: bool  # the suffix said `::$INDEX_ALLOCATION`: only a directory will do


def _invalid(text: str) -> SMBError:
    return SMBError(NTStatus.OBJECT_NAME_INVALID, text)


def parse_path(wire_path: str) -> WirePath:
    """Takes *wire_path* apart; "" is the root, doubled and trailing backslashes, and slashes in their place,
    are tolerated as Samba does.

    Raises SMBError: OBJECT_NAME_INVALID, or OBJECT_PATH_SYNTAX_BAD for "." and "..". [MS-SMB2] 2.2.13
    """
    if len(wire_path) <= _REMEMBERED_LENGTH_MAX:
        return _parse_remembered(wire_path)
    if len(wire_path) > PATH_UNITS_MAX:
        raise _invalid("path too long")
    return _parse(wire_path)


def _parse(wire_path: str) -> WirePath:
    base, colon, suffix = wire_path.partition(":")
    if colon and "\\" in suffix:
        raise _invalid("a stream name is not the last component")
    # Windows refuses a slash; Samba takes it for a backslash, which smb2.timestamps relies on.
    parts = tuple(wire_to_disk(name) for name in base.replace("/", "\\").split("\\") if name)
    if not colon:
        return WirePath(parts, "/".join(parts), "", False, False)
    return WirePath(parts, "/".join(parts), *parse_stream(suffix))


_parse_remembered = lru_cache(maxsize=8192)(_parse)


def parse_stream(suffix: str) -> tuple[str, bool, bool]:
    """What follows a name's colon, `stream`, `stream:$DATA`, `:$DATA`, `:$INDEX_ALLOCATION`, as (stream,
    explicit, directory) of WirePath. Raises OBJECT_NAME_INVALID. [MS-FSCC] 2.1.5.3
    """
    name, colon, kind = suffix.partition(":")
    kind = kind.upper()
    if (not name and not kind) or (colon and not kind):
        raise _invalid("empty stream name")
    if kind == "$INDEX_ALLOCATION" and name.upper() in ("", "$I30"):
        return "", False, True
    if kind not in ("", "$DATA") or _FORBIDDEN_IN_STREAM.search(name):
        raise _invalid("bad stream name or type")
    if len(_encode(name)) > STREAM_NAME_MAX:
        raise _invalid("stream name too long")
    return name, not name, False


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def utf16_units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def wire_to_disk(name: str) -> str:
    """The disk name of a wire component. Raises OBJECT_NAME_INVALID, OBJECT_PATH_SYNTAX_BAD for "." and
    "..".
    """
    if name in (".", ".."):
        raise SMBError(NTStatus.OBJECT_PATH_SYNTAX_BAD, "'.' or '..' in a path")
    if _FORBIDDEN_ON_WIRE.search(name) or not name:
        raise _invalid("character that a name cannot have")
    if name.isascii():
        if len(name) > COMPONENT_MAX:
            raise _invalid("name too long")
        return name
    return _wire_to_disk_slow(name)


def _wire_to_disk_slow(name: str) -> str:
    raw = _encode(name) if not _SPECIAL_ON_WIRE.search(name) else b"".join(map(_disk_bytes, name))
    if len(raw) > COMPONENT_MAX or utf16_units(name) > COMPONENT_MAX:
        raise _invalid("name too long")
    if raw in (b".", b".."):
        raise _invalid("a mapped name that means a directory itself")
    return raw.decode("utf-8", "surrogateescape")


def _disk_bytes(character: str) -> bytes:
    code = ord(character)
    if code in _UNMAPPED:
        return bytes((_UNMAPPED[code],))
    if 0xF080 <= code <= 0xF0FF:
        return bytes((code - _RAW_BASE,))
    return _encode(character)


def disk_to_wire(name: str) -> str:
    """The wire name of the disk name *name*; every disk name has one, and `wire_to_disk` gives it back."""
    special = _SPECIAL_ASCII if name.isascii() else _SPECIAL_ON_DISK
    if not special.search(name) and name[-1] not in " .":
        return name
    return _disk_to_wire_slow(name)


def _disk_to_wire_slow(name: str) -> str:
    tail = _MAPPED_TRAILING.get(name[-1], "")
    body = name[:-1] if tail else name
    out: list[str] = []
    position = 0
    while position < len(body):
        if _SURROGATE_BYTES.match(body, position) and not _makes_pair(out, body, position):
            out.append(chr(_surrogate_at(body, position)))
            position += 3
            continue
        out.append(_wire_characters(body[position]))
        position += 1
    return "".join(out) + tail


def _surrogate_at(body: str, position: int) -> int:
    """The UTF-16 surrogate whose three (invalid) UTF-8 bytes stand, escaped, at *position*."""
    return 0xD000 | (ord(body[position + 1]) & 0x3F) << 6 | (ord(body[position + 2]) & 0x3F)


def _makes_pair(out: list[str], body: str, position: int) -> bool:
    """Whether a lone surrogate here would join the one before it to a valid pair, which means another
    name.
    """
    if not out or not "\ud800" <= out[-1] <= "\udbff":
        return False
    return _surrogate_at(body, position) >= 0xDC00


def _wire_characters(character: str) -> str:
    code = ord(character)
    if code in _MAPPED:
        return chr(_MAPPED[code])
    if 0xDC80 <= code <= 0xDCFF:
        return chr(_RAW_BASE + code - 0xDC00)
    if 0xF001 <= code <= 0xF029 or 0xF080 <= code <= 0xF0FF:
        return "".join(chr(_RAW_BASE + byte) for byte in _encode(character))
    return character


class _UpcaseTable(dict[int, int]):
    """Windows' simple upcase: one code unit to one code unit, filled as characters are met."""

    def __missing__(self, code: int) -> int:
        upper = chr(code).upper()
        same_kind = len(upper) == 1 and code <= 0xFFFF and not (code > 0x7F > ord(upper)) and code != 0xB5
        self[code] = ord(upper) if same_kind else code
        return self[code]


_UPCASE = _UpcaseTable()


def encode_name(name: str) -> bytes:
    """A disk name or real path as the kernel takes it; what `os.fsencode` does, faster."""
    return name.encode("utf-8", "surrogateescape")


def fold(name: str) -> str:
    """The form in which two names that Windows holds equal are equal: simple upper case, no normalisation."""
    return name.upper() if name.isascii() else name.translate(_UPCASE)


def wire_path_of(path: str, stream: str = "") -> str:
    """The wire path of a real path, with `:stream` where there is one."""
    wire = _wire_path_remembered(path) if len(path) <= _REMEMBERED_LENGTH_MAX else _wire_path(path)
    return f"{wire}:{stream}" if stream else wire


def _wire_path(path: str) -> str:
    return "\\".join(map(disk_to_wire, path.split("/"))) if path else ""


_wire_path_remembered = lru_cache(maxsize=8192)(_wire_path)


class VetoFiles:
    """Samba's `veto files`: patterns with `*` and `?`, compared without case, on every component."""

    __slots__ = ("_match", "any")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        wild = {"*": ".*", "?": "."}
        regexes = ("".join(wild.get(c) or re.escape(c) for c in fold(p)) for p in patterns if p)
        joined = "|".join(regexes)
        self._match = re.compile(joined, re.DOTALL).fullmatch if joined else None
        #: Whether any name is hidden at all.
        self.any = bool(joined)

    def hides(self, disk_name: str) -> bool:
        """Whether this disk name does not exist for clients."""
        return self._match is not None and self._match(fold(disk_name)) is not None
