"""frevo.tls.trust: CAs of files, directories and the system."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import pki

from frevo.tls import trust
from frevo.tls.errors import TlsError
from frevo.tls.trust import ca_certificates, revocation_lists, system_cas

ONE, TWO = pki.authority("one"), pki.authority("two")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.pem").write_bytes(ONE.pem + TWO.pem)
    (tmp_path / "a.crt").write_bytes(ONE.der)
    (tmp_path / "README").write_text("not a certificate")
    (tmp_path / "broken.pem").write_bytes(ONE.pem[:100])
    (tmp_path / "more").mkdir()
    (tmp_path / "gone.0").symlink_to(tmp_path / "nowhere")
    (tmp_path / "hash.0").symlink_to(tmp_path / "a.crt")
    return tmp_path


def test_files_and_directories(folder: Path) -> None:
    """Goal: each CA once; other files of a directory do not matter. Method: a folder as openssl rehash makes it."""
    assert ca_certificates([folder / "b.pem"]) == [ONE.der, TWO.der]
    assert ca_certificates([folder / "a.crt"], [folder]) == [ONE.der, TWO.der]
    assert ca_certificates() == []


def test_what_cannot_be_read(folder: Path) -> None:
    """Goal: a file that was named must be good. Method: damaged, missing, empty ones."""
    for name in ("README", "broken.pem", "none"):
        with pytest.raises(TlsError, match=name):
            ca_certificates([folder / name])
    with pytest.raises(TlsError, match="more contains no certificate"):
        ca_certificates([], [folder / "more"])
    with pytest.raises(TlsError, match=r"cannot read the CA directory .*none: No such file"):
        ca_certificates([], [folder / "none"])


def test_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the system's bundle, read again when it changes; SSL_CERT_FILE as for OpenSSL. Method: own bundles."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", (str(folder / "none"), str(folder / "b.pem")))
    assert system_cas() == (ONE.der, TWO.der)
    assert ca_certificates([folder / "a.crt"], system=True) == [ONE.der, TWO.der]
    (folder / "b.pem").write_bytes(TWO.pem)
    assert system_cas() == (TWO.der,)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "a.crt"))
    assert system_cas() == (ONE.der,)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "none"))
    with pytest.raises(TlsError, match="cannot read"):
        system_cas()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", ())
    assert system_cas() == ()


def test_revocation_lists(tmp_path: Path) -> None:
    """Goal: CRLs of several files. Method: two of two CAs; a certificate is none."""
    (tmp_path / "a").write_bytes(pki.revocation_list(ONE))
    (tmp_path / "b").write_bytes(pki.revocation_list(TWO) + pki.revocation_list(ONE))
    (tmp_path / "c").write_bytes(ONE.pem)
    assert len(revocation_lists([tmp_path / "a", tmp_path / "b"])) == 3
    with pytest.raises(TlsError, match="c contains no revocation list"):
        revocation_lists([tmp_path / "c"])
