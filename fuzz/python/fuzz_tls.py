"""Fuzz targets for what `frevo.tls` reads: certificates, keys, revocation lists, entries, names, fingerprints.

Invariant of each: for any bytes there is a result or TlsError.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from peers import pki

from frevo.tls import pem
from frevo.tls.access import AccessList, parse_identifier
from frevo.tls.client import parse_fingerprint
from frevo.tls.errors import TlsError
from frevo.tls.load import certificates, facts_of, next_update, pair_of, private_key_of
from frevo.tls.store import TlsStore

#: A target: the function to call with the input, and the initial inputs.
Target = tuple[Callable[[bytes], None], list[bytes]]


def _result_or_error(call: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            call(data)
        except TlsError as error:
            assert str(error)

    return run


def _facts(data: bytes) -> None:
    for certificate in certificates(data, "f"):
        facts_of(certificate, "f")


def _pair(data: bytes) -> None:
    pair_of(certificates(data, "f"), private_key_of(pem.key_in(data, "f"), "f"))


def _lists(data: bytes) -> None:
    for der in pem.crls_in(data, "f"):
        next_update(der, "f")


def _entries(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = TlsStore(folder)
        store.directory.mkdir()
        store.access.write_bytes(data)
        for entry in AccessList(store).entries():
            entry.native()


def targets() -> dict[str, Target]:
    """One per kind of file or text."""
    root = pki.authority("root")
    made = pki.leaf("nas.example", root, names=("nas.example", "192.0.2.1", "eve@example.org"))
    line = b'{"access": "deny", "kind": "issuer", "value": "CN=Example CA,O=Example", "added": 1, "by": "x"}\n'
    calls: dict[str, tuple[Callable[[bytes], Any], list[bytes]]] = {
        "certificates": (_facts, [made.der, root.der, made.pem + root.pem]),
        "pair": (_pair, [made.pem + root.pem + made.key_pem]),
        "lists": (_lists, [pki.revocation_list(root, made)]),
        "entries": (_entries, [line, line.replace(b"issuer", b"subject") + line]),
        "identifier": (
            lambda data: parse_identifier(data.decode("utf-8", "replace")),
            [b"issuer:CN=Example CA, O=Example", b"san:IP:192.0.2.1", b"sha256:" + b"ab" * 32],
        ),
        "fingerprint": (lambda data: parse_fingerprint(data.decode("utf-8", "replace")), [b"ab:" * 31 + b"ab"]),
    }
    return {f"tls.{name}": (_result_or_error(call), seeds) for name, (call, seeds) in calls.items()}
