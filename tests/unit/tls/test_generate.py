"""frevo.tls.generate: the CA and the server's certificate: made once, right for every client, renewed in time."""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import stat
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from peers import pki

from frevo.tls import generate, names
from frevo.tls.errors import TlsError
from frevo.tls.generate import DAY_S, ensure_certificate, is_due, load_authority, renew
from frevo.tls.load import certificate_of
from frevo.tls.names import common_name
from frevo.tls.store import TlsStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsStore:
    monkeypatch.setattr("socket.gethostname", lambda: "NAS.example.org")
    return TlsStore(tmp_path / "state" / "private")


def leaf(store: TlsStore) -> x509.Certificate:
    return certificate_of(ensure_certificate(store).chain[0], "f")


def renewed(store: TlsStore, *, new_authority: bool = False, now: float | None = None) -> x509.Certificate:
    with store.changing():
        return certificate_of(renew(store, new_authority=new_authority, now=now).chain[0], "f")


def test_what_is_made(store: TlsStore) -> None:
    """Goal: P-256, SHA-256, the host's names and addresses, serverAuth, digitalSignature, CN, a year ([MS-SMB2]
    and Windows want these). Method: look at each.
    """
    certificate = leaf(store)
    extensions = certificate.extensions
    assert certificate.public_key().curve.name == "secp256r1"  # type: ignore[union-attr]
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert certificate.subject == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nas.example.org")])
    alternative = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns = alternative.get_values_for_type(x509.DNSName)
    assert dns == ["nas.example.org", "nas", "nas.local", "localhost"]
    addresses = alternative.get_values_for_type(x509.IPAddress)
    assert {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")} <= set(addresses)
    assert set(map(str, addresses)) == set(names.host_addresses())
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    bits = extensions.get_extension_for_class(x509.KeyUsage)
    assert (bits.critical, bits.value.digital_signature, bits.value.key_cert_sign) == (True, True, False)
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    days = (certificate.not_valid_after_utc.timestamp() - time.time()) / DAY_S
    assert 364.9 < days <= 365


def test_the_ca(store: TlsStore) -> None:
    """Goal: a CA for ten years that signs the leaf and no further CA. Method: look; OpenSSL verifies the chain."""
    certificate = leaf(store)
    authority = load_authority(store)
    assert authority is not None
    ca = authority.certificate
    assert ca.subject.rfc4514_string() == "CN=frevo CA of nas.example.org"
    assert 3650 < (ca.not_valid_after_utc.timestamp() - time.time()) / DAY_S < 3654
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    bits = ca.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (bits.key_cert_sign, bits.crl_sign, bits.digital_signature) == (True, True, False)
    certificate.verify_directly_issued_by(ca)
    key_of_ca = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key_above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert key_above.key_identifier == key_of_ca.digest


def test_openssl_accepts_it(store: TlsStore) -> None:
    """Goal: another TLS library takes certificate, key and CA. Method: a handshake of Python's ssl in memory."""
    ensure_certificate(store)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(store.certificate, store.key)
    client = ssl.create_default_context(cafile=str(store.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="nas.example.org"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert ends[0].version() == "TLSv1.3"


def test_modes(store: TlsStore) -> None:
    """Goal: folders 0700 and keys 0600, whatever the umask. Method: make them with umask 0, look at all."""
    before = os.umask(0)
    try:
        ensure_certificate(store)
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.private_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    files = list(store.directory.iterdir())
    assert {path.name for path in files} == {
        *("cert.pem", "key.pem", "ca.pem", "ca-key.pem", "audit.jsonl", "lock"),
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_made_once(store: TlsStore) -> None:
    """Goal: what is there stays. Method: ask again, and in four threads at once in an empty folder."""
    first = ensure_certificate(store)
    assert ensure_certificate(store).chain == first.chain
    other = TlsStore(store.private_dir.parent / "other")
    found: list[tuple[bytes, ...]] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_certificate(other).chain)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


def test_a_writer_that_is_half_way(store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key whose certificate another process is just writing is no error: the lock is waited for."""
    first = ensure_certificate(store)
    certificate = store.certificate.read_bytes()
    looked = threading.Event()
    found: list[tuple[bytes, ...]] = []

    def look(of: TlsStore, *, now: float | None = None) -> bool:
        try:
            return is_due(of, now=now)
        finally:
            looked.set()

    monkeypatch.setattr("frevo.tls.generate.is_due", look)
    reader = threading.Thread(target=lambda: found.append(ensure_certificate(store).chain))
    with store.changing():
        store.certificate.unlink()
        reader.start()
        assert looked.wait(20)
        store.write(store.certificate, certificate)
    reader.join()
    assert found == [first.chain]


def test_renewed_in_time(store: TlsStore) -> None:
    """Goal: renewed with the same CA when a third of its life is left. Method: `now` just before and after."""
    first = leaf(store)
    ca = store.ca.read_bytes()
    now = time.time()
    assert not is_due(store, now=now + 243 * DAY_S)
    assert is_due(store, now=now + 244 * DAY_S)
    second = certificate_of(ensure_certificate(store, now=now + 244 * DAY_S).chain[0], "f")
    assert second.public_key() != first.public_key()
    assert (second.not_valid_after_utc.timestamp() - now) / DAY_S > 600
    assert store.ca.read_bytes() == ca
    lines = [json.loads(line) for line in store.audit_log.read_text().splitlines()]
    assert [line["what"] for line in lines] == [
        "made a CA",
        "made a server certificate",
        "made a server certificate",
    ]
    assert lines[2]["sha256"] == second.fingerprint(hashes.SHA256()).hex()


def test_names_are_kept(store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: further names come first and stay, as do those of a renamed host. Method: renew after each."""
    ensure_certificate(store)
    with store.changing():
        store.add_names(["files.example.org", "203.0.113.9"])
        store.add_names(["files.example.org"])
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    san = renewed(store).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns = san.get_values_for_type(x509.DNSName)
    assert dns[0] == "files.example.org" and {"nas.example.org", "box", "box.local"} <= set(dns)
    assert ipaddress.ip_address("203.0.113.9") in san.get_values_for_type(x509.IPAddress)
    assert len(set(dns)) == len(dns)


def test_new_authority(store: TlsStore) -> None:
    """Goal: the CA can be replaced. Method: renew with a new one; the old chain does not fit any more."""
    ensure_certificate(store)
    old = load_authority(store)
    certificate = renewed(store, new_authority=True)
    new = load_authority(store)
    assert old is not None and new is not None
    assert not generate.is_issuer(old.certificate, certificate)
    assert generate.is_issuer(new.certificate, certificate)


def test_never_longer_than_the_ca(store: TlsStore) -> None:
    """Goal: a leaf ends with its CA, and an expired CA signs nothing. Method: shortly before and after its end."""
    ensure_certificate(store)
    authority = load_authority(store)
    assert authority is not None
    end = authority.certificate.not_valid_after_utc.timestamp()
    late = authority.issue(common_name("x"), [], ExtendedKeyUsageOID.SERVER_AUTH, now=end - 5 * DAY_S)
    assert late.facts.not_after_s == end
    with pytest.raises(TlsError, match="the CA has expired: make a new one with frevo tls renew --ca"):
        authority.issue(common_name("x"), [], ExtendedKeyUsageOID.SERVER_AUTH, now=end + 1)


def test_others_certificates_are_left_alone(store: TlsStore) -> None:
    """Goal: what an administrator put there is neither renewed nor replaced. Method: an expired one."""
    ensure_certificate(store)
    theirs = pki.leaf("theirs.example", pki.authority("Theirs"), days=-3)
    with store.changing():
        store.write(store.certificate, theirs.pem)
        store.write(store.key, theirs.key_pem)
    assert not is_due(store)
    assert ensure_certificate(store).chain == (theirs.der,)


def test_half_a_pair(store: TlsStore) -> None:
    """Goal: a lost key or certificate is an error, not a new certificate. Method: remove one, then the CA's key."""
    ensure_certificate(store)
    store.key.rename(store.directory / "aside")
    with pytest.raises(TlsError, match=r"cert\.pem exists, but .*key\.pem does not: restore it"):
        ensure_certificate(store)
    (store.directory / "aside").rename(store.key)
    store.ca_key.unlink()
    assert not is_due(store, now=time.time() + 300 * DAY_S)  # nobody could renew it here
    with pytest.raises(TlsError, match=r"ca\.pem exists without its key"):
        renewed(store)


def test_ca_with_another_key(store: TlsStore) -> None:
    """Goal: a CA whose key is another's is an error. Method: replace the key."""
    ensure_certificate(store)
    store.ca_key.write_bytes(pki.authority("x").key_pem)
    with pytest.raises(TlsError, match=r"ca-key\.pem does not belong to the CA in .*ca\.pem"):
        load_authority(store)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Goal: a sentence with the folder and the reason. Method: a file in its place, and no permission."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Exception, match=r"cannot create the private directory .*file/private") as error:
        ensure_certificate(TlsStore(tmp_path / "file" / "private"))
    assert type(error.value).__name__ == "PrivateFileError"
    with pytest.raises(Exception, match=r"cannot create the private directory /proc/frevo"):
        ensure_certificate(TlsStore("/proc/frevo"))


def test_open_private_directory(tmp_path: Path) -> None:
    """Goal: no key is written where others can look. Method: a folder of mode 0755."""
    (tmp_path / "private").mkdir(mode=0o755)
    with pytest.raises(Exception, match=r"is accessible to other users \(mode 0755\): chmod 700"):
        ensure_certificate(TlsStore(tmp_path / "private"))
    assert list((tmp_path / "private").iterdir()) == []
