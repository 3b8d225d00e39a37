"""`frevo tls issue-client`, `allow`, `deny`, `list` and `remove`: certificates of clients."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from frevo.cli.common import one_line
from frevo.cli.passwords import read_password
from frevo.cli.tls_place import Place, net_use, place_of, url_of
from frevo.cli.tls_show import best_name
from frevo.errors import FrevoError
from frevo.text import json_text
from frevo.tls import pem
from frevo.tls.access import AccessList, Entry, identify
from frevo.tls.errors import TlsError
from frevo.tls.files import exists
from frevo.tls.store import json_lines, who
from frevo.tls.warnings import date_of

_FILE_NAME = re.compile(r"[^\w.@+-]+")
_NOTICED = "Running servers notice this within a second."


def issue_client(args: argparse.Namespace) -> int:
    """Make a certificate and key for a client, as PEM and PKCS#12."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from frevo.tls.generate import load_authority
    from frevo.tls.importing import pkcs12_of
    from frevo.tls.names import alternative_name, common_name

    place = place_of(args)
    authority = load_authority(place.store)
    if authority is None:
        reason = f"there is no CA with a key in {place.store.directory}"
        raise TlsError(f"{reason}: make one with frevo tls renew, or use the CA that you have")
    subject, names = common_name(args.name), [alternative_name(text) for text in args.san]
    paths = _files(Path(args.out), args.name)
    password = read_password(f"New password for {paths[2].name}", from_stdin=args.password_stdin, new=True)
    pair = authority.issue(subject, names, ExtendedKeyUsageOID.CLIENT_AUTH, days=args.days)
    contents = (
        b"".join(pem.pem_of(pem.CERTIFICATE, der) for der in pair.chain),
        pem.pem_of("PRIVATE KEY", pair.key),
        pkcs12_of(pair, authority.certificate, password, args.name),
    )
    for path, content in zip(paths, contents, strict=True):
        _create(path, content)
    facts = pair.facts
    issuer = authority.certificate.fingerprint(hashes.SHA256()).hex()
    with place.store.changing():
        record = {
            "name": args.name,
            "sha256": facts.fingerprint,
            "not_after": int(facts.not_after_s),
            "ca": issuer,
        }
        place.store.append(place.store.issued, {**record, "issued": int(time.time()), "by": who()})
        place.store.audit("issued a client certificate", name=args.name, sha256=facts.fingerprint)
    if not args.no_allow:
        AccessList(place.store).put(True, f"sha256:{facts.fingerprint}", note=facts.subject)
    written = ", ".join(str(path) for path in paths)
    print(one_line(f"Made {written}, valid until {date_of(facts.not_after_s)}"))
    print(f"SHA-256: {facts.fingerprint}")
    print("Not allowed yet: see frevo tls allow" if args.no_allow else f"Allowed. {_NOTICED}")
    for line in _how_to_use(place, paths, facts.sha1.hex()):
        print(one_line(line))
    _remarks(place, authority_sha256=issuer)
    return 0


