"""Looks into certificates and keys: facts for people, chains in order, keys that fit (with `cryptography`).

Raises TlsError for everything that is not what it should be; never another exception, whatever the bytes are.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from frevo.records import Redacted
from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import read_file, read_key_file

#: Certificates that one file of the server may hold: a chain has three or four.
CHAIN_MAX = 16
RSA_BITS_MIN = 2048

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

UsableKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}


class Facts(msgspec.Struct, frozen=True):
    """What a certificate says. Times are seconds since 1970; names are written as in RFC 4514."""

    subject: str
    issuer: str
    common_name: str
    names: tuple[str, ...]  # the subjectAltName: DNS:..., IP:..., email:..., URI:...
    serial: int
    sha256: bytes
    sha1: bytes  # Windows' thumbprint
    not_before_s: float
    not_after_s: float
    is_ca: bool
    self_signed: bool
    usages: tuple[str, ...]  # the extended key usages; empty: any
    signs: bool  # whether the key usage allows digital signatures
    key: str  # "ECDSA P-256", "RSA 2048", ...
    weak: str  # what is too weak about it, or empty

    @property
    def fingerprint(self) -> str:
        """The SHA-256 as 64 hexadecimal digits."""
        return self.sha256.hex()

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names in the certificate."""
        return tuple(name[4:] for name in self.names if name.startswith("DNS:"))


class Pair(Redacted, msgspec.Struct, frozen=True):
    """A certificate chain, leaf first, and the leaf's key: DER, as the data plane takes them."""

    HIDDEN = ("chain", "key")

    chain: tuple[bytes, ...]
    key: bytes
    facts: Facts  # the leaf's


@contextlib.contextmanager
def explained(where: str, what: str) -> Iterator[None]:
    """Turns whatever `cryptography` raises about hostile bytes into a TlsError: its exceptions have no common base."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about serial numbers and the like, for programmers
            yield
    except TlsError:
        raise
    except Exception as error:
        raise TlsError(f"{where} is not {what}: {_reason(error)}") from None


def certificates(data: bytes, where: str) -> list[x509.Certificate]:
    """The certificates of *data* (PEM, or one in DER), at most CHAIN_MAX."""
    found = pem.certificates_in(data, where)
    if len(found) > CHAIN_MAX:
        raise TlsError(f"{where} contains {len(found)} certificates: expected a chain of at most {CHAIN_MAX}")
    return [certificate_of(der, where) for der in found]


def certificate_of(der: bytes, where: str) -> x509.Certificate:
    """The certificate in *der*."""
    with explained(where, "a readable certificate"):
        return x509.load_der_x509_certificate(der)


def private_key_of(der: bytes, where: str) -> UsableKey:
    """The private key in *der*, of a kind that TLS 1.3 can use."""
    with explained(where, "a readable private key"):
        return usable(serialization.load_der_private_key(der, None), where)


def usable(key: PrivateKeyTypes, where: str) -> UsableKey:
    """*key* if TLS 1.3 can use it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            return key
    elif isinstance(key, rsa.RSAPrivateKey):
        if key.key_size >= RSA_BITS_MIN:
            return key
        raise TlsError(f"the RSA key in {where} has {key.key_size} bits: expected at least {RSA_BITS_MIN}")
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise TlsError(f"the key in {where} cannot be used: expected ECDSA (P-256, P-384, P-521), RSA or Ed25519")


def key_der(key: UsableKey) -> bytes:
    """*key* as PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_der(certificate: x509.Certificate) -> bytes:
    """*certificate* as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def load_pair(certfile: Path, keyfile: Path) -> Pair:
    """The certificate and key of two files, which may be one."""
    found = certificates(read_file(certfile), str(certfile))
    key = private_key_of(pem.key_in(read_key_file(keyfile), str(keyfile)), str(keyfile))
    return pair_of(found, key, str(certfile), str(keyfile))


def pair_of(
    found: Sequence[x509.Certificate], key: UsableKey, where: str = "the file", key_where: str = "it"
) -> Pair:
    """The chain of the certificate in *found* that *key* belongs to, in order."""
    chain = chain_of(found, key, where, key_where)
    ders = tuple(certificate_der(certificate) for certificate in chain)
    return Pair(ders, key_der(key), facts_of(chain[0], where))


