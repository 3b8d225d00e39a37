"""frevo.tls.client: what a client demands, from options and from smb.conf."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from peers import pki

from frevo.tls import trust
from frevo.tls.client import ClientTrust, parse_fingerprint, trust_of
from frevo.tls.errors import TlsError
from frevo.tls.settings import TlsSettings

ROOT, SYSTEM = pki.authority("root"), pki.authority("system")
CLIENT = pki.leaf("eve", pki.authority("middle", ROOT), usage=pki.CLIENT)
DIGEST = "0123456789abcdef" * 4


class Fake:
    """Keeps what the data plane's class was given; refuses the name `bad`."""

    def __init__(self, server_name: str, **options: Any) -> None:
        if server_name == "bad":
            raise ValueError("'bad' is no name")
        self.name = server_name
        self.options = options


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("frevo._native.QuicClientTls", Fake)
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    (tmp_path / "system.pem").write_bytes(SYSTEM.pem)
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", (str(tmp_path / "system.pem"),))
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    (tmp_path / "crl.pem").write_bytes(pki.revocation_list(ROOT))
    return tmp_path


def native(client: ClientTrust, name: str = "nas.example") -> dict[str, Any]:
    made: Any = client.native(name)
    assert made.name == name
    options: dict[str, Any] = made.options
    return options


def test_defaults(folder: Path) -> None:
    """Goal: without options, the system's CAs and all checks. Method: what the data plane gets."""
    assert native(ClientTrust()) == {
        "verify": "as_strict_as_possible",
        "cas": [SYSTEM.der],
        "crls": [],
        "fingerprint": None,
        "certificate": None,
        "key_log": None,
    }


