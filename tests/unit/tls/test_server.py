"""frevo.tls.server: what a server presents, followed while it runs: renewals, entries, broken files."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from peers import pki

from frevo.errors import FrevoError
from frevo.tls import trust
from frevo.tls.access import AccessList
from frevo.tls.errors import TlsError
from frevo.tls.server import CHECK_SECONDS, ServerCertificates, client_cas
from frevo.tls.settings import TlsSettings
from frevo.tls.store import TlsStore
from frevo.tls.warnings import DAY_S

ROOT = pki.authority("root")
NAS, FILES = pki.leaf("nas.example", ROOT), pki.leaf("files.example", ROOT)


class Clock:
    """Both clocks of a server, moved by the test."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        return time.time() + self.passed

    def monotonic(self) -> float:
        return self.passed

    def forward(self, seconds: float = CHECK_SECONDS) -> None:
        self.passed += seconds


class Fake:
    """Keeps what the data plane's class was given."""

    def __init__(self, certificates: Any, **options: Any) -> None:
        self.certificates = certificates
        self.options = options


class Bench:
    """A private folder, settings and a server's certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = TlsStore(folder / "private")
        self.settings = TlsSettings(private_dir=str(folder / "private"))
        self.clock = Clock()

    def configured(self, **keys: Any) -> None:
        """An administrator's certificate, and further *keys*."""
        certfile, keyfile = NAS.write(self.folder, "nas")
        self.settings = replace(self.settings, certfile=str(certfile), keyfile=str(keyfile), **keys)

    def start(self) -> ServerCertificates:
        clock = self.clock
        return ServerCertificates(self.settings, make=Fake, clock=clock.time, monotonic=clock.monotonic)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    return Bench(tmp_path)


def fake(certificates: ServerCertificates) -> Fake:
    made: Any = certificates.current()
    assert isinstance(made, Fake)
    return made


def replaced(path: Path, content: bytes) -> None:
    """Replaces a file as programs do: another inode, and so another stamp even within one tick of the clock."""
    other = path.with_name(path.name + ".new")
    other.touch(0o600)
    other.write_bytes(content)
    other.replace(path)


def test_nothing_configured(bench: Bench) -> None:
    """Goal: a certificate is made and presented, nobody is asked for one. Method: an empty private folder."""
    certificates = bench.start()
    made = fake(certificates)
    assert len(made.certificates) == 1
    assert made.options == {
        "client_access": "no",
        "client_cas": [],
        "crls": [],
        "entries": [],
        "key_log": None,
    }
    assert bench.store.certificate.exists() and bench.store.ca.exists()
    ((path, pair),) = certificates.pairs
    assert path == bench.store.certificate
    assert made.certificates == [(pair.chain, pair.key)]
    assert certificates.warnings() == []
    assert not certificates.changed()
    bench.clock.forward()
    assert not certificates.changed()
    assert fake(bench.start()).certificates == made.certificates


def test_configured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: all keys reach the data plane. Method: two certificates, CAs, a list, an entry, a key log."""
    files = FILES.write(bench.folder, "files")
    (bench.folder / "ca.pem").write_bytes(ROOT.pem)
    (bench.folder / "crl.pem").write_bytes(pki.revocation_list(ROOT))
    bench.configured(
        certificates=(f"{files[0]}:{files[1]}",),
        client_access="require",
        cafile=str(bench.folder / "ca.pem"),
        crlfile=str(bench.folder / "crl.pem"),
    )
    AccessList(bench.store).put(True, "subject:CN=eve")
    monkeypatch.setenv("SSLKEYLOGFILE", "/tmp/keys")
    made = fake(bench.start())
    assert [chain for chain, _ in made.certificates] == [(NAS.der,), (FILES.der,)]
    assert (made.options["client_access"], made.options["client_cas"]) == ("require", [ROOT.der])
    assert len(made.options["crls"]) == 1
    assert made.options["entries"] == [(True, "subject", (("2.5.4.3", "eve"),))]
    assert made.options["key_log"] == "/tmp/keys"
    assert not bench.store.certificate.exists()


def test_renewed_by_others(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: certbot's renewal is taken without a restart, whatever file it writes first. Method: cert, look, key."""
    bench.configured()
    certificates = bench.start()
    before = certificates.current()
    new = pki.leaf("nas.example", ROOT)
    replaced(bench.folder / "nas.pem", new.pem)
    bench.clock.forward()
    assert not certificates.changed()  # the key is still the old one
    assert certificates.current() is before
    assert "does not belong" not in caplog.text
    replaced(bench.folder / "nas.key", new.key_pem)
    assert not certificates.changed()  # too early
    bench.clock.forward()
    assert certificates.changed()
    assert fake(certificates).certificates == [((new.der,), new.key_der)]
    assert f"new certificate in {bench.folder / 'nas.pem'}: SHA-256 {new.sha256.hex()}" in caplog.text
    bench.clock.forward()
    assert not certificates.changed()