def chain_of(
    found: Sequence[x509.Certificate], key: UsableKey, where: str, key_where: str
) -> list[x509.Certificate]:
    """*found* from the certificate of *key* up to its root, which is left out: clients have it, or must not trust it.

    The order in the file does not matter. TlsError when *key* belongs to none, or when a certificate has no place.
    """
    public = key.public_key()
    with explained(where, "a readable certificate"):
        leaf = next((one for one in found if one.public_key() == public), None)
    if leaf is None:
        raise TlsError(f"the key in {key_where} does not belong to the certificate in {where}")
    chain = [leaf]
    left = list(dict.fromkeys(one for one in found if one != leaf))
    while above := next((one for one in left if is_issuer(one, chain[-1]) and not is_self_signed(one)), None):
        chain.append(above)
        left.remove(above)
    for one in left:
        if not is_self_signed(one) and not any(is_issuer(one, below) for below in chain):
            name = facts_of(one, where).subject
            raise TlsError(
                f"{where} contains a certificate that is not in the chain of the first: {name}: remove it"
            )
    return chain


def is_issuer(above: x509.Certificate, below: x509.Certificate) -> bool:
    """Whether *above* has signed *below*."""
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether *certificate* is a root, signed with its own key."""
    return is_issuer(certificate, certificate)


def load_certificates(path: Path) -> list[Facts]:
    """The facts of all certificates in the file *path* (at most CHAIN_MAX)."""
    return [facts_of(one, str(path)) for one in certificates(read_file(path), str(path))]


def facts_of(certificate: x509.Certificate, where: str = "the certificate") -> Facts:
    """What *certificate* says."""
    der = certificate_der(certificate)
    with explained(where, "a readable certificate"):
        extensions = certificate.extensions
        usages = _extension(extensions, x509.ExtendedKeyUsage)
        key_usage = _extension(extensions, x509.KeyUsage)
        basic = _extension(extensions, x509.BasicConstraints)
        alternative = _extension(extensions, x509.SubjectAlternativeName)
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Facts(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            common_name=str(common[0].value) if common else "",
            names=tuple(map(_name, alternative)) if alternative else (),
            serial=certificate.serial_number,
            sha256=hashlib.sha256(der).digest(),
            sha1=hashlib.sha1(der, usedforsecurity=False).digest(),
            not_before_s=certificate.not_valid_before_utc.timestamp(),
            not_after_s=certificate.not_valid_after_utc.timestamp(),
            is_ca=bool(basic and basic.ca),
            self_signed=is_self_signed(certificate),
            usages=tuple(_USAGES.get(oid, oid.dotted_string) for oid in usages) if usages else (),
            signs=key_usage is None or key_usage.digital_signature,
            key=_key_text(certificate),
            weak=_weakness(certificate),
        )


def next_update(der: bytes, where: str) -> float | None:
    """When the revocation list in *der* ends, in seconds since 1970; None if it does not say."""
    with explained(where, "a readable revocation list"):
        update = x509.load_der_x509_crl(der).next_update_utc
        return None if update is None else update.timestamp()


def subject_of(der: bytes) -> str:
    """The subject of a certificate that somebody has shown (RFC 4514); what is wrong with it if it is unreadable."""
    try:
        certificate = certificate_of(der, "the certificate")
        with explained("the certificate", "a readable certificate"):
            return certificate.subject.rfc4514_string()
    except TlsError as error:
        return f"({error})"


def _extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(name: x509.GeneralName) -> str:
    """A name of subjectAltName as the access entries write it."""
    match name:
        case x509.DNSName():
            return f"DNS:{name.value}"
        case x509.IPAddress():
            return f"IP:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"URI:{name.value}"
        case x509.DirectoryName():
            return f"dirname:{name.value.rfc4514_string()}"
    return "other"


def _key_text(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def _weakness(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        return f"its RSA key has only {key.key_size} bits"
    signature = certificate.signature_hash_algorithm
    if signature is not None and signature.name in ("md5", "sha1"):
        return f"it is signed with {signature.name.upper()}"
    return ""


def _reason(error: Exception) -> str:
    """The first line of what `cryptography` says, which is for programmers, without its class names."""
    text = str(error).partition("\n")[0].strip().rstrip(".")
    return text[:200] or type(error).__name__
