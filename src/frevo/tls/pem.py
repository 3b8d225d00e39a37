"""PEM (RFC 7468): the DER blocks of a file, without looking into them."""

from __future__ import annotations

import base64
import binascii
import re

from frevo.tls.errors import TlsError

CERTIFICATE = "CERTIFICATE"
_LABELS = {CERTIFICATE: (CERTIFICATE, "X509 CERTIFICATE"), "X509 CRL": ("X509 CRL",)}
_ENCRYPTED = "ENCRYPTED PRIVATE KEY"
_KEYS = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", _ENCRYPTED)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_SEQUENCE = 0x30  # the first byte of every certificate and list in DER


def blocks(data: bytes, where: str) -> list[tuple[str, bytes]]:
    """(label, body) of each PEM block of *data*, the body as it stands. TlsError if one has no end."""
    found = []
    position = 0
    while match := _BEGIN.search(data, position):
        label = match[1].decode()
        end = b"-----END " + match[1] + b"-----"
        position = data.find(end, match.end())
        if position < 0:
            raise TlsError(f"{where} is damaged: a block that begins with `BEGIN {label}` has no end")
        found.append((label, data[match.end() : position]))
        position += len(end)
    return found


def certificates_in(data: bytes, where: str) -> list[bytes]:
    """The certificates of *data* as DER, in order; *data* is PEM, or one certificate in DER."""
    found = _all_of(CERTIFICATE, data, where)
    if not found:
        raise TlsError(f"{where} contains no certificate: expected PEM with `BEGIN CERTIFICATE`")
    return found


def crls_in(data: bytes, where: str) -> list[bytes]:
    """The revocation lists of *data* as DER; *data* is PEM, or one list in DER."""
    found = _all_of("X509 CRL", data, where)
    if not found:
        raise TlsError(f"{where} contains no revocation list: expected PEM with `BEGIN X509 CRL`")
    return found


def key_in(data: bytes, where: str) -> bytes:
    """The private key of *data* as DER (PKCS#8, SEC1 or PKCS#1). TlsError if it has a password, or none is there."""
    label, body = _key_block(data, where)
    if _is_encrypted(label, body):
        raise TlsError(
            f"the key in {where} is encrypted with a password: "
            "decrypt it (openssl pkey -in FILE -out NEWFILE), or use frevo tls import"
        )
    return _der(body, where)


def key_block(data: bytes, where: str) -> tuple[bytes, bool]:
    """The private key of *data* as PEM, and whether it has a password."""
    label, body = _key_block(data, where)
    name = label.encode()
    return b"-----BEGIN %s-----%s-----END %s-----\n" % (name, body, name), _is_encrypted(label, body)


def pem_of(label: str, der: bytes) -> bytes:
    """*der* as a PEM block with *label*."""
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    name = label.encode()
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (name, b"\n".join(lines), name)


def _key_block(data: bytes, where: str) -> tuple[str, bytes]:
    for label, body in blocks(data, where):
        if label in _KEYS:
            return label, body
    raise TlsError(f"{where} contains no private key: expected PEM with `BEGIN PRIVATE KEY`")


def _is_encrypted(label: str, body: bytes) -> bool:
    return label == _ENCRYPTED or b"ENCRYPTED" in body[:200]


def _all_of(label: str, data: bytes, where: str) -> list[bytes]:
    if data[:1] == bytes([_SEQUENCE]):
        return [data]
    return [_der(body, where) for name, body in blocks(data, where) if name in _LABELS[label]]


def _der(body: bytes, where: str) -> bytes:
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if der[:1] != bytes([_SEQUENCE]):
        raise TlsError(f"{where} is damaged: a block is not base64 of DER")
    return der