def test_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: CAs, lists, certificate, key and key log arrive. Method: all options."""
    certfile, keyfile = CLIENT.write(folder, "eve")
    monkeypatch.setenv("SSLKEYLOGFILE", "/tmp/keys")
    options = native(
        ClientTrust(
            verify="ca_only",
            ca_files=(str(folder / "root.pem"),),
            system_cas=False,
            crl_files=(str(folder / "crl.pem"),),
            certificate=str(certfile),
            key=str(keyfile),
        )
    )
    assert options["cas"] == [ROOT.der]
    assert len(options["crls"]) == 1
    assert options["certificate"] == ([CLIENT.der, CLIENT.chain()[1].der], CLIENT.key_der)
    assert (options["verify"], options["key_log"]) == ("ca_only", "/tmp/keys")
    both = folder / "both.pem"
    both.touch(0o600)
    both.write_bytes(CLIENT.pem + CLIENT.key_pem)
    assert native(ClientTrust(certificate=str(both)))["certificate"] == ([CLIENT.der], CLIENT.key_der)


def test_fingerprint_stands_for_everything(folder: Path) -> None:
    """Goal: with a fingerprint, or no checks at all, no CA is read. Method: files that do not exist."""
    nowhere = {"ca_files": (str(folder / "none"),), "crl_files": (str(folder / "none"),)}
    options = native(ClientTrust(fingerprint=DIGEST, **nowhere))
    assert (options["fingerprint"], options["cas"], options["crls"]) == (bytes.fromhex(DIGEST), [], [])
    assert native(ClientTrust(verify="no_check", **nowhere))["cas"] == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("fe80::1%eth0", "fe80::1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("nas.example", "nas.example"),
    ],
)
def test_names_as_in_certificates(host: str, name: str) -> None:
    """Goal: a host is asked for and checked by what a certificate can contain. Method: a zone, letters beyond ASCII."""
    assert ClientTrust(verify="no_check").native(host).server_name == name


def test_no_ca(folder: Path) -> None:
    """Goal: without any CA the data plane refuses the server, because it sees the fingerprint. Method: no CA."""
    given = native(ClientTrust(system_cas=False))
    assert given["cas"] == [] and given["verify"] == "as_strict_as_possible"


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (ClientTrust(ca_files=("/none.pem",)), r"cannot read /none\.pem"),
        (ClientTrust(fingerprint="abc"), "'abc' is not a fingerprint"),
        (ClientTrust(certificate="/none.pem"), r"cannot read /none\.pem"),
        (ClientTrust(key="/none.key"), "no certificate: use --tls-cert FILE"),
    ],
)
def test_errors(folder: Path, client: ClientTrust, words: str) -> None:
    """Goal: a sentence for everything that cannot be used. Method: each."""
    with pytest.raises(TlsError, match=words):
        native(client)


def test_certificate_without_a_key(folder: Path) -> None:
    """Goal: without a file for the key, advice on it, not on the mode of the certificate. Method: a public file."""
    alone = folder / "alone.pem"
    alone.write_bytes(CLIENT.pem)
    alone.chmod(0o644)
    with pytest.raises(TlsError, match=r"alone\.pem has no private key: .*--tls-key"):
        native(ClientTrust(certificate=str(alone)))


def test_bad_files(folder: Path) -> None:
    """Goal: unreadable keys and names are errors of ours. Method: open key, encrypted key, a bad name."""
    certfile, keyfile = CLIENT.write(folder, "eve")
    keyfile.chmod(0o644)
    with pytest.raises(TlsError, match="accessible to other users"):
        native(ClientTrust(certificate=str(certfile), key=str(keyfile)))
    keyfile.chmod(0o600)
    keyfile.write_bytes(CLIENT.encrypted_key_pem(b"x"))
    with pytest.raises(TlsError, match="encrypted with a password"):
        native(ClientTrust(certificate=str(certfile), key=str(keyfile)))
    with pytest.raises(TlsError, match="cannot connect to bad over QUIC: 'bad' is no name"):
        ClientTrust().native("bad")


@pytest.mark.parametrize(
    "text",
    [
        DIGEST,
        DIGEST.upper(),
        ":".join(DIGEST[at : at + 2] for at in range(0, 64, 2)),
        " ".join(DIGEST[at : at + 2] for at in range(0, 64, 2)),
        f"SHA256:{DIGEST}",
        "sha256 Fingerprint=" + ":".join(DIGEST[at : at + 2] for at in range(0, 64, 2)),
        f"  sha-256: {DIGEST}\n",
    ],
)
def test_fingerprints(text: str) -> None:
    """Goal: fingerprints as openssl, browsers and frevo write them. Method: each form."""
    assert parse_fingerprint(text) == bytes.fromhex(DIGEST)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a fingerprint"),
        (DIGEST[:-1], "is not a fingerprint"),
        (DIGEST + "00", "is not a fingerprint"),
        (DIGEST[:-1] + "g", "is not a fingerprint"),
        ("٣" * 64, "is not a fingerprint"),
        (DIGEST[:40], "SHA-1 fingerprint: expected SHA-256"),
    ],
)
def test_no_fingerprints(text: str, words: str) -> None:
    """Goal: what is none is refused with a sentence. Method: too short, too long, other letters, SHA-1."""
    with pytest.raises(TlsError, match=words):
        parse_fingerprint(text)


def test_from_the_configuration(folder: Path) -> None:
    """Goal: Samba's keys for clients. Method: defaults with and without an own CA, then every key."""
    private = folder / "private"
    assert trust_of(TlsSettings(private_dir=str(private))) == ClientTrust()
    (private / "tls").mkdir(parents=True)
    (private / "tls" / "ca.pem").write_bytes(ROOT.pem)
    own = trust_of(TlsSettings(private_dir=str(private)))
    assert own == ClientTrust(ca_files=(str(private / "tls" / "ca.pem"),))
    assert native(own)["cas"] == [ROOT.der, SYSTEM.der]
    named = TlsSettings(
        private_dir=str(private),
        cafile="my.pem",
        ca_directories=("/etc/cas",),
        crlfile="/etc/crl",
        verify_peer="ca_only",
    )
    assert trust_of(named) == ClientTrust(
        verify="ca_only",
        ca_files=(str(private / "my.pem"),),
        ca_directories=("/etc/cas",),
        system_cas=False,
        crl_files=("/etc/crl",),
    )
    assert not trust_of(TlsSettings(private_dir=str(private), trust_system_cas="no")).system_cas
    assert trust_of(TlsSettings(private_dir="/x", cafile="/y", trust_system_cas="yes")).system_cas


def test_clients_do_without_cryptography(folder: Path) -> None:
    """Goal: no command pays for a library that it does not use. Method: import everything else, ask what is loaded."""
    code = (
        "import json, sys\n"
        "import frevo, frevo.config\n"
        "from frevo.cli.main import build_parser\n"
        "import frevo.tls.client, frevo.tls.server, frevo.tls.access, frevo.tls.settings, frevo.tls.warnings\n"
        "from frevo.tls.trust import ca_certificates\n"
        "from pathlib import Path\n"
        f"assert ca_certificates([Path({str(folder / 'root.pem')!r})])\n"
        "build_parser()\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('cryptography')]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stderr, json.loads(result.stdout)) == ("", [])
