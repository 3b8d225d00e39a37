"""Makes certificates: a CA, the server's certificate, certificates of clients (with `cryptography`).

ECDSA with P-256 and SHA-256, which Windows, OpenSSL and all QUIC stacks take. The CA exists so that clients can trust
this server for ten years while its certificate is renewed every year.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import exists, read_file, read_key_file
from frevo.tls.load import (
    Pair,
    UsableKey,
    certificate_der,
    certificates,
    is_issuer,
    key_der,
    load_pair,
    pair_of,
    private_key_of,
)
from frevo.tls.names import common_name, general_names, host_addresses, host_names, is_dns_name
from frevo.tls.store import TlsStore

DAY_S = 86400
CA_DAYS, LEAF_DAYS = 3653, 365
#: Certificates are valid a little earlier, for clients whose clock is late.
_EARLY_S = 3600
#: The part of a certificate's life that is left when it is renewed.
RENEW_AT = 1 / 3


class Authority:
    """A CA with its key."""

    def __init__(self, certificate: x509.Certificate, key: UsableKey) -> None:
        self.certificate = certificate
        self.key = key

    def issue(
        self,
        subject: x509.Name,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        *,
        days: float = LEAF_DAYS,
        now: float | None = None,
    ) -> Pair:
        """A new certificate with a new key, valid for *days* or as long as the CA."""
        now = time.time() if now is None else now
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(_time(now + days * DAY_S), self.certificate.not_valid_after_utc)
        if until.timestamp() <= now:
            raise TlsError("the CA has expired: make a new one with frevo tls renew --ca")
        builder = (
            _builder(subject, self.certificate.subject, key.public_key(), now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._key_identifier(), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return pair_of([certificate], key)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key())  # type: ignore[arg-type]
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def make_authority(name: str, *, now: float | None = None) -> Authority:
    """A new CA called `CN=name`, which may sign certificates of servers and clients, but no further CAs."""
    now = time.time() if now is None else now
    key = ec.generate_private_key(ec.SECP256R1())
    subject = common_name(name)
    certificate = (
        _builder(subject, subject, key.public_key(), now, _time(now + CA_DAYS * DAY_S))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(store: TlsStore) -> Authority | None:
    """The CA of *store*; None if it has none, or only its certificate."""
    if not (exists(store.ca) and exists(store.ca_key)):
        return None
    key = private_key_of(pem.key_in(read_key_file(store.ca_key), str(store.ca_key)), str(store.ca_key))
    for certificate in certificates(read_file(store.ca), str(store.ca)):
        if certificate.public_key() == key.public_key():
            return Authority(certificate, key)
    raise TlsError(f"the key in {store.ca_key} does not belong to the CA in {store.ca}")


def ensure_certificate(store: TlsStore, *, now: float | None = None) -> Pair:
    """The server's certificate of *store*: made if there is none, and renewed when a third of its life is left.

    TlsError if only one of certificate and key is there, or if one cannot be read or written.
    """
    with contextlib.suppress(TlsError):  # what another process is just writing is looked at again below
        if not is_due(store, now=now):
            return load_pair(store.certificate, store.key)
    with store.changing():
        if is_due(store, now=now):  # another process may have been faster
            return renew(store, now=now)
        return load_pair(store.certificate, store.key)


def is_due(store: TlsStore, *, now: float | None = None) -> bool:
    """Whether the server's certificate is missing, or is our own and has at most a third of its life left."""
    there = [path for path in (store.certificate, store.key) if exists(path)]
    if len(there) == 1:
        missing = store.key if there == [store.certificate] else store.certificate
        raise TlsError(f"{there[0]} exists, but {missing} does not: restore it, or remove the other as well")
    if not there:
        return True
    pair = load_pair(store.certificate, store.key)
    if not is_ours(store, pair):
        return False
    now = time.time() if now is None else now
    life = pair.facts.not_after_s - pair.facts.not_before_s
    return pair.facts.not_after_s - now <= life * RENEW_AT


def is_ours(store: TlsStore, pair: Pair) -> bool:
    """Whether the CA of *store* has signed *pair*, so that it can be renewed here."""
    authority = load_authority(store)
    leaf = certificates(pair.chain[0], str(store.certificate))[0]
    return authority is not None and is_issuer(authority.certificate, leaf)


def renew(store: TlsStore, *, new_authority: bool = False, now: float | None = None) -> Pair:
    """Makes a new certificate for the server, and a CA if there is none; to be called while `store.changing`."""
    authority = None if new_authority else load_authority(store)
    names = host_names()
    if authority is None:
        if exists(store.ca) and not new_authority:
            raise TlsError(
                f"{store.ca} exists without its key {store.ca_key}: the server cannot renew with it"
            )
        authority = make_authority(f"frevo CA of {names[0]}", now=now)
        store.write_pair(
            store.ca, store.ca_key, [certificate_der(authority.certificate)], key_der(authority.key)
        )
        store.audit("made a CA", sha256=authority.certificate.fingerprint(hashes.SHA256()).hex())
    every = [*store.extra_names(), *_kept_names(store), *names, *host_addresses()]
    pair = authority.issue(
        common_name(names[0]), general_names(every), ExtendedKeyUsageOID.SERVER_AUTH, now=now
    )
    store.write_pair(store.certificate, store.key, pair.chain, pair.key)
    store.audit("made a server certificate", sha256=pair.facts.fingerprint, names=list(pair.facts.names))
    return pair


def _kept_names(store: TlsStore) -> Iterable[str]:
    """The DNS names of the present certificate: a host that was renamed is still found by its old name."""
    if not exists(store.certificate):
        return []
    try:
        found = load_pair(store.certificate, store.key).facts.dns_names
    except TlsError:
        return []
    return [name for name in found if is_dns_name(name)]


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: float,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - _EARLY_S))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
