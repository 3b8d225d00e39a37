"""`frevo tls renew`, `export-ca` and `import`: the server's own certificate."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.cli.common import one_line
from frevo.cli.passwords import read_password
from frevo.cli.tls_place import own_place, place_of
from frevo.errors import FrevoError
from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import exists, read_file
from frevo.tls.store import TlsStore
from frevo.tls.warnings import date_of, date_warning, usage_warnings

if TYPE_CHECKING:
    from frevo.tls.load import Facts


def renew(args: argparse.Namespace) -> int:
    """Make a new certificate for the server; with `--ca` a new CA first."""
    from frevo.tls.generate import renew as make_new
    from frevo.tls.names import server_name

    store = own_place(args).store
    for name in args.name:
        server_name(name)
    if not args.replace:
        _must_be_ours(store)
    with store.changing():
        if args.name:
            store.add_names(args.name)
        pair = make_new(store, new_authority=args.ca)
    if args.ca:
        print(one_line(f"Made a new CA in {store.ca}: clients need to import it (frevo tls export-ca)"))
    _report("Made", store, pair.facts)
    return 0


def _must_be_ours(store: TlsStore) -> None:
    """TlsError if the server's certificate comes from elsewhere; one that cannot be read may be replaced too."""
    from frevo.tls.generate import is_ours
    from frevo.tls.load import load_pair

    if not exists(store.certificate):
        return
    try:
        ours = is_ours(store, load_pair(store.certificate, store.key))
    except FrevoError as error:
        raise TlsError(f"{error} (--replace makes a new certificate in its place)") from None
    if not ours:
        raise TlsError(
            f"{store.certificate} was not made by frevo: renew it where it comes from and import it again, or use "
            "--replace"
        )


def export_ca(args: argparse.Namespace) -> int:
    """Write frevo's own CA, without its key, to a file or standard output."""
    store = place_of(args).store
    if not exists(store.ca):
        raise TlsError(
            f"there is no CA in {store.ca}: clients need the CA that issued the server's certificate"
        )
    der = pem.certificates_in(read_file(store.ca), str(store.ca))[0]
    content = der if args.der else pem.pem_of(pem.CERTIFICATE, der)
    if args.file is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return 0
    Path(args.file).write_bytes(content)
    print(one_line(f"Wrote {args.file}"))
    return 0


def import_pair(args: argparse.Namespace) -> int:
    """Make a certificate and key of another CA the server's; the old ones are kept beside them."""
    from frevo.tls.importing import read_import

    store = own_place(args).store
    keyfile = Path(args.keyfile) if args.keyfile is not None else None
    password = partial(read_password, f"Password of {args.file}", from_stdin=args.password_stdin)
    pair = read_import(Path(args.file), keyfile, password)
    with store.changing():
        for path, previous in zip((store.certificate, store.key), store.previous, strict=True):
            if exists(path):
                store.write(previous, read_file(path))
        store.write_pair(store.certificate, store.key, pair.chain, pair.key)
        store.audit(
            "imported a server certificate", sha256=pair.facts.fingerprint, subject=pair.facts.subject
        )
    _report("Imported", store, pair.facts)
    print("frevo does not renew it: import the next one before it expires.")
    return 0


def _report(what: str, store: TlsStore, facts: Facts) -> None:
    names = ", ".join(name.partition(":")[2] for name in facts.names)
    print(one_line(f"{what} {store.certificate}, valid until {date_of(facts.not_after_s)}"))
    print(one_line(f"Names: {names or '(none)'}"))
    print(f"SHA-256: {facts.fingerprint}")
    warnings = [
        date_warning(facts, time.time(), "the certificate"),
        *usage_warnings(facts, "the certificate"),
    ]
    for sentence in filter(None, warnings):
        print(one_line(f"WARNING: {sentence}"), file=sys.stderr)
