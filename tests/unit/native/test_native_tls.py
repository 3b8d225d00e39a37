"""What makes up the TLS of SMB over QUIC, from Python: what is taken, what is refused, and with which sentence.

The handshakes themselves are tests of the crate (crates/frevo-dataplane/tests/quic_tls.rs)."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from peers import pki
from peers.pki import Made

from frevo._native import QuicClientTls, QuicServerTls
from frevo.tls.pem import crls_in

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
COMMON_NAME = NameOID.COMMON_NAME.dotted_string
ORGANIZATION = NameOID.ORGANIZATION_NAME.dotted_string


def revoked(authority: Made, *certificates: Made) -> bytes:
    """A list of revoked certificates, in DER."""
    [found] = crls_in(pki.revocation_list(authority, *certificates), "the list")
    return found


@pytest.fixture(scope="module")
def authority() -> Made:
    return pki.authority("Our CA", attributes=((NameOID.ORGANIZATION_NAME, "frevo"),))


@pytest.fixture(scope="module")
def server(authority: Made) -> tuple[list[bytes], bytes]:
    leaf = pki.leaf("files.example", authority)
    return [leaf.der, authority.der], leaf.key_der


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8),
        (ec.generate_private_key(ec.SECP384R1()), PrivateFormat.TraditionalOpenSSL),
        (rsa.generate_private_key(65537, 2048), PrivateFormat.PKCS8),
        (rsa.generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL),
        (ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8),
    ],
    ids=["P-256 PKCS#8", "P-384 SEC1", "RSA PKCS#8", "RSA PKCS#1", "Ed25519"],
)
def test_keys_of_every_common_kind_are_taken(authority: Made, key: Key, form: PrivateFormat) -> None:
    """Whatever tool made the key; one that is not the certificate's is refused at once, not in a handshake."""
    leaf = pki.leaf("files", authority, private_key=key).der
    written = key.private_bytes(Encoding.DER, form, NoEncryption())
    QuicServerTls([([leaf], written)])
    QuicClientTls("files.example", certificate=([leaf], written))
    other = authority.key_der
    for build in (
        lambda: QuicServerTls([([leaf], other)]),
        lambda: QuicClientTls("files.example", certificate=([leaf], other)),
    ):
        with pytest.raises(ValueError, match="the private key is not the one of the certificate"):
            build()


def test_an_expired_certificate_is_taken(authority: Made) -> None:
    """The server says so elsewhere; its clients may have pinned it."""
    old = pki.leaf("old", authority, days=-2)
    QuicServerTls([([old.der], old.key_der)])


def test_parts_that_cannot_be_used_are_refused(server: tuple[list[bytes], bytes]) -> None:
    """Each with a sentence that an administrator understands."""
    chain, key = server
    for arguments, message in [
        ({"certificates": []}, "a server needs a certificate"),
        ({"certificates": [([], key)]}, "at least one certificate"),
        ({"certificates": [([b"rubbish"], key)]}, "not an X.509 certificate"),
        ({"certificates": [([chain[0] + b"x"], key)]}, "1 bytes follow the certificate"),
        ({"certificates": [(chain, b"rubbish")]}, "neither PKCS#8 nor SEC1 nor PKCS#1"),
        ({"client_access": "maybe"}, "no, allow or require, not .maybe."),
        ({"client_access": "require"}, "a CA that they come from"),
        ({"client_access": "allow", "client_cas": [b"rubbish"]}, "a CA is not an X.509 certificate"),
        ({"client_access": "allow", "client_cas": [chain[1]], "crls": [b"rubbish"]}, "a CRL cannot be used"),
        ({"entries": [(True, "sha256", b"short")]}, "32 bytes, not 5"),
        ({"entries": [(True, "issuer", ())]}, "names nobody"),
        ({"entries": [(True, "san", "files.example")]}, "is not DNS:name"),
        ({"entries": [(True, "san", "IP:files.example")]}, "is not DNS:name"),
        ({"entries": [(True, "colour", "red")]}, "sha256, issuer, subject or san, not .colour."),
    ]:
        with pytest.raises(ValueError, match=message):
            QuicServerTls(**({"certificates": [(chain, key)]} | arguments))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        QuicServerTls([(chain, key)], entries=[(True, "sha256", "text")])


def test_a_client_needs_a_server_and_a_way_to_check_it() -> None:
    """Names and addresses are taken, and every word of `tls verify peer`; nothing else."""
    for name in ("files.example", "fileserver", "192.0.2.1", "2001:db8::1"):
        assert QuicClientTls(name).server_name == name
    for name in ("", "two words", "datei-größe.example", "host:443"):
        with pytest.raises(ValueError, match="neither a host name nor an address"):
            QuicClientTls(name)
    for verify in ("no_check", "ca_only", "ca_and_name_if_available", "ca_and_name", "as_strict_as_possible"):
        QuicClientTls("files.example", verify=verify)
    with pytest.raises(ValueError, match=r"not .never."):
        QuicClientTls("files.example", verify="never")
    with pytest.raises(ValueError, match="32 bytes, not 20"):
        QuicClientTls("files.example", fingerprint=bytes(20))


