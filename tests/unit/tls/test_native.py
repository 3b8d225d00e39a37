"""frevo.tls and the data plane together: what Python reads and writes, rustls takes and judges as it should."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec.structs import replace
from peers import pki

from frevo._native import QuicServerTls
from frevo.cli import tls
from frevo.tls.access import AccessList, identify
from frevo.tls.client import ClientTrust, trust_of
from frevo.tls.errors import TlsError
from frevo.tls.load import load_pair
from frevo.tls.server import ServerCertificates, read_all
from frevo.tls.settings import TlsSettings
from frevo.tls.store import TlsStore

# [MS-SMB2] 3.3.1.18, the figure: three chains below one root.
ROOT = pki.authority("root_cert")
INTER_1, INTER_2 = pki.authority("inter_cert_1", ROOT), pki.authority("inter_cert_2", ROOT)
CLIENT_1 = pki.leaf("client_cert_1", INTER_1, usage=pki.CLIENT)
CLIENT_2 = pki.leaf("client_cert_2", INTER_1, usage=pki.CLIENT)
CLIENT_3 = pki.leaf("client_cert_3", INTER_2, usage=pki.CLIENT)


@pytest.fixture
def settings(tmp_path: Path) -> TlsSettings:
    """A server that requires certificates below ROOT, with nothing else configured."""
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    return TlsSettings(
        private_dir=str(tmp_path / "private"), cafile=str(tmp_path / "ca.pem"), client_access="require"
    )


def sent(client: pki.Made) -> list[bytes]:
    """What a client sends: its chain without the root."""
    return [made.der for made in client.chain() if made.above]


def server(settings: TlsSettings) -> QuicServerTls:
    return ServerCertificates(settings).current()


def test_worked_example(settings: TlsSettings) -> None:
    """Goal: the example of [MS-SMB2] 3.3.1.18: client 1 is granted access, 2 and 3 are denied. Method: its entries."""
    entries = AccessList(TlsStore(settings.private_dir))
    entries.put(False, f"sha256:{CLIENT_2.sha256.hex()}")
    entries.put(False, f"sha256:{ROOT.sha256.hex()}")
    entries.put(True, "issuer:CN=root_cert")
    entries.put(False, "issuer:CN=inter_cert_2")
    judge = server(settings)
    assert judge.denies(sent(CLIENT_1)) is None
    assert judge.denies(sent(CLIENT_2)) is not None
    assert judge.denies(sent(CLIENT_3)) is not None


@pytest.mark.parametrize(
    "identifier",
    [
        f"sha256:{CLIENT_1.sha256.hex()}",
        f"sha256:{INTER_1.sha256.hex()}",
        "issuer:CN=inter_cert_1",
        "issuer:CN=root_cert",
        "subject:CN=client_cert_1",
        "subject:CN=inter_cert_1",
        "san:DNS:client_cert_1",
    ],
    ids=["leaf", "intermediate", "issuer", "root", "subject", "intermediate subject", "name"],
)
def test_every_kind_of_entry(settings: TlsSettings, identifier: str) -> None:
    """Goal: each kind lets in whom it should and nobody else, and keeps out the same. Method: allow, then deny."""
    entries = AccessList(TlsStore(settings.private_dir))
    judge = server(settings)
    assert judge.denies(sent(CLIENT_1)) is not None  # without entries nobody
    entries.put(True, identify(identifier)[0])
    judge = server(settings)
    assert judge.denies(sent(CLIENT_1)) is None
    assert (judge.denies(sent(CLIENT_3)) is None) == ("root_cert" in identifier)
    entries.put(True, "issuer:CN=root_cert")
    entries.put(False, identifier)
    assert server(settings).denies(sent(CLIENT_1)) is not None


def test_revoked(settings: TlsSettings, tmp_path: Path) -> None:
    """Goal: `tls crlfile` keeps revoked clients out. Method: a list that names one of two."""
    AccessList(TlsStore(settings.private_dir)).put(True, "issuer:CN=root_cert")
    (tmp_path / "crl.pem").write_bytes(pki.revocation_list(INTER_1, CLIENT_1))
    judge = server(replace(settings, crlfile=str(tmp_path / "crl.pem")))
    assert judge.denies(sent(CLIENT_1)) is not None
    assert judge.denies(sent(CLIENT_2)) is None


def test_issued_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: what `issue-client` makes is let in until `deny`. Method: a new server's own CA, no other file."""
    private = tmp_path / "private"
    parser = argparse.ArgumentParser()
    tls.add_parser(parser.add_subparsers(required=True))

    def run(*words: str) -> None:
        args = parser.parse_args(["tls", *words, "--private-dir", str(private)])
        assert args.run(args) == 0

    own = TlsSettings(private_dir=str(private), client_access="require")
    judge = server(own)
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    run("issue-client", "eve", "--password-stdin", "--out", str(tmp_path))
    pair = load_pair(tmp_path / "eve.pem", tmp_path / "eve.key")
    assert judge.denies(pair.chain) is not None
    assert server(own).denies(pair.chain) is None
    assert server(own).denies([]) is not None
    run("deny", str(tmp_path / "eve.pem"))
    assert server(own).denies(pair.chain) is not None


def test_clients(settings: TlsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: rustls takes everything that a client can demand and present. Method: all options; this system's CAs."""
    ServerCertificates(settings)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    certfile, keyfile = CLIENT_1.write(tmp_path, "client")
    own = trust_of(TlsSettings(private_dir=settings.private_dir))
    assert own.ca_files == (str(TlsStore(settings.private_dir).ca),)
    made = own.native("nas.example")
    assert made.server_name == "nas.example"
    assert ClientTrust(fingerprint="ab" * 32).native("192.0.2.1").server_name == "192.0.2.1"
    ClientTrust(ca_files=own.ca_files, system_cas=False, certificate=str(certfile), key=str(keyfile)).native(
        "nas.example"
    )
    with pytest.raises(
        TlsError, match=r"cannot connect to bad name over QUIC: .*neither a host name nor an address"
    ):
        ClientTrust(fingerprint="ab" * 32).native("bad name")
    other_key = pki.leaf("x", ROOT).write(tmp_path, "other")[1]
    with pytest.raises(TlsError, match="not the one of the certificate"):
        ClientTrust(fingerprint="ab" * 32, certificate=str(certfile), key=str(other_key)).native("nas")
    with pytest.raises(TlsError, match="No such file"):
        ClientTrust(fingerprint="ab" * 32, key_log="/none/keys").native("nas")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ECDSA P-256"),
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA P-384"),
        (ec.generate_private_key(ec.SECP521R1()), "ECDSA P-521"),
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
    ids=["p256", "p384", "p521", "rsa", "ed25519"],
)
def test_other_cas_certificates(settings: TlsSettings, tmp_path: Path, key: object, name: str) -> None:
    """Goal: every kind of key that `load` lets through is one that rustls can use. Method: each, below two CAs."""
    made = pki.leaf("nas.example", INTER_1, private_key=key)
    certfile, keyfile = made.write(tmp_path, "nas")
    read = read_all(replace(settings, certfile=str(certfile), keyfile=str(keyfile)))
    assert isinstance(read.native, QuicServerTls)
    ((_, pair),) = read.pairs
    assert pair.facts.key == name
    assert x509.load_der_x509_certificate(pair.chain[0]) == made.certificate
