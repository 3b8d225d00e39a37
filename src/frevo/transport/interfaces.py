"""The addresses of this machine, and those that `interfaces` selects: names, wildcards, addresses, networks.

Read from the kernel with rtnetlink (RTM_GETADDR), the only source that has IPv4 and IPv6 with names and needs no
privileges.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

_RTM_GETADDR, _NLMSG_DONE, _NLMSG_ERROR = 22, 3, 2
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")

_INTERFACES = Path("/sys/class/net")

ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"


class LocalAddress(msgspec.Struct, frozen=True):
    """One address of one interface; link-local IPv6 addresses carry `%interface`."""

    interface: str
    index: int
    host: str


def local_addresses() -> list[LocalAddress]:
    """Every address of this machine, in the kernel's order. Raises OSError if the kernel does not provide them."""
    names = dict(socket.if_nameindex())
    found: list[LocalAddress] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.settimeout(5.0)
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        link.send(_HEADER.pack(16 + len(body), _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + body)
        while True:
            done = False
            for kind, payload in _messages(link.recv(1 << 16)):
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    done = True
                elif address := _address(payload, names):
                    found.append(address)
            if done:
                return found


def speed_of(interface: str) -> int:
    """Bits per second of an interface; 0 when the kernel does not know."""
    try:
        megabits = int(_INTERFACES.joinpath(interface, "speed").read_text())
    except (OSError, ValueError):  # EINVAL for a virtual one
        return 0
    return max(megabits, 0) * 1_000_000


def receive_queues(interface: str) -> int:
    """How many queues an interface sorts what it receives into."""
    try:
        return sum(one.name.startswith("rx-") for one in _INTERFACES.joinpath(interface, "queues").iterdir())
    except OSError:
        return 0


def _messages(data: bytes) -> Iterable[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, offset)
        if size < 16 or offset + size > len(data):
            return
        yield kind, data[offset + 16 : offset + size]
        offset += (size + 3) & ~3


def _address(payload: bytes, names: dict[int, str]) -> LocalAddress | None:
    if len(payload) < 8:
        return None
    family, _, _, _, index = _IFADDRMSG.unpack_from(payload)
    attributes: dict[int, bytes] = {}
    offset = 8
    while offset + 4 <= len(payload):
        size, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if size < 4:
            break
        attributes[kind] = payload[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    length = {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family)
    if raw is None or len(raw) != length:
        return None
    name = names.get(index, str(index))
    address = ipaddress.ip_address(raw)
    zone = f"%{name}" if address.version == 6 and address.is_link_local else ""
    return LocalAddress(name, index, f"{address}{zone}")


def has_ipv6() -> bool:
    """Whether this machine can listen on IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def listen_hosts(interfaces: Sequence[str], *, only: bool) -> list[str]:
    """The addresses to bind: all of the machine's, or with *only* those that *interfaces* names.

    Raises ValueError if *only* leaves none, and OSError if the kernel does not provide its addresses.
    """
    if not only or not interfaces:
        return [ANY_IPV4, ANY_IPV6] if has_ipv6() else [ANY_IPV4]
    local = local_addresses()
    hosts: list[str] = []
    for token in interfaces:
        hosts += [host for host in matching(token, local) if host not in hosts]
    if not hosts:
        raise ValueError(f"no address of this machine matches `interfaces = {' '.join(interfaces)}`")
    return hosts


def matching(token: str, local: Iterable[LocalAddress]) -> list[str]:
    """The hosts that one token of `interfaces` means: an interface name or pattern, an address, a network.

    What follows a semicolon (Samba's `eth0;speed=1000000000,capability=RSS`) describes it and does not matter here.
    """
    token = token.partition(";")[0].strip()
    address, slash, _ = token.partition("/")
    try:
        plain = ipaddress.ip_address(address)
    except ValueError:
        return [item.host for item in local if fnmatch.fnmatchcase(item.interface, token)]
    if not slash:
        return [address]
    try:
        network = ipaddress.ip_network(token, strict=False)
    except ValueError:
        return []
    inside = [item.host for item in local if _is_inside(item.host, network)]
    return [str(plain)] if str(plain) in inside else inside


def _is_inside(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.version == network.version and address in network
