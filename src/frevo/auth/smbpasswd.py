"""Reads the smbpasswd file format (smbpasswd(5)) for `frevo user import`."""

from __future__ import annotations

import msgspec

from frevo.records import Redacted


class SmbpasswdEntry(Redacted, msgspec.Struct, frozen=True):
    """One user line: `name:uid:LM hash:NT hash:[flags]:LCT-hex seconds:`."""

    HIDDEN = ("nt_hash",)

    name: str
    nt_hash: bytes | None
    disabled: bool
    must_change: bool
    password_set_s: int


class SmbpasswdError(ValueError):
    """A text is not an smbpasswd file; the message names the line, never its hashes."""


def parse_smbpasswd(text: str) -> tuple[list[SmbpasswdEntry], list[str]]:
    """The user entries of *text*, and a sentence for each skipped line.

    Skipped are machine trusts (flags W, I, S), users without an NT hash or with the flag N (no password: Samba admits
    them only with `null passwords`), and invalid lines. Raises SmbpasswdError if all lines are invalid, because it is
    another kind of file then.
    """
    entries: list[SmbpasswdEntry] = []
    skipped: list[str] = []
    broken: list[str] = []
    if text.startswith("TDB file"):
        raise SmbpasswdError("this is Samba's database: export it with `pdbedit -Lw` and import that")
    lines = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        lines += 1
        try:
            entry, flags = _entry(line, number)
        except SmbpasswdError as error:
            broken.append(str(error))
            continue
        if any(flag in flags for flag in "WIS") or entry.name.endswith("$"):
            skipped.append(f"line {number}: {entry.name!r} is a machine account")
        elif entry.nt_hash is None or "N" in flags:
            skipped.append(
                f"line {number}: {entry.name!r} has no {'password' if 'N' in flags else 'NT hash'}"
            )
        else:
            entries.append(entry)
    if broken and len(broken) == lines:
        raise SmbpasswdError(broken[0])
    return entries, skipped + broken


def _entry(line: str, number: int) -> tuple[SmbpasswdEntry, str]:
    fields = line.split(":")
    if len(fields) < 4 or not fields[0].strip():
        raise SmbpasswdError(f"line {number}: expected name:uid:LM hash:NT hash:[flags]:LCT-time:")
    flags = fields[4].strip("[] ").upper() if len(fields) > 4 else ""
    changed_s = _change_time(fields[5], number) if len(fields) > 5 else None
    entry = SmbpasswdEntry(
        name=fields[0].strip(),
        nt_hash=_hash(fields[3], number),
        disabled="D" in flags
        or "L" in flags,  # L: locked after wrong passwords, until an administrator unlocks it
        # never set and not exempt from expiry (X): Samba asks for a new one at the next log-on
        must_change=changed_s == 0 and "X" not in flags,
        password_set_s=changed_s or 0,
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


def _change_time(text: str, number: int) -> int | None:
    if not text.startswith("LCT-"):
        return None
    try:
        return int(text[4:], 16)
    except ValueError:
        raise SmbpasswdError(f"line {number}: the change time is not LCT- and hexadecimal digits") from None
