"""Reads certificates that people bring along: PEM in one or two files, or PKCS#12, with a password if need be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import read_file
from frevo.tls.load import CHAIN_MAX, Pair, UsableKey, certificates, pair_of, private_key_of, usable

_DER_SEQUENCE = b"\x30"


def read_import(file: Path, keyfile: Path | None, password: Callable[[], str]) -> Pair:
    """The certificate, its chain and its key in *file* (PEM or PKCS#12), or the key in *keyfile*.

    *password* is called when a password is needed. TlsError if it is wrong, or if certificate and key do not fit.
    """
    data = read_file(file)
    if data[:1] == _DER_SEQUENCE and keyfile is None:
        return _pkcs12(data, str(file), password)
    if keyfile is None and b"BEGIN CERTIFICATE" in data and b"PRIVATE KEY" not in data:
        raise TlsError(f"{file} has no private key: name the file that has it as well (KEYFILE)")
    key_where = str(keyfile or file)
    key_data = read_file(keyfile) if keyfile is not None else data
    key = _key(key_data, key_where, password)
    return pair_of(certificates(data, str(file)), key, str(file), key_where)


def _key(data: bytes, where: str, password: Callable[[], str]) -> UsableKey:
    block, encrypted = pem.key_block(data, where)
    secret = _encoded(password()) if encrypted else None
    try:
        return usable(serialization.load_pem_private_key(block, secret), where)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = "the password is wrong, or the key is damaged" if secret is not None else "it is damaged"
        raise TlsError(f"cannot read the key in {where}: {reason}") from None


def _pkcs12(data: bytes, where: str, password: Callable[[], str]) -> Pair:
    found = _unlocked(data, None) or _unlocked(data, b"")
    if found is None:
        found = _unlocked(data, _encoded(password()))
    if found is None:
        raise TlsError(f"cannot read {where}: the password is wrong, or it is not a PKCS#12 file")
    if found.key is None or found.cert is None:
        missing = "key" if found.key is None else "certificate for its key"
        raise TlsError(f"{where} contains no {missing}: export it with the private key")
    others = found.additional_certs
    if len(others) >= CHAIN_MAX:
        raise TlsError(f"{where} contains {len(others) + 1} certificates: expected at most {CHAIN_MAX}")
    every: list[x509.Certificate] = [found.cert.certificate, *(one.certificate for one in others)]
    return pair_of(every, usable(found.key, where), where, where)


def _encoded(password: str) -> bytes:
    """Bytes that are not UTF-8 come from standard input as they are."""
    return password.encode("utf-8", "surrogateescape")


def _unlocked(data: bytes, password: bytes | None) -> pkcs12.PKCS12KeyAndCertificates | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # about BER, for programmers
            return pkcs12.load_pkcs12(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def pkcs12_of(pair: Pair, above: x509.Certificate, password: str, name: str) -> bytes:
    """*pair* and the CA *above* it as PKCS#12, encrypted with *password* as current Windows and macOS read it."""
    leaf = x509.load_der_x509_certificate(pair.chain[0])
    key = private_key_of(pair.key, "the key")
    encryption = serialization.BestAvailableEncryption(_encoded(password))
    return pkcs12.serialize_key_and_certificates(_encoded(name), key, leaf, [above], encryption)
