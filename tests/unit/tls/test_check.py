"""frevo.tls.check: testparm says what serve would stumble over, and changes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from peers import pki

from frevo.tls.access import AccessList
from frevo.tls.check import findings
from frevo.tls.generate import ensure_certificate
from frevo.tls.settings import TlsSettings
from frevo.tls.store import TlsStore
from frevo.tls.warnings import DAY_S

ROOT = pki.authority("root")


def settings(folder: Path, **keys: Any) -> TlsSettings:
    return TlsSettings(private_dir=str(folder / "private"), **keys)


def configured(folder: Path, made: pki.Made | None = None, **keys: Any) -> TlsSettings:
    certfile, keyfile = (made or pki.leaf("nas.example", ROOT)).write(folder, "nas")
    (folder / "ca.pem").write_bytes(ROOT.pem)
    return settings(
        folder, certfile=str(certfile), keyfile=str(keyfile), cafile=str(folder / "ca.pem"), **keys
    )


def only(values: TlsSettings, **options: Any) -> tuple[str, str, str]:
    (finding,) = findings(values, **options)
    return finding.severity, finding.attribute, finding.message


def test_nothing_to_say(tmp_path: Path) -> None:
    """Goal: good settings give no message, and no file is made. Method: nothing configured, then a good pair."""
    assert findings(settings(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    assert findings(settings(tmp_path, client_access="require")) != []
    assert findings(configured(tmp_path)) == []
    ensure_certificate(TlsStore(tmp_path / "private"))
    assert findings(settings(tmp_path)) == []
    certificate = TlsStore(tmp_path / "private").certificate.read_bytes()
    (finding,) = findings(settings(tmp_path), now=time.time() + 350 * DAY_S)
    assert "expires in" in finding.message
    assert TlsStore(tmp_path / "private").certificate.read_bytes() == certificate


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"certfile": "/none.pem"}, r"cannot read /none.pem: No such file"),
        ({"keyfile": "/none.key"}, r"cannot read /none.key: No such file"),
        ({"keyfile": "/etc/passwd"}, "accessible to other users"),
        ({"certfile": "/etc/passwd"}, "contains no certificate"),
    ],
)
def test_errors(tmp_path: Path, change: dict[str, str], words: str) -> None:
    """Goal: what stops QUIC is an error at its key. Method: files that are missing or wrong."""
    severity, attribute, message = only(replace(configured(tmp_path), **change))
    assert (severity, attribute) == ("error", "tls_certfile")
    assert words in message


def test_half_a_pair(tmp_path: Path) -> None:
    """Goal: the error names the key that is missing, at the one that is there. Method: either key alone."""
    both = configured(tmp_path)
    severity, attribute, message = only(settings(tmp_path, keyfile=both.keyfile))
    assert (severity, attribute) == ("error", "tls_keyfile")
    assert "private/tls/cert.pem: No such file" in message and message.endswith("(`tls certfile` is not set)")
    severity, attribute, message = only(settings(tmp_path, certfile=both.certfile))
    assert (severity, attribute) == ("error", "tls_certfile")
    assert "private/tls/key.pem: No such file" in message and message.endswith("(`tls keyfile` is not set)")


def test_key_of_another(tmp_path: Path) -> None:
    """Goal: a key that does not fit is an error. Method: also for a further certificate."""
    values = configured(tmp_path)
    _, other = pki.leaf("x", ROOT).write(tmp_path, "other")
    assert "does not belong to the certificate" in only(replace(values, keyfile=str(other)))[2]
    pair = f"{tmp_path / 'nas.pem'}:{other}"
    severity, attribute, message = only(replace(values, certificates=(pair,)))
    assert (severity, attribute) == ("error", "frevo_quic_certificates")
    assert "does not belong" in message


def test_warnings(tmp_path: Path) -> None:
    """Goal: what only clients refuse is a warning: TCP is served all the same. Method: expired, not for servers."""
    expired = configured(tmp_path, pki.leaf("nas.example", ROOT, days=-2))
    severity, attribute, message = only(expired)
    assert (severity, attribute) == ("warning", "tls_certfile")
    assert "expired on" in message
    assert "is not for servers" in only(configured(tmp_path, pki.leaf("nas", ROOT, usage=pki.CLIENT)))[2]


def test_no_place(tmp_path: Path) -> None:
    """Goal: a folder that cannot be made is told before the server starts. Method: below a file."""
    (tmp_path / "private").write_bytes(b"")
    severity, attribute, message = only(settings(tmp_path))
    assert (severity, attribute) == ("error", "tls_certfile")
    assert f"{tmp_path / 'private'} cannot be written" in message


def test_clients(tmp_path: Path) -> None:
    """Goal: CAs, lists and entries fit `frevo:quic client access`. Method: each that does not."""
    values = configured(tmp_path, client_access="require")
    severity, attribute, message = only(values)
    assert (severity, attribute) == ("warning", "frevo_quic_client_access")
    assert "no entry allows one" in message
    store = TlsStore(values.private_dir)
    AccessList(store).put(True, "subject:CN=eve")
    assert findings(values) == []
    assert "have no effect" in only(replace(values, client_access="no"))[2]
    severity, attribute, message = only(replace(values, cafile="/none.pem"))
    assert (severity, attribute) == ("error", "tls_cafile")
    (tmp_path / "crl.pem").write_bytes(pki.revocation_list(ROOT, days=-3))
    severity, attribute, message = only(replace(values, crlfile=str(tmp_path / "crl.pem")))
    assert (severity, attribute) == ("warning", "tls_crlfile")
    assert "crl.pem has been out of date since" in message
    assert only(replace(values, crlfile="/none"))[:2] == ("error", "tls_crlfile")
    store.access.write_text("nonsense\n")
    assert only(values)[:2] == ("error", "frevo_quic_client_access")


def test_what_the_data_plane_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: testparm says what the data plane would say. Method: one that refuses."""

    def refuses(*args: object, **options: object) -> None:
        raise ValueError("not this one")

    monkeypatch.setattr("frevo._native.QuicServerTls", refuses)
    assert only(configured(tmp_path)) == ("error", "tls_certfile", "QUIC cannot be served: not this one")
