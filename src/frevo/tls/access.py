"""Allow and deny entries for clients' certificates: which there are, how people write them, the file that keeps them.

[MS-SMB2] 3.3.1.18: a client is let in when an entry allows one of the certificates that it sent, or the issuer of one,
and no entry denies any. Entries by SHA-256 and by issuer are the specification's; those by subject and by subject
alternative name are ours. The data plane evaluates them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from frevo.text import json_text
from frevo.tls import pem
from frevo.tls.client import parse_fingerprint
from frevo.tls.errors import TlsError
from frevo.tls.files import read_file
from frevo.tls.store import TlsStore, json_lines, who

Kind = Literal["sha256", "issuer", "subject", "san"]
#: What the data plane compares: a SHA-256, the attributes of a name (OID, text), or a text such as `DNS:x`.
AccessValue = bytes | tuple[tuple[str, str], ...] | str

#: Each handshake with a client's certificate looks at all of them.
ENTRIES_MAX = 10_000
_NAME_SIZE_MAX = 1000


class Entry(msgspec.Struct, frozen=True):
    """Lets in or keeps out what *kind* and *value* describe; `added_s` is in seconds since 1970."""

    allow: bool
    kind: Kind
    value: str
    added_s: int = 0
    added_by: str = ""
    note: str = ""

    @property
    def identifier(self) -> str:
        """What it describes, as people write it: `sha256:...`, `issuer:CN=...`."""
        return f"{self.kind}:{self.value}"

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{'allow' if self.allow else 'deny'} {self.identifier}{note}"

    def native(self) -> tuple[bool, str, AccessValue]:
        """As the data plane takes it."""
        return self.allow, self.kind, _native_value(self.kind, self.value)

    def as_json(self) -> dict[str, Any]:
        """The line in the file, and what `frevo tls list --json` shows."""
        return {
            "access": "allow" if self.allow else "deny",
            "kind": self.kind,
            "value": self.value,
            "added": self.added_s,
            "by": self.added_by,
            "note": self.note,
        }


class AccessList:
    """The entries in `access.jsonl`. Changing methods write the file and a line of the audit log."""

    def __init__(self, store: TlsStore) -> None:
        self._store = store

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were added. TlsError if the file is damaged."""
        path = self._store.access
        found = [_entry(value, path, number) for number, value in json_lines(path)]
        if len(found) > ENTRIES_MAX:
            raise TlsError(f"{path} has more than {ENTRIES_MAX} entries")
        return found

    def put(self, allow: bool, identifier: str, *, note: str = "") -> Entry:
        """Adds an entry, in place of an opposite one for the same *identifier* (`sha256:...`, `issuer:...`)."""
        kind, value = parse_identifier(identifier)
        entry = Entry(allow, kind, value, int(time.time()), who(), note)
        with self._store.changing():
            others = [one for one in self.entries() if one.identifier != entry.identifier]
            if len(others) >= ENTRIES_MAX:
                raise TlsError(f"there are {ENTRIES_MAX} entries already: allow an issuer instead")
            self._write([*others, entry])
            self._store.audit("allow" if allow else "deny", entry=entry.identifier, note=note)
        return entry

    def remove(self, identifier: str) -> Entry:
        """Removes the entry for *identifier*; TlsError if there is none."""
        kind, value = parse_identifier(identifier)
        with self._store.changing():
            before = self.entries()
            found = next((one for one in before if (one.kind, one.value) == (kind, value)), None)
            if found is None:
                raise TlsError(f"there is no entry for {kind}:{value} (frevo tls list shows all)")
            self._write([one for one in before if one is not found])
            self._store.audit("remove", entry=found.identifier, access="allow" if found.allow else "deny")
        return found

    def _write(self, entries: Sequence[Entry]) -> None:
        lines = "".join(json_text(entry.as_json()) + "\n" for entry in entries)
        self._store.write(self._store.access, lines.encode())


def identify(text: str) -> tuple[str, str]:
    """(identifier, note) of what a person writes: a fingerprint, a certificate file, `issuer:...`, `subject:...`
    or `san:...`.

    A file means its first certificate, by SHA-256. The certificate of a root CA means all that it issued: clients do
    not send their root, so its SHA-256 would match nothing.
    """
    kind, colon, _ = text.partition(":")
    if colon and kind.lower() in get_args(Kind):
        return _joined(*parse_identifier(text)), ""
    path = Path(text).expanduser()
    if not path.is_file():
        try:
            return f"sha256:{parse_fingerprint(text).hex()}", ""
        except TlsError:
            expected = (
                "a fingerprint (SHA-256), a certificate file, issuer:CN=..., subject:CN=... or san:DNS:..."
            )
            raise TlsError(f"{text[:200]!r} is not a certificate: expected {expected}") from None
    from frevo.tls.load import certificate_of, facts_of

    der = pem.certificates_in(read_file(path), str(path))[0]
    facts = facts_of(certificate_of(der, str(path)), str(path))
    if facts.is_ca and facts.self_signed:
        return _joined("issuer", _checked("issuer", facts.subject)), "a root CA, by its name"
    return f"sha256:{facts.fingerprint}", facts.subject


def parse_identifier(text: str) -> tuple[Kind, str]:
    """(kind, value) of `sha256:...`, `issuer:...`, `subject:...` or `san:...`, in the one form in which it is kept."""
    word, colon, value = text.partition(":")
    kind = next((one for one in get_args(Kind) if colon and word.lower() == one), None)
    if kind is None:
        raise TlsError(f"{text[:200]!r} is not an entry: expected sha256:, issuer:, subject: or san:")
    return kind, _checked(kind, value.strip())


def _checked(kind: Kind, value: str) -> str:
    if len(value) > _NAME_SIZE_MAX or not value.isprintable():
        raise TlsError(f"the name {value[:50]!r}... is too long, or has control characters")
    if kind == "sha256":
        return parse_fingerprint(value).hex()
    if kind == "san":
        return _alternative_name(value)
    from frevo.tls.names import distinguished_name

    return distinguished_name(value).rfc4514_string()


def _alternative_name(text: str) -> str:
    """*text* as the data plane compares it: DNS names in lower case, addresses in their short form."""
    from frevo.tls.names import alternative_name

    name = alternative_name(text)
    kind = {"dns": "DNS", "ip": "IP", "email": "email", "uri": "URI"}[text.partition(":")[0].lower()]
    return f"{kind}:{name.value}"


def _native_value(kind: Kind, value: str) -> AccessValue:
    if kind == "sha256":
        return parse_fingerprint(value)
    if kind == "san":
        return value
    from frevo.tls.names import attributes, distinguished_name

    return attributes(distinguished_name(value))


def _joined(kind: str, value: str) -> str:
    return f"{kind}:{value}"


def _entry(value: Any, path: Path, number: int) -> Entry:
    """The entry of a line; what is wrong is never passed over, because it might be the one that denies."""
    try:
        allow = {"allow": True, "deny": False}[value["access"]]
        kind, checked = parse_identifier(f"{value['kind']}:{value['value']}")
        return Entry(
            allow,
            kind,
            checked,
            int(value.get("added", 0)),
            str(value.get("by", "")),
            str(value.get("note", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TlsError(f"{path} is damaged: line {number} is not an entry ({type(error).__name__})") from None
    except TlsError as error:
        raise TlsError(f"{path} is damaged: line {number}: {error}") from None
