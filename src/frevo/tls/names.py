"""Names for certificates: this host's, and names that people give (with `cryptography`)."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from frevo.tls.errors import TlsError
from frevo.transport.interfaces import local_addresses

#: A DNS name: labels of at most 63 letters, digits, `-` and `_`, the first of which may be a `*`.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL}){{0,30}}\Z")
_DNS_SIZE_MAX = 253
#: Names of attributes that Windows and OpenSSL write, beside those of RFC 4514.
_FURTHER_TYPES = {
    "E": NameOID.EMAIL_ADDRESS,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
}
_BLANKS_AROUND_COMMA = re.compile(r"(?<!\\)\s*,\s*(?=[A-Za-z0-9.]{1,40}\s*=)")
#: The upper bound of commonName (RFC 5280, appendix A.1).
_COMMON_NAME_MAX = 64
#: Hosts with many containers have hundreds of addresses; a certificate must fit into a few datagrams.
ADDRESSES_MAX = 32


def host_names() -> list[str]:
    """What this host is called, best name first: its full name, its short name, both as mDNS has them, localhost.

    Asks no name server: a start must not wait for the network.
    """
    name = socket.gethostname().strip().rstrip(".").lower()
    short = name.partition(".")[0]
    wanted = [name, short, f"{short}.local", "localhost"]
    return [one for one in dict.fromkeys(wanted) if is_dns_name(one)]


def host_addresses() -> list[str]:
    """The addresses of this host that others could connect to, and its loopback ones."""
    found = ["127.0.0.1", "::1"]
    with contextlib.suppress(OSError):
        found += [address.host for address in local_addresses() if "%" not in address.host]
    return list(dict.fromkeys(found))[:ADDRESSES_MAX]


def is_dns_name(text: str) -> bool:
    """Whether *text* may stand in a certificate as a DNS name."""
    return len(text) <= _DNS_SIZE_MAX and _DNS_NAME.match(text) is not None


def server_name(text: str) -> x509.GeneralName:
    """The DNS name or address *text* for a certificate. TlsError if it is neither."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    name = text.rstrip(".").lower()
    if not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("idna").decode()
    if not is_dns_name(name):
        raise TlsError(f"{text!r} is neither a DNS name nor an IP address")
    return x509.DNSName(name)


def alternative_name(text: str) -> x509.GeneralName:
    """The subjectAltName *text*: `DNS:laptop.example`, `IP:192.0.2.1`, `email:eve@example.org`, `URI:...`."""
    kind, colon, value = text.partition(":")
    with contextlib.suppress(ValueError):
        match kind.lower() if colon and value else "":
            case "dns" | "ip":
                return server_name(value)
            case "email":
                return x509.RFC822Name(value)
            case "uri":
                return x509.UniformResourceIdentifier(value)
    raise TlsError(f"{text!r} is not a name: expected DNS:NAME, IP:ADDRESS, email:ADDRESS or URI:TEXT")


def common_name(text: str) -> x509.Name:
    """The name `CN=text`, cut to what a certificate may hold."""
    cut = text.strip()[:_COMMON_NAME_MAX]
    if not cut or not cut.isprintable():
        raise TlsError(f"{text!r} cannot be the name in a certificate")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cut)])


def distinguished_name(text: str) -> x509.Name:
    """The name written as in RFC 4514 (`CN=Example CA,O=Example`), or as Windows shows it."""
    plain = _BLANKS_AROUND_COMMA.sub(",", text.strip())
    if not plain:
        raise TlsError("the name of a certificate is empty: expected CN=... or similar")
    try:
        return x509.Name.from_rfc4514_string(plain, _FURTHER_TYPES)
    except (ValueError, TypeError):
        raise TlsError(
            f"{text!r} is not the name of a certificate: expected CN=Example CA,O=Example or similar"
        ) from None


def attributes(name: x509.Name) -> tuple[tuple[str, str], ...]:
    """((OID, value), ...) of *name*."""
    return tuple((one.oid.dotted_string, str(one.value)) for one in name)


def general_names(texts: Iterable[str]) -> list[x509.GeneralName]:
    """*texts* as server names, each once."""
    return list(dict.fromkeys(map(server_name, texts)))
