"""Reads the smbpasswd file format (smbpasswd(5)) for `frevo user import`."""

from __future__ import annotations

import msgspec

from frevo.records import Discreet


class SmbpasswdEntry(Discreet, msgspec.Struct, frozen=True):
    """One user line: `name:uid:LM hash:NT hash:[flags]:LCT-hex seconds:`."""

    HIDDEN = ("nt_hash",)

    name: str
    nt_hash: bytes | None
    disabled: bool
    password_set_s: int


class SmbpasswdError(ValueError):
    """A line does not have smbpasswd's form; the message names the line, never its hashes."""


def parse_smbpasswd(text: str) -> tuple[list[SmbpasswdEntry], list[str]]:
    """The user entries of *text* and a sentence for each line that was left out on purpose.

    Left out: machine trusts (flags W, I, S) and users without an NT hash. Raises SmbpasswdError on a
    malformed line.
    """
    entries: list[SmbpasswdEntry] = []
    skipped: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry, flags = _entry(line, number)
        if any(flag in flags for flag in "WIS") or entry.name.endswith("$"):
            skipped.append(f"line {number}: {entry.name!r} is a machine account")
        elif entry.nt_hash is None:
            skipped.append(f"line {number}: {entry.name!r} has no NT hash")
        else:
            entries.append(entry)
    return entries, skipped


def _entry(line: str, number: int) -> tuple[SmbpasswdEntry, str]:
    fields = line.split(":")
    if len(fields) < 4 or not fields[0]:
        raise SmbpasswdError(f"line {number}: expected name:uid:LM hash:NT hash:[flags]:LCT-time:")
    flags = fields[4].strip("[] ").upper() if len(fields) > 4 else ""
    entry = SmbpasswdEntry(
        name=fields[0].strip(),
        nt_hash=_hash(fields[3], number),
        disabled="D" in flags,
        password_set_s=_change_time(fields[5], number) if len(fields) > 5 else 0,
    )
    return entry, flags


def _hash(text: str, number: int) -> bytes | None:
    if text.upper().startswith(("NO PASSWORD", "XXXX")):
        return None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise SmbpasswdError(f"line {number}: the NT hash is not 32 hexadecimal digits")
    return value


def _change_time(text: str, number: int) -> int:
    if not text.startswith("LCT-"):
        return 0
    try:
        return int(text[4:], 16)
    except ValueError:
        raise SmbpasswdError(f"line {number}: the change time is not LCT- and hexadecimal digits") from None
