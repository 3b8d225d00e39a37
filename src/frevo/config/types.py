"""Value types of configuration keys: how the text of a key becomes a typed value, and back.

`parse` raises ValueError with a sentence for a person if the text is not a value of the type, and passes warnings to
`warn`. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from frevo.config.macros import expand
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress, parse_transports

T = TypeVar("T")
Warn = Callable[[str], None]

_TRUE = frozenset({"yes", "true", "1", "on"})
_FALSE = frozenset({"no", "false", "0", "off"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z", re.ASCII)
_LEADING_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,15}|[0-9]{1,18})", re.ASCII)
_LEADING_OCTAL = re.compile(r"(?:0o)?([0-7]{1,11})", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15})\s*([KMGTP]?)B?\Z", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)?\Z", re.ASCII | re.IGNORECASE)
_SIZE_FACTOR = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_DURATION_FACTOR = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class OutOfRange(ValueError):
    """A number out of range; `nearest` is the nearest valid one."""

    def __init__(self, message: str, nearest: float) -> None:
        super().__init__(message)
        self.nearest = nearest


class ValueType(msgspec.Struct, Generic[T], frozen=True):
    """One type of value: `label` describes it for people, `parse` reads it, `format` writes it back."""

    label = "string"

    def parse(self, text: str, warn: Warn) -> T:
        """The value of *text*; ValueError if invalid."""
        raise NotImplementedError

    def format(self, value: T) -> str:
        """The text that gives *value*."""
        return str(value)


class Text(ValueType[str], frozen=True):
    """Any text; one pair of double quotes around it is dropped, as Samba does."""

    def parse(self, text: str, warn: Warn) -> str:
        return unquote(text)


class Name(ValueType[str], frozen=True):
    """A NetBIOS name without path or list separators, cut to `length_max` bytes."""

    length_max: int = 15
    label = "name"

    def parse(self, text: str, warn: Warn) -> str:
        name = expand(unquote(text))
        if not name:
            raise ValueError(f"expected a name of 1 to {self.length_max} bytes")
        if any(letter in '\\/:*?"<>|' or not letter.isprintable() for letter in name):
            raise ValueError(f'{name!r} contains one of \\/:*?"<>| or an unprintable character')
        encoded = name.encode("utf-8", "replace")
        if len(encoded) > self.length_max:
            name = encoded[: self.length_max].decode("utf-8", "ignore").strip()
            warn(f"a NetBIOS name has at most {self.length_max} bytes: cut to {name!r}")
        return name


class Separator(ValueType[str], frozen=True):
    """One character, which is no letter and no digit."""

    label = "character"

    def parse(self, text: str, warn: Warn) -> str:
        letter = unquote(text)
        if len(letter) != 1 or letter.isalnum() or not letter.isprintable():
            raise ValueError(f"expected one character other than a letter or digit, not {text!r}")
        return letter


class Path(ValueType[str], frozen=True):
    """An absolute path; macros are allowed and are expanded at use."""

    label = "path"

    def parse(self, text: str, warn: Warn) -> str:
        path = unquote(text)
        if not path:
            return ""
        if not path.startswith(("/", "%")):
            raise ValueError(f"expected an absolute path, not {path!r}")
        return path


class Boolean(ValueType[bool], frozen=True):
    """yes or no in Samba's spellings."""

    label = "yes or no"

    def parse(self, text: str, warn: Warn) -> bool:
        word = text.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ValueError(f"expected yes or no, not {text!r}")

    def format(self, value: bool) -> str:
        return "yes" if value else "no"


class Integer(ValueType[int], frozen=True):
    """A decimal integer within a range."""

    least: int = 0
    most: int = 2**31 - 1
    label = "integer"

    def parse(self, text: str, warn: Warn) -> int:
        word = text.strip()
        match = _LEADING_INTEGER.match(word)
        if match is None:
            raise ValueError(f"expected a whole number, not {text!r}")
        number = int(match[0], 16 if "x" in match[0].lower() else 10)
        if match[0] != word:
            warn(f"{word!r} is read as {number}, as in Samba")
        return within(number, self.least, self.most)


class LogLevel(ValueType[int], frozen=True):
    """Samba's log level: the first number counts, `class:level` pairs are accepted and ignored."""

    label = "log level"

    def parse(self, text: str, warn: Warn) -> int:
        words = text.split()
        level = 0
        for index, word in enumerate(words):
            name, colon, number = word.partition("@")[0].rpartition(
                ":"
            )  # a class may have a file: all:3@/log
            if not _INTEGER.match(number) or (index and not colon):
                raise ValueError(f"expected a number from 0 to 10, not {text!r}")
            if colon:
                warn(f"frevo has no log class {name!r}: ignored")
            else:
                level = within(int(number), 0, 100)
        return min(level, 10)


class Mode(ValueType[int], frozen=True):
    """Unix permission bits in octal."""

    label = "octal mode"

    def parse(self, text: str, warn: Warn) -> int:
        word = unquote(text)
        match = _LEADING_OCTAL.match(word)
        if match is None:
            raise ValueError(f"expected an octal mode such as 0644, not {text!r}")
        mode = int(match[1], 8)
        if match[0] != word or mode > 0o7777:
            warn(f"{word!r} is read as {mode & 0o7777:04o}")
        return mode & 0o7777

    def format(self, value: int) -> str:
        return f"{value:04o}"


class Size(ValueType[int], frozen=True):
    """Bytes, with an optional K, M or G (1024 and its powers)."""

    least: int = 0
    most: int = 2**40
    label = "bytes (K, M, G)"

    def parse(self, text: str, warn: Warn) -> int:
        match = _SIZE.match(text.strip())
        if not match:
            raise ValueError(f"expected a size such as 65536, 64K or 8M, not {text!r}")
        return within(int(match[1]) * _SIZE_FACTOR[match[2].upper()], self.least, self.most)


