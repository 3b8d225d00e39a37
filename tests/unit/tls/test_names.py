"""frevo.tls.names: names of hosts, of people and of certificates, good ones and bad ones."""

from __future__ import annotations

import pytest
from cryptography import x509

from frevo.tls.errors import TlsError
from frevo.tls.names import (
    alternative_name,
    attributes,
    common_name,
    distinguished_name,
    host_addresses,
    host_names,
    server_name,
)

CN, ORGANIZATION, COUNTRY = "2.5.4.3", "2.5.4.10", "2.5.4.6"


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("nas", ["nas", "nas.local", "localhost"]),
        ("NAS.Example.Org.", ["nas.example.org", "nas", "nas.local", "localhost"]),
        ("my_box", ["my_box", "my_box.local", "localhost"]),
        ("localhost", ["localhost", "localhost.local"]),
        ("bad name!", ["localhost"]),
        ("", ["localhost"]),
    ],
)
def test_host_names(monkeypatch: pytest.MonkeyPatch, host: str, wanted: list[str]) -> None:
    """Goal: every name that clients may use, and none that a certificate cannot hold. Method: hosts' names."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert host_names() == wanted


def test_host_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: loopback always, no link-local ones. Method: what this host has; a kernel that does not tell."""
    assert host_addresses()[:2] == ["127.0.0.1", "::1"]
    assert not any("%" in address for address in host_addresses())

    def fails() -> list[object]:
        raise OSError

    monkeypatch.setattr("frevo.tls.names.local_addresses", fails)
    assert host_addresses() == ["127.0.0.1", "::1"]


def test_server_names() -> None:
    """Goal: DNS names and addresses as people write them. Method: some of each."""
    assert server_name("NAS.example.") == x509.DNSName("nas.example")
    assert server_name("*.example.org") == x509.DNSName("*.example.org")
    assert server_name("bücher.example") == x509.DNSName("xn--bcher-kva.example")
    assert str(server_name("[2001:db8::1]").value) == "2001:db8::1"
    for bad in ("", "a b", "-x", "x..y", "a" * 64, "*", "a.*.b", "x/y", ".".join(["abcdefgh"] * 31), "\0"):
        with pytest.raises(TlsError, match="is neither a DNS name nor an IP address"):
            server_name(bad)


def test_alternative_names() -> None:
    """Goal: the names that clients' certificates have. Method: each kind, and what is none."""
    assert alternative_name("DNS:laptop.example") == x509.DNSName("laptop.example")
    assert str(alternative_name("IP:192.0.2.1").value) == "192.0.2.1"
    assert alternative_name("email:eve@example.org") == x509.RFC822Name("eve@example.org")
    assert alternative_name("URI:spiffe://x/y") == x509.UniformResourceIdentifier("spiffe://x/y")
    for bad in ("laptop", "DNS:", "UPN:eve", ":x", "email:bücher@x", ""):
        with pytest.raises(TlsError, match="is not a name: expected DNS:NAME"):
            alternative_name(bad)


def test_common_names() -> None:
    """Goal: never empty, never too long, no control characters. Method: each."""
    assert common_name("x" * 100).rfc4514_string() == "CN=" + "x" * 64
    for bad in ("", "  ", "a\nb"):
        with pytest.raises(TlsError, match="cannot be the name in a certificate"):
            common_name(bad)


def test_distinguished_names() -> None:
    """Goal: the attributes in the certificate's order, which RFC 4514 writes backwards. Method: texts of
    RFC 4514, as Windows shows them, with escapes and numbers.
    """
    wanted = ((COUNTRY, "US"), (ORGANIZATION, "Example, Inc."), (CN, "Example CA"))
    for text in (
        r"CN=Example CA,O=Example\, Inc.,C=US",
        r"CN=Example CA, O=Example\, Inc., C=US",
        rf" {CN}=Example CA , O=Example\, Inc.,C=US",
    ):
        assert attributes(distinguished_name(text)) == wanted
    email = distinguished_name("E=eve@example.org,S=Bavaria")
    assert attributes(email) == (("2.5.4.8", "Bavaria"), ("1.2.840.113549.1.9.1", "eve@example.org"))
    assert distinguished_name(email.rfc4514_string()) == email
    for bad in ("", "Example CA", "CN", "XX=1", "CN=a,", "=x"):
        with pytest.raises(TlsError):
            distinguished_name(bad)