def test_some_unreadable_cas_of_a_systems_store_do_no_harm(authority: Made) -> None:
    """One bad file among many CAs is passed over; a bad file alone is what the user named."""
    QuicClientTls("files.example", cas=[b"rubbish", authority.der])
    with pytest.raises(ValueError, match=r"a CA is not an X\.509 certificate"):
        QuicClientTls("files.example", cas=[b"rubbish"])


def test_a_key_log_is_its_owners(server: tuple[list[bytes], bytes], tmp_path: Path) -> None:
    """The secrets in it decrypt everything."""
    QuicServerTls([server], key_log=str(tmp_path / "keys"))
    QuicClientTls("files.example", key_log=tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    with pytest.raises(FileNotFoundError):
        QuicServerTls([server], key_log=str(tmp_path / "missing" / "keys"))


class Door:
    """A server whose access list is asked about one client."""

    def __init__(
        self, server: tuple[list[bytes], bytes], authority: Made, client: str, **changes: Any
    ) -> None:
        names = ("anna.example", "anna@example.org")
        self.client = pki.leaf(client, authority, usage=pki.CLIENT, names=names, **changes)
        self.server, self.authority = server, authority

    def denies(
        self, *entries: tuple[bool, str, bytes | str | tuple[tuple[str, str], ...]], **more: object
    ) -> str:
        """Why the client is denied; empty if it is not."""
        arguments = {"client_access": "require", "client_cas": [self.authority.der]} | more
        tls = QuicServerTls([self.server], entries=entries, **arguments)  # type: ignore[arg-type]
        return tls.denies([self.client.der]) or ""


def test_entries_are_about_hashes_issuers_subjects_and_alternative_names(
    server: tuple[list[bytes], bytes], authority: Made
) -> None:
    """A client is let in, or kept out, by each of them; names count as a whole."""
    door = Door(server, authority, "Anna")
    issuer = ((COMMON_NAME, " our   ca"), (ORGANIZATION, "FREVO"))
    fitting = [
        ("sha256", door.client.sha256),
        ("issuer", issuer),
        ("subject", ((COMMON_NAME, "anna"),)),
        ("san", "DNS:ANNA.example"),
        ("san", "email:anna@example.org"),
    ]
    for kind, value in fitting:
        assert door.denies((True, kind, value)) == ""
        assert "an entry denies " + kind in door.denies((True, "issuer", issuer), (False, kind, value))
    for kind, value in [
        ("sha256", bytes(32)),
        ("issuer", ((COMMON_NAME, "Our CA"),)),
        ("issuer", tuple(reversed(issuer))),
        ("subject", issuer),
        ("san", "DNS:example"),
        ("san", "URI:anna.example"),
    ]:
        assert door.denies((True, kind, value)) == "the client CN=Anna is denied access: no entry allows it"


@pytest.mark.parametrize(
    "kind", ["UTF8String", "PrintableString", "BMPString", "T61String", "UniversalString"]
)
def test_names_are_the_same_in_every_string_type(
    server: tuple[list[bytes], bytes], authority: Made, kind: str
) -> None:
    """CAs write the same name as different ASN.1 strings."""
    string_type = x509.name._ASN1Type[kind]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Anna", _type=string_type)])
    door = Door(server, authority, "Anna", subject=name)
    assert door.denies((True, "subject", ((COMMON_NAME, "anna"),))) == ""


def test_names_beyond_ascii_are_compared_without_their_case(
    server: tuple[list[bytes], bytes], authority: Made
) -> None:
    """Case is folded in every alphabet."""
    door = Door(server, authority, "JÖRG Ünal")
    assert door.denies((True, "subject", ((COMMON_NAME, "jörg  ÜNAL"),))) == ""


def test_a_clients_name_cannot_break_a_log_line(server: tuple[list[bytes], bytes], authority: Made) -> None:
    """A name comes from the network: it starts no line and moves no cursor."""
    denied = Door(server, authority, "Anna\nERROR: all is lost\x1b[2J").denies()
    assert denied == "the client CN=Anna?ERROR: all is lost?[2J is denied access: no entry allows it"


def test_revoked_expired_and_strange_clients_are_denied(
    server: tuple[list[bytes], bytes], authority: Made
) -> None:
    """An entry that allows does not help a certificate that is not valid."""
    door = Door(server, authority, "Anna")
    entry = (True, "sha256", door.client.sha256)
    assert door.denies(entry, crls=[revoked(authority)]) == ""
    assert "revoked" in door.denies(entry, crls=[revoked(authority, door.client)])
    other = pki.authority("Other CA")
    assert "the CA of the client's certificate (CN=Our CA, O=frevo) is not trusted" in door.denies(
        entry, client_cas=[other.der]
    )
    door.client = pki.leaf("Anna", authority, usage=pki.CLIENT, days=-2)
    day = door.client.certificate.not_valid_after_utc
    assert door.denies(entry) == f"the client's certificate expired on {day:%Y-%m-%d}"


def test_clients_without_a_certificate(server: tuple[list[bytes], bytes], authority: Made) -> None:
    """They are denied only where one is required."""
    cas = [authority.der]
    assert QuicServerTls([server]).denies([]) is None
    assert QuicServerTls([server], client_access="allow", client_cas=cas).denies([]) is None
    denied = QuicServerTls([server], client_access="require", client_cas=cas).denies([])
    assert denied == "the client has no certificate, and one is required now"
