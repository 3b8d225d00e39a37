"""frevo.tls.pem: DER blocks of files that people and programs write, and of files that nobody should."""

from __future__ import annotations

import time

import pytest
from peers import pki

from frevo.tls import pem
from frevo.tls.errors import TlsError

ROOT = pki.authority("root")


def test_certificates() -> None:
    """Goal: PEM with text around it, OpenSSL's old label, and DER. Method: each, compared with the DER."""
    assert pem.certificates_in(b"subject=CN = root\n" + ROOT.pem + b"\n" + ROOT.pem, "f") == [ROOT.der] * 2
    assert pem.certificates_in(ROOT.pem.replace(b"\n", b"\r\n"), "f") == [ROOT.der]
    assert pem.certificates_in(ROOT.pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), "f") == [ROOT.der]
    assert pem.certificates_in(ROOT.der, "f") == [ROOT.der]
    assert pem.certificates_in(pem.pem_of(pem.CERTIFICATE, ROOT.der), "f") == [ROOT.der]


def test_keys() -> None:
    """Goal: the key of a file with certificates and parameters beside it. Method: such a file."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert pem.key_in(ROOT.pem + parameters + ROOT.key_pem, "f") == ROOT.key_der


@pytest.mark.parametrize(
    "data",
    [
        ROOT.encrypted_key_pem(b"secret"),
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n"
        b"-----END RSA PRIVATE KEY-----\n",
    ],
    ids=["pkcs8", "traditional"],
)
def test_encrypted_keys(data: bytes) -> None:
    """Goal: a sentence that says what to do. Method: both forms of encrypted keys."""
    with pytest.raises(TlsError, match=r"key\.pem is encrypted with a password: decrypt it"):
        pem.key_in(data, "key.pem")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no certificate"),
        (b"\xff\xfe\x00" * 100, "no certificate"),
        (ROOT.key_pem, "no certificate"),
        (ROOT.pem[:-20], "no end"),
        (ROOT.pem.replace(b"M", b"!", 1), "not base64"),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "not base64 of DER"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not base64 of DER"),
    ],
)
def test_broken_certificates(data: bytes, words: str) -> None:
    """Goal: each kind of damage has its sentence with the file's name. Method: damaged files."""
    with pytest.raises(TlsError, match=rf"ca\.pem.*{words}"):
        pem.certificates_in(data, "ca.pem")


def test_no_key_and_no_list() -> None:
    """Goal: other files than expected are named. Method: a certificate as key and as revocation list."""
    with pytest.raises(TlsError, match="f contains no private key"):
        pem.key_in(ROOT.pem, "f")
    with pytest.raises(TlsError, match="f contains no revocation list"):
        pem.crls_in(ROOT.pem, "f")


def test_revocation_lists() -> None:
    """Goal: CRLs are found in PEM and DER. Method: one list in both forms."""
    data = pki.revocation_list(ROOT)
    (der,) = pem.crls_in(data, "f")
    assert pem.crls_in(der, "f") == [der]


def test_linear() -> None:
    """Goal: no file makes reading it slow. Method: 16 MiB of beginnings without an end, in under a second."""
    data = b"-----BEGIN CERTIFICATE-----\n" * (16 << 20 >> 5)
    start = time.process_time()
    with pytest.raises(TlsError, match="no end"):
        pem.certificates_in(data, "f")
    assert time.process_time() - start < 1
