"""Certificates for tests: roots, intermediate CAs and leaves with every property that a test wants wrong."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Made:
    """A certificate with its key and the certificate above it (None for a root)."""

    def __init__(self, certificate: x509.Certificate, key: Any, above: Made | None) -> None:
        self.certificate = certificate
        self.key = key
        self.above = above

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def sha256(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA256())

    @property
    def key_der(self) -> bytes:
        return self._key(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self._key(serialization.Encoding.PEM)

    def encrypted_key_pem(self, password: bytes) -> bytes:
        encryption = serialization.BestAvailableEncryption(password)
        return self._key(serialization.Encoding.PEM, encryption)

    def pkcs12(self, password: bytes | None) -> bytes:
        """Certificate, key and everything above, as Windows exports it."""
        encryption: Any = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        above = [made.certificate for made in self.chain()[1:]]
        return pkcs12.serialize_key_and_certificates(b"test", self.key, self.certificate, above, encryption)

    def chain(self) -> list[Made]:
        """This one and all above it, the root too."""
        return [self, *(self.above.chain() if self.above else [])]

    def write(self, folder: Path, name: str, certificates: Sequence[Made] | None = None) -> tuple[Path, Path]:
        """NAME.pem and NAME.key (mode 0600) in *folder*; the chain without its root, or *certificates*."""
        found = [made for made in self.chain() if made.above] if certificates is None else certificates
        paths = (folder / f"{name}.pem", folder / f"{name}.key")
        paths[0].write_bytes(b"".join(made.pem for made in found))
        paths[1].touch(0o600)
        paths[1].write_bytes(self.key_pem)
        return paths

    def _key(self, encoding: serialization.Encoding, encryption: Any = None) -> bytes:
        encryption = encryption or serialization.NoEncryption()
        made: bytes = self.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)
        return made


def authority(name: str, above: Made | None = None, **changes: Any) -> Made:
    """A CA called `CN=name`: a root, or with *above* an intermediate one."""
    return make(name, above, ca=True, **changes)


def leaf(name: str, above: Made, *, usage: x509.ObjectIdentifier | None = SERVER, **changes: Any) -> Made:
    """The certificate of a server (or with *usage* of a client) called `CN=name`, with *name* as its DNS name."""
    return make(name, above, usage=usage, **{"names": (name,), **changes})


def make(
    name: str,
    above: Made | None,
    *,
    ca: bool = False,
    usage: x509.ObjectIdentifier | None = None,
    names: Sequence[str] = (),
    days: float = 30,
    age_days: float = 1,
    rsa_bits: int = 0,
    private_key: Any = None,
    digest: hashes.HashAlgorithm | None = None,
    attributes: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
    subject: x509.Name | None = None,
) -> Made:
    """Any certificate of `CN=name` and *attributes*, or of *subject*; it ends in *days* and began *age_days* ago, both
    of which may be negative.
    """
    key: Any = private_key or ec.generate_private_key(ec.SECP256R1())
    if rsa_bits:
        key = rsa.generate_private_key(65537, rsa_bits)
    subject = subject or x509.Name(
        [x509.NameAttribute(oid, text) for oid, text in ((NameOID.COMMON_NAME, name), *attributes)]
    )
    signer = above.key if above else key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=max(age_days, age_days - days)))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_key_usage(ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
    return Made(builder.sign(signer, digest or hashes.SHA256()), key, above)


def revocation_list(above: Made, *revoked: Made, days: float = 30) -> bytes:
    """A CRL of *above* in PEM that names *revoked*."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(above.certificate.subject)
        .last_update(now - timedelta(days=max(1, 1 - days)))
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), critical=False
        )
    )
    for made in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(made.certificate.serial_number)
            .revocation_date(now - timedelta(days=1))
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(above.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)
