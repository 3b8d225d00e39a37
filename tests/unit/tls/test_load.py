"""frevo.tls.load: facts, chains in order, keys that fit; hostile files are errors with a sentence."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from peers import pki

from frevo.tls.errors import TlsError
from frevo.tls.load import Pair, certificate_of, certificates, facts_of, load_pair, private_key_of

ROOT = pki.authority("Example Root", attributes=[(NameOID.ORGANIZATION_NAME, "Example, Inc.")])
MIDDLE = pki.authority("Example CA", ROOT)
LOWER = pki.authority("Example CA 2", MIDDLE)
SERVER = pki.leaf("nas.example", LOWER, names=("nas.example", "192.0.2.7"))
OTHER = pki.leaf("other.example", ROOT)


def load(folder: Path, made: pki.Made, found: list[pki.Made] | None = None) -> Pair:
    return load_pair(*made.write(folder, "server", found))


def test_facts() -> None:
    """Goal: every fact of a certificate. Method: one whose values are known."""
    facts = facts_of(SERVER.certificate)
    assert (facts.subject, facts.issuer, facts.common_name) == (
        "CN=nas.example",
        "CN=Example CA 2",
        "nas.example",
    )
    assert facts.names == ("DNS:nas.example", "IP:192.0.2.7")
    assert facts.dns_names == ("nas.example",)
    assert (facts.sha256, facts.fingerprint) == (SERVER.sha256, SERVER.sha256.hex())
    assert facts.sha1 == hashlib.sha1(SERVER.der).digest()
    assert abs(facts.not_after_s - time.time() - 30 * 86400) < 3600
    assert (facts.is_ca, facts.self_signed, facts.usages, facts.signs) == (
        False,
        False,
        ("serverAuth",),
        True,
    )
    assert (facts.key, facts.weak) == ("ECDSA P-256", "")
    root = facts_of(ROOT.certificate)
    assert (root.is_ca, root.self_signed, root.usages) == (True, True, ())
    assert root.subject == r"O=Example\, Inc.,CN=Example Root"


def test_weak_keys() -> None:
    """Goal: what Windows refuses is told. Method: RSA with 1024 bits."""
    weak = pki.leaf("old.example", ROOT, rsa_bits=1024)
    assert facts_of(weak.certificate).weak == "its RSA key has only 1024 bits"
    assert facts_of(pki.leaf("new.example", ROOT, rsa_bits=2048).certificate).key == "RSA 2048"


def test_chain(tmp_path: Path) -> None:
    """Goal: leaf first, root left out, key as PKCS#8. Method: files in every order, with the root, with doubles."""
    wanted = (SERVER.der, LOWER.der, MIDDLE.der)
    assert load(tmp_path, SERVER).chain == wanted
    for found in (
        [SERVER, LOWER, MIDDLE, ROOT],
        [ROOT, MIDDLE, LOWER, SERVER],
        [MIDDLE, SERVER, ROOT, LOWER, MIDDLE, SERVER],
    ):
        pair = load(tmp_path, SERVER, found)
        assert pair.chain == wanted
        assert pair.key == SERVER.key_der
    assert load(tmp_path, SERVER, [SERVER]).chain == (SERVER.der,)  # clients may have what is missing
    assert SERVER.key_der.hex() not in repr(pair) and str(SERVER.key_der) not in repr(pair)


def test_one_file_for_both(tmp_path: Path) -> None:
    """Goal: certificate and key may be in one file. Method: such a file, given twice."""
    both = tmp_path / "both.pem"
    both.touch(0o600)
    both.write_bytes(SERVER.key_pem + SERVER.pem + LOWER.pem)
    assert load_pair(both, both).chain == (SERVER.der, LOWER.der)


def test_self_signed(tmp_path: Path) -> None:
    """Goal: a server's certificate may be its own root. Method: a chain of one."""
    alone = pki.make("alone.example", None, usage=pki.SERVER, names=("alone.example",))
    assert load(tmp_path, alone, [alone]).chain == (alone.der,)


def test_stray_certificate(tmp_path: Path) -> None:
    """Goal: a certificate that has no place in the chain is an error. Method: another server's; an older CA."""
    with pytest.raises(TlsError, match=r"not in the chain of the first: CN=other\.example: remove it"):
        load(tmp_path, SERVER, [SERVER, LOWER, OTHER])
    again = pki.Made(pki.authority("Example CA 2", MIDDLE).certificate, LOWER.key, MIDDLE)
    with pytest.raises(TlsError, match="not in the chain"):
        load(tmp_path, SERVER, [SERVER, LOWER, again])