def test_links_are_followed(bench: Bench) -> None:
    """Goal: a link that is set to another file is a change (certbot's `live`). Method: such a link."""
    bench.configured()
    new = pki.leaf("nas.example", ROOT)
    (bench.folder / "nas.pem").rename(bench.folder / "nas1.pem")
    (bench.folder / "nas.key").rename(bench.folder / "nas1.key")
    new.write(bench.folder, "nas2")
    for name in ("nas.pem", "nas.key"):
        (bench.folder / name).symlink_to(name.replace(".", "1."))
    certificates = bench.start()
    for name in ("nas.pem", "nas.key"):
        (bench.folder / name).unlink()
        (bench.folder / name).symlink_to(name.replace(".", "2."))
    bench.clock.forward()
    assert certificates.changed()
    assert fake(certificates).certificates[0][0] == (new.der,)


def test_broken_while_running(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a file that breaks ends nothing and is said once, then in `warnings`. Method: break, look, mend."""
    bench.configured()
    certificates = bench.start()
    before = certificates.current()
    replaced(bench.folder / "nas.pem", b"-----BEGIN CERTIFICATE-----\n")
    for _ in range(5):
        bench.clock.forward()
        assert not certificates.changed()
    assert certificates.current() is before
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "nas.pem is damaged" in errors[0].message and "the old certificates stay" in errors[0].message
    assert certificates.warnings() == [errors[0].message]
    replaced(bench.folder / "nas.pem", NAS.pem)
    bench.clock.forward()
    assert certificates.changed()
    assert certificates.warnings() == []
    for name in ("nas.pem", "nas.key"):
        (bench.folder / name).unlink()
    for _ in range(2):
        bench.clock.forward()
        assert not certificates.changed()
    assert "cannot read" in certificates.warnings()[0]


def test_broken_then_put_back(bench: Bench) -> None:
    """Goal: `warnings` says what is wrong now. Method: break a file in two ways, then put the old one back."""
    bench.configured()
    certificates = bench.start()
    certfile, kept = bench.folder / "nas.pem", bench.folder / "kept.pem"
    certfile.rename(kept)
    for broken, expected in (
        (b"-----BEGIN CERTIFICATE-----\n", "is damaged"),
        (b"", "contains no certificate"),
    ):
        replaced(certfile, broken)
        for _ in range(2):
            bench.clock.forward()
            assert not certificates.changed()
        assert [expected in sentence for sentence in certificates.warnings()] == [True]
    kept.rename(certfile)  # as it was: nothing is read again
    bench.clock.forward()
    assert not certificates.changed()
    assert certificates.warnings() == []


def test_ca_directory_is_followed(bench: Bench) -> None:
    """Goal: a file of a CA directory that is overwritten counts at the next look. Method: another CA, in place."""
    folder = bench.folder / "cas"
    folder.mkdir()
    (folder / "ours.pem").write_bytes(ROOT.pem)
    bench.configured(client_access="allow", ca_directories=(str(folder),))
    certificates = bench.start()
    other = pki.authority("another root")
    (folder / "ours.pem").write_bytes(other.pem + b"\n")
    bench.clock.forward()
    assert certificates.changed()
    assert fake(certificates).options["client_cas"] == [other.der]


def test_entries_while_running(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: allow, deny and remove reach the data plane at the next look, with a line each. Method: all three."""
    bench.configured(client_access="allow", cafile=str(bench.folder / "ca.pem"))
    (bench.folder / "ca.pem").write_bytes(ROOT.pem)
    certificates = bench.start()
    entries = AccessList(bench.store)
    digest = "ab" * 32
    for change, wanted in (
        (lambda: entries.put(True, "subject:CN=eve", note="Eve's laptop"), [True]),
        (lambda: entries.put(False, f"sha256:{digest}"), [True, False]),
        (lambda: entries.remove("subject:CN=eve"), [False]),
    ):
        change()
        bench.clock.forward()
        assert certificates.changed()
        assert [allow for allow, _, _ in fake(certificates).options["entries"]] == wanted
    assert [entry.identifier for entry in certificates.entries] == [f"sha256:{digest}"]
    assert "client access: allow subject:CN=eve (Eve's laptop), by " in caplog.text
    assert f"client access: deny sha256:{digest}, by " in caplog.text
    assert "client access: removed the entry `allow subject:CN=eve (Eve's laptop)`" in caplog.text
    replaced(bench.store.access, b"{\n")  # the entries that deny stay in force
    for _ in range(2):
        bench.clock.forward()
        assert not certificates.changed()
    assert [entry.allow for entry in certificates.entries] == [False]


def test_own_certificate_is_renewed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: what frevo made is renewed in a running server, without warnings before. Method: eight months pass."""
    certificates = bench.start()
    first = fake(certificates).certificates
    bench.clock.forward(243 * DAY_S)
    assert not certificates.changed()
    assert certificates.warnings() == []
    bench.clock.forward(1 * DAY_S)
    assert certificates.changed()
    assert fake(certificates).certificates != first
    assert "new certificate in" in caplog.text
    assert not [record for record in caplog.records if "expires" in record.message]


def test_renewal_fails(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: a renewal that fails is logged every hour at most and ends nothing. Method: the CA's key is damaged."""
    certificates = bench.start()
    bench.store.ca_key.write_bytes(b"")
    for _ in range(3):
        bench.clock.forward(300 * DAY_S / 3)
        certificates.changed()
        bench.clock.forward()
        certificates.changed()
    lines = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 3
    assert (
        "cannot renew the server's certificate: " in lines[0]
        and "ca-key.pem contains no private key" in lines[0]
    )
    assert fake(certificates).certificates


def test_warnings_every_day(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: the log warns once a day before a certificate of others expires. Method: days pass."""
    certfile, keyfile = pki.leaf("nas.example", ROOT, days=10, age_days=355).write(bench.folder, "nas")
    bench.settings = replace(bench.settings, certfile=str(certfile), keyfile=str(keyfile))
    certificates = bench.start()
    for _ in range(4):
        bench.clock.forward(DAY_S / 2)
        certificates.changed()
    lines = [record.message for record in caplog.records if "expires" in record.message]
    assert len(lines) == 2
    assert lines[0].startswith(f"the certificate {certfile} expires in ")
    bench.clock.forward(20 * DAY_S)
    assert "expired on" in certificates.warnings()[0]


def test_reconfigured(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: SIGHUP takes other files, and keeps the old ones if they are bad. Method: both."""
    certificates = bench.start()
    before = certificates.current()
    bench.configured()
    assert not certificates.reconfigure(replace(bench.settings, keyfile="/none.key"))
    assert certificates.current() is before
    assert (
        "cannot read /none.key: No such file or directory: the old certificates stay in force" in caplog.text
    )
    assert certificates.reconfigure(bench.settings)
    assert fake(certificates).certificates == [((NAS.der,), NAS.key_der)]
    bench.clock.forward()
    assert not certificates.changed()


def test_bad_at_the_start(bench: Bench) -> None:
    """Goal: a server does not start QUIC with files that cannot be used. Method: each with its sentence."""
    bench.configured()
    good = bench.settings

    def refused(words: str, **keys: Any) -> None:
        bench.settings = replace(good, **keys)
        with pytest.raises(FrevoError, match=words):
            bench.start()

    refused(r"cannot read /none\.pem", certfile="/none.pem")
    refused(r"cannot read .*private/none\.pem", certificates=("none.pem:none.key",))
    refused("needs CAs for the certificates of clients", client_access="require")
    refused(r"cannot read /none\.pem", client_access="require", cafile="/none.pem")
    (bench.folder / "nas.key").chmod(0o644)
    refused("is accessible to other users")
    (bench.folder / "private").write_bytes(b"")
    refused("is not a directory", certfile="tls/cert.pem", keyfile="tls/key.pem")


def test_what_the_data_plane_refuses(bench: Bench) -> None:
    """Goal: its sentence arrives as an error of ours. Method: a class that refuses."""

    def refuses(*args: object, **options: object) -> None:
        raise ValueError("two certificates are for one name")

    with pytest.raises(TlsError, match="QUIC cannot be served: two certificates are for one name"):
        ServerCertificates(bench.settings, make=refuses)


def test_cas_of_clients(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the system's CAs vouch for no client unless the administrator says so. Method: each setting."""
    other = pki.authority("system")
    (bench.folder / "system.pem").write_bytes(other.pem)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", (str(bench.folder / "system.pem"),))
    (bench.folder / "cas").mkdir()
    (bench.folder / "cas" / "root.pem").write_bytes(ROOT.pem)
    directories = (str(bench.folder / "cas"),)
    assert client_cas(replace(bench.settings, ca_directories=directories)) == [ROOT.der]
    assert client_cas(replace(bench.settings, trust_system_cas="yes")) == [other.der]
    with pytest.raises(TlsError, match="needs CAs"):
        client_cas(bench.settings)
    with pytest.raises(TlsError, match="needs CAs"):
        client_cas(replace(bench.settings, cafile=""))
