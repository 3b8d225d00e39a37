"""`frevo tls show`: the certificates of a server, their dates and fingerprints, and what clients need."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from frevo.cli.common import one_line
from frevo.cli.tls_place import Place, net_use, place_of, url_of
from frevo.errors import FrevoError
from frevo.text import json_text
from frevo.tls.access import AccessList
from frevo.tls.files import exists
from frevo.tls.warnings import DAY_S, date_of, date_warning, days_left, usage_warnings
from frevo.transport.traits import QUIC

if TYPE_CHECKING:
    from frevo.tls.load import Facts

_NO_CERTIFICATE = (
    "There is no certificate yet. A server with QUIC makes one when it starts, frevo tls renew makes one now."
)


class Shown(msgspec.Struct, frozen=True):
    """One certificate of the server, or the error that reading it gave."""

    certfile: Path
    keyfile: Path
    facts: Facts | None = None
    ours: bool = False
    warnings: tuple[str, ...] = ()


def show(args: argparse.Namespace) -> int:
    """Print everything; 1 if there is no certificate, or one that cannot be used."""
    place = place_of(args)
    shown = _certificates(place)
    authority = _authority(place)
    if args.json:
        print(json_text(_document(place, shown, authority), indent=1))
    else:
        for line in _lines(place, shown, authority):
            print(one_line(line))
    if not shown and not args.json:
        print(_NO_CERTIFICATE, file=sys.stderr)
    return int(not shown or any(one.facts is None for one in shown))


def _certificates(place: Place) -> list[Shown]:
    from frevo.tls.generate import is_ours
    from frevo.tls.load import load_pair

    found = []
    now = time.time()
    for number, (certfile, keyfile) in enumerate(place.settings.pairs()):
        main = not number and place.settings.makes_certificate
        if main and not exists(certfile) and not exists(keyfile):
            continue
        try:
            pair = load_pair(certfile, keyfile)
            ours = main and is_ours(place.store, pair)
        except FrevoError as error:
            found.append(Shown(certfile, keyfile, warnings=(str(error),)))
            continue
        what = f"the certificate {certfile}"
        warnings = (date_warning(pair.facts, now, what), *usage_warnings(pair.facts, what))
        found.append(Shown(certfile, keyfile, pair.facts, ours, tuple(filter(None, warnings))))
    return found


def _authority(place: Place) -> Facts | None:
    """frevo's own CA."""
    from frevo.tls.load import load_certificates

    if not exists(place.store.ca):
        return None
    try:
        return load_certificates(place.store.ca)[0]
    except FrevoError as error:
        print(one_line(f"frevo tls show: {error}"), file=sys.stderr)
        return None


def _entries(place: Place) -> str:
    try:
        entries = AccessList(place.store).entries()
    except FrevoError as error:
        return str(error)
    allowed = sum(entry.allow for entry in entries)
    return f"{allowed} allowed, {len(entries) - allowed} denied (frevo tls list)"


def _lines(place: Place, shown: list[Shown], authority: Facts | None) -> list[str]:
    lines = []
    for one in shown:
        lines += [f"Certificate        {one.certfile}", f"  key              {one.keyfile}"]
        lines += _fact_lines(one.facts) if one.facts is not None else []
        if one.ours and one.facts is not None:
            day = date_of(one.facts.not_after_s - (one.facts.not_after_s - one.facts.not_before_s) / 3)
            lines.append(f"  renewed          by frevo, from {day} on")
        lines += [f"  WARNING          {sentence}" for sentence in one.warnings]
        lines.append("")
    if authority is not None:
        lines += [f"CA                 {place.store.ca}", *_fact_lines(authority), ""]
    if shown or authority is not None or place.configured:
        asked = {
            "no": "clients are not asked for a certificate",
            "allow": "clients may present a certificate",
            "require": "clients must present a certificate",
        }[place.settings.client_access]
        lines += [f"Client access      {asked}; {_entries(place)}", ""]
    good = next((one for one in shown if one.facts is not None), None)
    if good is not None:
        lines += _connect_lines(place, good)
        if not place.configured:
            lines.append(f"If the server is not on UDP port {QUIC.port}, add its port, as frevo serve prints it.")
    return lines


def _fact_lines(facts: Facts) -> list[str]:
    left = days_left(facts, time.time())
    names = ", ".join(name.partition(":")[2] for name in facts.names)
    lines = [f"  names            {names}"] if names else []
    return [
        *lines,
        f"  subject          {facts.subject}",
        f"  issuer           {'itself' if facts.self_signed else facts.issuer}",
        f"  valid            {date_of(facts.not_before_s)} to {date_of(facts.not_after_s)} ({left:.0f} days left)",
        f"  SHA-256          {facts.fingerprint}",
        f"  kind             {facts.key}",
    ]


def _connect_lines(place: Place, shown: Shown) -> list[str]:
    assert shown.facts is not None
    host, facts = best_name(shown.facts), shown.facts
    url, client = url_of(place, host), ""
    if place.settings.client_access == "require":
        client = " --tls-cert CLIENT.pem --tls-key CLIENT.key"
    if not shown.ours:
        return [
            "To connect",
            f"  frevo            frevo ls {url}{client}",
            "                   if its CA is not one of the system's: --tls-ca FILE, or",
            f"                   --tls-fingerprint {facts.fingerprint}",
            f"  Windows 11       {net_use(place, host)}",
            f"  Linux            mount.cifs has no QUIC: frevo mount {url} ~/mnt",
        ]
    return [
        "To connect, give clients the CA (frevo tls export-ca ca.pem)",
        f"  frevo            frevo ls {url} --tls-ca ca.pem{client}",
        f"  without the CA   frevo ls {url} --tls-fingerprint {facts.fingerprint}{client}",
        "                   (until the certificate is renewed)",
        "  Windows 11       certutil -addstore Root ca.pem        (once, as administrator)",
        f"                   {net_use(place, host)}",
        f"  Linux            mount.cifs has no QUIC: frevo mount {url} ~/mnt --tls-ca ca.pem{client}",
    ]


def best_name(facts: Facts) -> str:
    """The name or address that others most probably reach the server by."""
    usual = ("localhost", "127.0.0.1", "::1")
    names = [name.partition(":")[2] for name in facts.names if name.startswith(("DNS:", "IP:"))]
    plain = [name for name in names if not name.startswith("*.")]
    return next((name for name in plain if name not in usual), plain[0] if plain else "SERVER")


def _document(place: Place, shown: list[Shown], authority: Facts | None) -> dict[str, Any]:
    good = next((one for one in shown if one.facts is not None), None)
    connect: dict[str, str] = {}
    if good is not None and good.facts is not None:
        host = best_name(good.facts)
        connect = {"url": url_of(place, host), "windows": net_use(place, host)}
    return {
        "private_dir": place.settings.private_dir,
        "client_access": place.settings.client_access,
        "certificates": [
            {
                "file": str(one.certfile),
                "key_file": str(one.keyfile),
                "made_by_frevo": one.ours,
                "warnings": list(one.warnings),
                **(_facts(one.facts) if one.facts is not None else {}),
            }
            for one in shown
        ],
        "ca": None if authority is None else {"file": str(place.store.ca), **_facts(authority)},
        "connect": connect,
    }


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": list(facts.names),
        "serial": f"{facts.serial:x}",
        "sha256": facts.fingerprint,
        "sha1": facts.sha1.hex(),
        "key": facts.key,
        "not_before": int(facts.not_before_s),
        "not_after": int(facts.not_after_s),
        "days_left": int((facts.not_after_s - time.time()) // DAY_S),
    }
