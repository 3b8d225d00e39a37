"""What a server with these settings would stumble over, without making or changing a file: for testparm and serve."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from frevo.errors import FrevoError
from frevo.tls.access import AccessList
from frevo.tls.files import exists
from frevo.tls.server import client_cas, read_all
from frevo.tls.settings import DEFAULT_CERTFILE, DEFAULT_KEYFILE, TlsSettings
from frevo.tls.store import TlsStore
from frevo.tls.trust import revocation_lists
from frevo.tls.warnings import date_of, date_warning, usage_warnings


class Finding(msgspec.Struct, frozen=True):
    """A sentence about one key; *attribute* is the key's in GlobalConfig. With an error, QUIC is not served."""

    attribute: str
    message: str
    severity: Literal["error", "warning"] = "error"


def findings(settings: TlsSettings, *, now: float | None = None) -> list[Finding]:
    """Errors and warnings about the files that *settings* name, the certificates in them, and the access entries."""
    now = time.time() if now is None else now
    found = [*_certificates(settings, now), *_clients(settings, now)]
    makes = settings.makes_certificate and not exists(settings.pairs()[0][0])
    if not makes and not any(finding.severity == "error" for finding in found):
        try:
            read_all(settings)
        except FrevoError as error:
            found.append(Finding("tls_certfile", str(error)))
    return found


def _certificates(settings: TlsSettings, now: float) -> Iterator[Finding]:
    from frevo.tls.load import load_pair

    for number, (certfile, keyfile) in enumerate(settings.pairs()):
        attribute = "frevo_quic_certificates" if number else "tls_certfile"
        if not number and settings.makes_certificate and not exists(certfile) and not exists(keyfile):
            yield from _place(TlsStore(settings.private_dir).directory)
            continue
        try:
            facts = load_pair(certfile, keyfile).facts
        except FrevoError as error:
            yield Finding(attribute, str(error)) if number else _main_pair_error(settings, error)
            continue
        what = f"the certificate {certfile}"
        if sentence := date_warning(facts, now, what):
            yield Finding(attribute, sentence, "warning")
        for sentence in usage_warnings(facts, what):
            yield Finding(attribute, sentence, "warning")


def _main_pair_error(settings: TlsSettings, error: FrevoError) -> Finding:
    """Below the key that was set. If it is the only one of the two, the other one is what is missing."""
    certfile, keyfile = settings.certfile != DEFAULT_CERTFILE, settings.keyfile != DEFAULT_KEYFILE
    if certfile == keyfile:
        return Finding("tls_certfile", str(error))
    attribute, other = ("tls_certfile", "tls keyfile") if certfile else ("tls_keyfile", "tls certfile")
    return Finding(attribute, f"{error} (`{other}` is not set)")


def _place(directory: Path) -> Iterator[Finding]:
    """Whether the server could make its files there."""
    existing = directory
    while not exists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "tls_certfile", f"no certificate can be made in {directory}: {existing} cannot be written"
        )


def _clients(settings: TlsSettings, now: float) -> Iterator[Finding]:
    entries = None
    try:
        entries = AccessList(TlsStore(settings.private_dir)).entries()
    except (FrevoError, OSError) as error:
        yield Finding("frevo_quic_client_access", str(error))
    if settings.client_access == "no":
        if entries:
            text = (
                f"{len(entries)} entries of frevo tls have no effect: clients are not asked for certificates"
            )
            yield Finding("frevo_quic_client_access", text, "warning")
        return
    makes_ca = settings.makes_certificate and not exists(settings.pairs()[0][0])
    try:
        if not makes_ca:
            client_cas(settings)
    except (FrevoError, OSError) as error:
        yield Finding("tls_cafile", str(error))
    if entries is not None and not any(entry.allow for entry in entries):
        text = (
            "no client with a certificate can connect: no entry allows one (frevo tls allow, or issue-client)"
        )
        yield Finding("frevo_quic_client_access", text, "warning")
    if settings.crlfile:
        yield from _lists(settings.path(settings.crlfile), now)


def _lists(path: Path, now: float) -> Iterator[Finding]:
    from frevo.tls.load import next_update

    try:
        updates = [next_update(der, str(path)) for der in revocation_lists([path])]
    except FrevoError as error:
        yield Finding("tls_crlfile", str(error))
        return
    for update in updates:
        if update is not None and update < now:
            text = f"the revocation list {path} has been out of date since {date_of(update)}"
            yield Finding("tls_crlfile", text, "warning")