def test_key_of_another(tmp_path: Path) -> None:
    """Goal: a key that does not fit is an error that names both files. Method: the key of another certificate."""
    SERVER.write(tmp_path, "server")
    OTHER.write(tmp_path, "other")
    with pytest.raises(TlsError, match=r"other\.key does not belong to the certificate in .*server\.pem"):
        load_pair(tmp_path / "server.pem", tmp_path / "other.key")


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o620, 0o601])
def test_readable_by_others(tmp_path: Path, mode: int) -> None:
    """Goal: a key that others can read or change is refused. Method: modes; the group may read."""
    certfile, keyfile = SERVER.write(tmp_path, "server")
    keyfile.chmod(mode)
    with pytest.raises(
        TlsError, match=rf"accessible to other users \(mode {mode:04o}\): chmod 600 .*server\.key"
    ):
        load_pair(certfile, keyfile)
    keyfile.chmod(0o640)
    assert load_pair(certfile, keyfile).chain


def test_other_kinds_of_keys(tmp_path: Path) -> None:
    """Goal: only keys that TLS 1.3 can use. Method: Ed25519 and P-384 are, DSA, brainpool and small RSA are not."""

    def der(key: object) -> bytes:
        plain = serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)  # type: ignore[attr-defined,no-any-return]

    assert private_key_of(der(ed25519.Ed25519PrivateKey.generate()), "f")
    assert private_key_of(der(ec.generate_private_key(ec.SECP384R1())), "f")
    for key in (dsa.generate_private_key(1024), ec.generate_private_key(ec.BrainpoolP256R1())):
        with pytest.raises(TlsError, match=r"cannot be used: expected ECDSA"):
            private_key_of(der(key), "f")
    with pytest.raises(TlsError, match=r"has 1024 bits: expected at least 2048"):
        private_key_of(pki.leaf("x", ROOT, rsa_bits=1024).key_der, "f")


def test_files_that_are_none(tmp_path: Path) -> None:
    """Goal: missing, unreadable, huge and odd files end in a sentence, at once. Method: each of them."""
    certfile, keyfile = SERVER.write(tmp_path, "server")
    with pytest.raises(TlsError, match=r"cannot read .*none\.pem: No such file"):
        load_pair(tmp_path / "none.pem", keyfile)
    with pytest.raises(TlsError, match="is not a regular file"):
        load_pair(tmp_path, keyfile)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TlsError, match="is not a regular file"):
        load_pair(tmp_path / "pipe", keyfile)
    with pytest.raises(TlsError, match="is not a regular file"):
        load_pair(certfile, Path("/dev/zero"))
    with pytest.raises(TlsError, match="cannot read"):
        load_pair(Path("a\0b"), keyfile)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(TlsError, match="larger than 16777216 bytes"):
        load_pair(tmp_path / "huge", keyfile)
    (tmp_path / "many.pem").write_bytes(SERVER.pem * 17)
    with pytest.raises(TlsError, match="17 certificates: expected a chain of at most 16"):
        load_pair(tmp_path / "many.pem", keyfile)


@given(data=st.binary(max_size=300), at=st.integers(0, 600))
def test_hostile_bytes(data: bytes, at: int) -> None:
    """Goal: whatever the bytes are, a TlsError or facts. Method: noise, and damaged certificates and keys."""
    for text in (data, b"\x30" + data, SERVER.der[:at] + data + SERVER.der[at + len(data) :]):
        try:
            for certificate in certificates(text, "f"):
                facts_of(certificate, "f")
        except TlsError:
            pass
        try:
            private_key_of(text, "f")
        except TlsError:
            pass


def test_signed_with_sha1() -> None:
    """Goal: SHA-1 is told. Method: a certificate whose OIDs are changed from SHA-256 to SHA-1."""
    rsa_with = bytes.fromhex("2a864886f70d0101")
    der = pki.leaf("old.example", pki.authority("old", rsa_bits=2048)).der
    old = certificate_of(der.replace(rsa_with + b"\x0b", rsa_with + b"\x05"), "f")
    assert facts_of(old).weak == "it is signed with SHA1"
