"""Output of `frevo serve` about QUIC: how each client connects, and how it knows that the server is the right one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from frevo.cli.connect_address import Address, bracketed, is_local, reachable
from frevo.transport.traits import QUIC, TRANSPORTS

if TYPE_CHECKING:
    from frevo.status.snapshot import CertificateStatus


def over_quic(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with TLS."""
    return [one for one in addresses if TRANSPORTS[one[0]].secure]


def how_to_connect_over_quic(
    share: str,
    user: str,
    addresses: Sequence[Address],
    certificates: Sequence[CertificateStatus],
    place: str = "",
) -> list[str]:
    """A paragraph for each client; nothing if the server does not listen on QUIC. *place*: the options of `frevo tls`
    for this server."""
    listening = over_quic(addresses)
    if not listening or not certificates:
        return []
    certificate = certificates[0]
    host, port = reachable(listening)
    name = _name(certificate) or host
    where = f"{bracketed(host)}{_port(port)}"
    url = shlex.quote(f"smb+quic://{quote(user)}@{where}/{quote(share)}")
    unc = f"\\\\{name}\\{share}"
    quoted = f'"{unc}"' if " " in unc else unc
    other_port = f" /QUICPORT:{port}" if port != QUIC.port else ""
    return [
        f"  QUIC        frevo ls {url} --tls-fingerprint {certificate.sha256}",
        f"  Windows 11  net use Z: {quoted} /TRANSPORT:QUIC{other_port} /user:{user}",
        f"              (it must trust the CA: import the file that `frevo tls export-ca ca.pem{place}` writes)",
    ]


def _name(certificate: CertificateStatus) -> str:
    """The name by which other machines can call the server, as Windows accepts no address; empty if there is none."""
    names = [name.removeprefix("DNS:") for name in certificate.names if name.startswith("DNS:")]
    return next((name for name in names if not is_local(name) and "*" not in name), "")


def _port(port: int) -> str:
    return "" if port == QUIC.port else f":{port}"
