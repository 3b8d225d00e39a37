"""Users and passwords by server, from ~/.netrc: `machine nas login eve password …`, `default login …`.

The format is that of ftp and curl. A machine is a host or host:port; an entry without a login is never used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from frevo.records import Redacted
from frevo.transport.traits import TCP

#: A larger file is not taken for a netrc file.
_BYTES_MAX = 1 << 20
_BLANKS = " \t\r"
_VALUES = ("login", "user", "password", "account")


class Entry(Redacted, msgspec.Struct):
    """One entry; *machine* is None for `default`."""

    HIDDEN = ("password",)

    machine: str | None
    login: str = ""
    password: str | None = None


def file_name(environ: Mapping[str, str] | None = None) -> tuple[Path, bool]:
    """The netrc file ($NETRC, or else ~/.netrc), and whether it was named by $NETRC."""
    named = (os.environ if environ is None else environ).get("NETRC", "")
    return (Path(named), True) if named else (Path("~/.netrc").expanduser(), False)


def look_up(path: Path, host: str, port: int, user: str, *, must_exist: bool = False) -> Entry | None:
    """The entry for *user*, or for any user if that is empty, on host:port (0: that of SMB); None if there is none.

    The first one that fits among those of host:port, then host, then `default`. ValueError for a file that others can
    read, or that is malformed; a missing one has no entries unless it *must_exist*.
    """
    try:
        with path.open("rb") as file:
            known = os.fstat(file.fileno())
            data = file.read(_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise ValueError(f"NETRC is {path}, which does not exist: correct or unset it") from None
        return None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}: fix it, or set NETRC to another file") from None
    if len(data) > _BYTES_MAX:
        raise ValueError(f"{path}: larger than {_BYTES_MAX} bytes: not a netrc file")
    try:
        entries = list(parse(data.decode("utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    found = _fitting(entries, host, port or TCP.port, user)
    if found is not None:
        _check_private(path, known)
    return found


def _fitting(entries: list[Entry], host: str, port: int, user: str) -> Entry | None:
    host = host.casefold()
    bracketed = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    for machine in (bracketed, host, None):
        for entry in entries:
            known = entry.machine.casefold() if entry.machine is not None else None
            if known == machine and entry.login and _is(user, entry.login):
                return entry
    return None


def _is(user: str, login: str) -> bool:
    """Whether *login*, with or without its domain, is *user*, or *user* is empty."""
    account = login.replace("\\", "/").rpartition("/")[2]
    return not user or user.casefold() in (login.casefold(), account.casefold())


def _check_private(path: Path, known: os.stat_result) -> None:
    """Refuses passwords that others can read, so that their owner learns of it."""
    if known.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{path} belongs to another user: frevo does not use its passwords")
    if stat.S_ISREG(known.st_mode) and known.st_mode & 0o077:
        raise ValueError(f"{path} is readable by others: chmod 600 {path}")


def parse(text: str) -> Iterator[Entry]:
    """The entries of a netrc file. ValueError names the malformed line."""
    words = _words(text)
    entry: Entry | None = None
    for line, word in words:
        if word in ("machine", "default"):
            if entry is not None:
                yield entry
            entry = Entry(_value(words, line, word) if word == "machine" else None)
        elif word in _VALUES:
            value = _value(words, line, word)
            if entry is None:
                raise ValueError(f"line {line}: {word} is before the first machine")
            if word == "password":
                entry.password = value
            elif word != "account":
                entry.login = value
        else:  # not quoted: it may be part of a password
            raise ValueError(f"line {line}: expected machine, default, login or password")
    if entry is not None:
        yield entry


def _value(words: Iterator[tuple[int, str]], line: int, name: str) -> str:
    found = next(words, None)
    if found is None:
        raise ValueError(f"line {line}: {name} without a value")
    return found[1]


def _words(text: str) -> Iterator[tuple[int, str]]:
    r"""(line, word); "…" keeps blanks, with \" and \\ in it; macros end at an empty line; # begins a comment line."""
    in_macro = False
    for number, line in enumerate(text.split("\n"), 1):
        if in_macro:
            in_macro = bool(line.strip())
            continue
        if line.lstrip().startswith("#"):
            continue
        for word in _split(line, number):
            if word == "macdef":
                in_macro = True
                break
            yield number, word


def _split(line: str, number: int) -> Iterator[str]:
    position, end = 0, len(line)
    while position < end:
        if line[position] in _BLANKS:
            position += 1
        elif line[position] == '"':
            word, position = "", position + 1
            while position < end and line[position] != '"':
                position += line[position] == "\\" and position + 1 < end
                word += line[position]
                position += 1
            if position >= end:
                raise ValueError(f"line {number}: a quote is not closed")
            position += 1
            yield word
        else:
            begin = position
            while position < end and line[position] not in _BLANKS:
                position += 1
            yield line[begin:position]
