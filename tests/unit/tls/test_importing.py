"""frevo.tls.importing: PEM and PKCS#12 that people bring, right and wrong passwords, what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st
from peers import pki

from frevo.tls.errors import TlsError
from frevo.tls.importing import pkcs12_of, read_import
from frevo.tls.load import Pair, pair_of

ROOT = pki.authority("root")
MIDDLE = pki.authority("middle", ROOT)
SERVER = pki.leaf("nas.example", MIDDLE)
CHAIN = (SERVER.der, MIDDLE.der)


def never() -> str:
    raise AssertionError("no password is needed")


def import_(folder: Path, data: bytes, key: bytes | None = None, password: Callable[[], str] = never) -> Pair:
    (folder / "file").write_bytes(data)
    if key is not None:
        (folder / "key").write_bytes(key)
    return read_import(folder / "file", folder / "key" if key is not None else None, password)


def test_pem(tmp_path: Path) -> None:
    """Goal: certbot's two files, one file with all, old OpenSSL keys. Method: each."""
    chain = SERVER.pem + MIDDLE.pem
    assert import_(tmp_path, chain, SERVER.key_pem).chain == CHAIN
    assert import_(tmp_path, SERVER.key_pem + MIDDLE.pem + SERVER.pem).chain == CHAIN
    old = SERVER.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    pair = import_(tmp_path, chain, old)
    assert (pair.chain, pair.key) == (CHAIN, SERVER.key_der)


def test_encrypted_pem(tmp_path: Path) -> None:
    """Goal: the password is asked for, and a wrong one is an error. Method: right, wrong, empty."""
    data = SERVER.pem + MIDDLE.pem + SERVER.encrypted_key_pem(b"secret")
    assert import_(tmp_path, data, password=lambda: "secret").key == SERVER.key_der
    for wrong in ("Secret", "", "\udcff"):
        with pytest.raises(TlsError, match="the password is wrong, or the key is damaged"):
            import_(tmp_path, data, password=lambda wrong=wrong: wrong)


def test_pkcs12(tmp_path: Path) -> None:
    """Goal: PKCS#12 with and without a password. Method: as Windows exports it."""
    pair = import_(tmp_path, SERVER.pkcs12(b"secret"), password=lambda: "secret")
    assert (pair.chain, pair.key) == (CHAIN, SERVER.key_der)
    assert import_(tmp_path, SERVER.pkcs12(None)).chain == CHAIN
    with pytest.raises(TlsError, match="file: the password is wrong, or it is not a PKCS#12 file"):
        import_(tmp_path, SERVER.pkcs12(b"secret"), password=lambda: "wrong")


def test_what_is_missing(tmp_path: Path) -> None:
    """Goal: sentences for what is not there. Method: no key, no certificate, another key, a lone certificate."""
    plain = serialization.NoEncryption()
    only = pkcs12.serialize_key_and_certificates(None, None, SERVER.certificate, None, plain)
    with pytest.raises(TlsError, match="contains no key: export it with the private key"):
        import_(tmp_path, only)
    with pytest.raises(TlsError, match="key contains no private key"):
        import_(tmp_path, SERVER.pem, MIDDLE.pem)
    with pytest.raises(TlsError, match=r"file has no private key: .*\(KEYFILE\)"):
        import_(tmp_path, SERVER.pem)
    with pytest.raises(TlsError, match="file contains no certificate"):
        import_(tmp_path, SERVER.key_pem)
    with pytest.raises(TlsError, match="key does not belong to the certificate in"):
        import_(tmp_path, SERVER.pem, MIDDLE.key_pem)
    with pytest.raises(TlsError, match="the password is wrong, or it is not a PKCS#12 file"):
        import_(tmp_path, SERVER.der, password=lambda: "")
    with pytest.raises(TlsError, match="cannot read"):
        read_import(tmp_path / "none", None, never)


def test_many_certificates(tmp_path: Path) -> None:
    """Goal: a chain is short. Method: PKCS#12 with twenty."""
    others = [pki.authority(f"ca {number}").certificate for number in range(20)]
    plain = serialization.NoEncryption()
    data = pkcs12.serialize_key_and_certificates(None, SERVER.key, SERVER.certificate, others, plain)
    with pytest.raises(TlsError, match="contains 21 certificates: expected at most 16"):
        import_(tmp_path, data)


@given(at=st.integers(0, 2000), noise=st.binary(min_size=1, max_size=40))
def test_damaged(tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes) -> None:
    """Goal: whatever the file is, a TlsError or a pair. Method: damage PKCS#12 and encrypted PEM."""
    folder = tmp_path_factory.mktemp("damaged")
    for data in (PKCS12, PEM):
        try:
            import_(folder, data[:at] + noise + data[at + len(noise) :], password=lambda: "x")
        except TlsError:
            pass


PKCS12 = SERVER.pkcs12(None)
PEM = SERVER.pem + SERVER.key_pem


def test_pkcs12_of_a_client() -> None:
    """Goal: what Windows imports: key, certificate and CA under the password. Method: read it back."""
    client = pki.leaf("eve", ROOT, usage=pki.CLIENT)
    data = pkcs12_of(pair_of([client.certificate], client.key), ROOT.certificate, "päss", "eve")
    found = pkcs12.load_pkcs12(data, "päss".encode())
    assert found.cert is not None and found.cert.certificate == client.certificate
    assert found.cert.friendly_name == b"eve"
    assert [one.certificate for one in found.additional_certs] == [ROOT.certificate]
    assert found.key is not None
    assert found.key.public_key() == client.key.public_key()
    assert isinstance(found.cert.certificate, x509.Certificate)
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(data, b"wrong")
