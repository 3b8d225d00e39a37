"""Which address of a listening server clients should use."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from frevo.config.defaults import host_name
from frevo.transport.interfaces import ANY_IPV4, ANY_IPV6, local_addresses
from frevo.transport.traits import TCP, preference

Address = tuple[str, str, int]  # transport, host, port


def reachable(addresses: Sequence[Address]) -> tuple[str, int]:
    """The host and port for clients: tcp before nbt, a network address before loopback."""
    ordered = sorted(addresses, key=lambda item: (preference(item[0]), ":" in item[1]))
    if not ordered:
        return host_name(), TCP.port
    _, host, port = ordered[0]
    if host in (ANY_IPV4, ANY_IPV6):
        host = _network_address() or host_name()
    return host, port


def _network_address() -> str:
    try:
        local = local_addresses()
    except OSError:
        return ""
    hosts = [item.host for item in local if not is_local(item.host) and not item.host.startswith("fe80")]
    return min(hosts, key=lambda host: ":" in host, default="127.0.0.1")


def is_local(host: str) -> bool:
    """Whether *host* means this machine alone."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def bracketed(host: str) -> str:
    """An IPv6 address in brackets, other hosts as they are."""
    return f"[{host}]" if ":" in host else host