def _files(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """The three files for *name*, none of which exists yet."""
    stem = _FILE_NAME.sub("_", name).lstrip(".") or "client"
    paths = (folder / f"{stem}.pem", folder / f"{stem}.key", folder / f"{stem}.p12")
    for path in paths:
        if path.exists() or path.is_symlink():
            raise TlsError(f"{path} exists already: move it away, or use --out DIR")
    return paths


def _create(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _how_to_use(place: Place, paths: tuple[Path, Path, Path], thumbprint: str) -> list[str]:
    host = _host(place)
    certificate, key, bundle = (path.name for path in paths)
    return [
        "",
        f"frevo       frevo ls {url_of(place, host)} --tls-ca ca.pem --tls-cert {certificate} --tls-key {key}",
        "Windows 11  in PowerShell, as administrator:",
        rf"            Import-PfxCertificate -FilePath {bundle} -CertStoreLocation Cert:\LocalMachine\My"
        " -Password (Read-Host -AsSecureString)",
        f"            New-SmbClientCertificateMapping -Namespace {host} -Thumbprint {thumbprint.upper()} -Store My",
        f"            {net_use(place, host)}",
    ]


def _host(place: Place) -> str:
    from frevo.tls.load import load_certificates

    certfile = place.settings.pairs()[0][0]
    try:
        return best_name(load_certificates(certfile)[0]) if exists(certfile) else "SERVER"
    except FrevoError:
        return "SERVER"


def allow(args: argparse.Namespace) -> int:
    """Let clients connect."""
    return _put(args, allowed=True)


def deny(args: argparse.Namespace) -> int:
    """Keep clients out."""
    return _put(args, allowed=False)


def _put(args: argparse.Namespace, *, allowed: bool) -> int:
    place = place_of(args)
    identifier, found = identify(args.client)
    entry = AccessList(place.store).put(allowed, identifier, note=args.note or found)
    print(one_line(f"{'Allowed' if allowed else 'Denied'} {entry.identifier}"), end="")
    print(one_line(f" ({entry.note})" if entry.note else "") + f". {_NOTICED}")
    _remarks(place)
    return 0


def remove(args: argparse.Namespace) -> int:
    """Remove an entry."""
    place = place_of(args)
    entry = AccessList(place.store).remove(identify(args.client)[0])
    print(one_line(f"Removed: {entry}. {_NOTICED}"))
    return 0


def list_entries(args: argparse.Namespace) -> int:
    """List the entries, and the certificates issued here."""
    place = place_of(args)
    entries = AccessList(place.store).entries()
    issued = [value for _, value in json_lines(place.store.issued) if isinstance(value, dict)]
    if args.json:
        print(json_text({"entries": [entry.as_json() for entry in entries], "issued": issued}, indent=1))
        return 0
    for line in [*_entry_table(entries), "", *_issued_table(issued)]:
        print(one_line(line))
    _remarks(place)
    return 0


def _entry_table(entries: list[Entry]) -> list[str]:
    if not entries:
        return ["No entries: no client with a certificate may connect."]
    rows: list[tuple[str, ...]] = [("ACCESS", "CLIENT", "ADDED", "BY", "NOTE")]
    for entry in entries:
        access = "allow" if entry.allow else "deny"
        rows.append((access, entry.identifier, date_of(entry.added_s), entry.added_by, entry.note))
    return _table(rows)


def _issued_table(issued: list[dict[str, Any]]) -> list[str]:
    if not issued:
        return ["No certificates were issued here."]
    rows: list[tuple[str, ...]] = [("ISSUED TO", "SHA-256", "UNTIL", "BY")]
    for one in issued:
        until = one.get("not_after", 0)
        day = date_of(until) if isinstance(until, int) and 0 <= until < 1 << 36 else "?"
        rows.append((*(str(one.get(key, "?")) for key in ("name", "sha256")), day, str(one.get("by", "?"))))
    return _table(rows)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _remarks(place: Place, *, authority_sha256: str = "") -> None:
    """Say why an entry or a certificate would be of no use with this smb.conf."""
    if not place.configured:
        return
    if place.settings.client_access == "no":
        text = (
            "clients are not asked for certificates: set `frevo:quic client access` to `require` or `allow`"
        )
        print(f"NOTE: {text}", file=sys.stderr)
        return
    if not authority_sha256:
        return
    from hashlib import sha256

    from frevo.tls.server import client_cas

    try:
        trusted = {sha256(der).hexdigest() for der in client_cas(place.settings)}
    except FrevoError as error:
        print(one_line(f"NOTE: {error}"), file=sys.stderr)
        return
    if authority_sha256 not in trusted:
        text = f"the server does not trust this CA: add {place.store.ca} to `tls cafile`"
        print(one_line(f"NOTE: {text}"), file=sys.stderr)