class Duration(ValueType[float], frozen=True):
    """Seconds, with an optional ms, s, m, h or d."""

    least: float = 0.0
    most: float = 366 * 86400.0
    label = "seconds (ms, s, m, h, d)"

    def parse(self, text: str, warn: Warn) -> float:
        match = _DURATION.match(text.strip())
        if not match:
            raise ValueError(f"expected a time such as 30, 2.5s or 10m, not {text!r}")
        return within(float(match[1]) * _DURATION_FACTOR[(match[2] or "s").lower()], self.least, self.most)

    def format(self, value: float) -> str:
        return f"{value:g}"


class Choice(ValueType[T], frozen=True):
    """One of a few words. `words` maps every accepted spelling (lower case) to its value."""

    words: Mapping[str, T]
    shown: Sequence[str] = ()
    notes: Mapping[str, str] | None = None
    label = "one of"

    def parse(self, text: str, warn: Warn) -> T:
        word = " ".join(unquote(text).lower().split())
        if word not in self.words:
            raise ValueError(f"expected one of {', '.join(self.names())}, not {text!r}")
        if self.notes and word in self.notes:
            warn(self.notes[word])
        return self.words[word]

    def names(self) -> Sequence[str]:
        """The spellings shown to people."""
        return self.shown or tuple(dict.fromkeys(str(value) for value in self.words.values()))

    def format(self, value: T) -> str:
        return next((name for name in self.names() if self.words[name.lower()] == value), str(value))


class Words(ValueType[tuple[str, ...]], frozen=True):
    """A list separated by commas, semicolons or spaces; double quotes protect these."""

    label = "list"

    def parse(self, text: str, warn: Warn) -> tuple[str, ...]:
        if text.count('"') % 2:
            warn('a double quote (") is not closed: it is taken to end with the line')
        return tuple(split_words(text))

    def format(self, value: tuple[str, ...]) -> str:
        return ", ".join(f'"{word}"' if re.search(r"[\s,;]", word) else word for word in value)


class FilePairs(Words, frozen=True):
    """A list of `certfile:keyfile`."""

    label = "list of certfile:keyfile"

    def parse(self, text: str, warn: Warn) -> tuple[str, ...]:
        pairs = Words.parse(self, text, warn)
        for pair in pairs:
            if not all(pair.rpartition(":")):
                raise ValueError(f"expected certfile:keyfile, not {pair!r}")
        return pairs


class Subset(ValueType[tuple[str, ...]], frozen=True):
    """An ordered list out of `names`; `+name` appends to the default (all of `initial`), `-name` removes."""

    names: tuple[str, ...]
    initial: tuple[str, ...]
    label = "ordered list of"

    def parse(self, text: str, warn: Warn) -> tuple[str, ...]:
        words = split_words(text)
        signed = [word[:1] in ("+", "-") for word in words]
        if any(signed) and not all(signed):
            raise ValueError("words with + or - change the default, plain words replace it: do not mix them")
        chosen = list(self.initial) if any(signed) else []
        for word in words:
            name = self._name(word.lstrip("+-"))
            if word.startswith("-"):
                chosen = [other for other in chosen if other != name]
            elif name not in chosen:
                chosen.append(name)
        if not chosen:
            raise ValueError(f"the list is empty: expected at least one of {', '.join(self.names)}")
        return tuple(chosen)

    def _name(self, word: str) -> str:
        for name in self.names:
            if name.lower() == word.lower():
                return name
        raise ValueError(f"unknown algorithm {word!r}: expected {', '.join(self.names)}")

    def format(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)


class Patterns(ValueType[tuple[str, ...]], frozen=True):
    """File name patterns between slashes (`/*.tmp/.Trash*/`); `*` and `?` are wildcards, spaces are part of a name."""

    label = "/pattern/pattern/"

    def parse(self, text: str, warn: Warn) -> tuple[str, ...]:
        body = unquote(text)
        if body and "/" not in body:
            warn("separate patterns with slashes, as in /*.tmp/.Trash*/")
        return tuple(dict.fromkeys(part for part in body.split("/") if part))

    def format(self, value: tuple[str, ...]) -> str:
        return "/" + "/".join(value) + "/" if value else ""


class Transports(ValueType[tuple[TransportAddress, ...]], frozen=True):
    """`name[:port]` tokens; see frevo.transport.address."""

    label = "transports"

    def parse(self, text: str, warn: Warn) -> tuple[TransportAddress, ...]:
        addresses, warnings = parse_transports(text, DEFAULT_TRANSPORTS)
        for warning in warnings:
            warn(warning)
        return addresses

    def format(self, value: tuple[TransportAddress, ...]) -> str:
        return ", ".join(map(str, value))


Number = TypeVar("Number", int, float)


def within(value: Number, least: Number, most: Number) -> Number:
    """*value* if it is in the range, else OutOfRange."""
    if not least <= value <= most:
        message = f"{value:g} is out of range: expected {least:g} to {most:g}"
        raise OutOfRange(message, least if value < least else most)
    return value


def unquote(text: str) -> str:
    """*text* without the double quotes around it (which stay if there are quotes inside)."""
    body = text.strip()
    if len(body) >= 2 and body[0] == body[-1] == '"' and '"' not in body[1:-1]:
        return body[1:-1]
    return body


def split_words(text: str) -> list[str]:
    """The words of a Samba list; an unclosed quote extends to the end."""
    words: list[str] = []
    word = ""
    quoted = False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter in " \t\r\n,;":
            words.append(word)
            word = ""
        else:
            word += letter
    return [item for item in [*words, word] if item]
