"""The network interfaces that a client may connect to ([MS-SMB2] 3.3.5.15.11)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

import msgspec

from frevo.transport.interfaces import ANY_IPV4, ANY_IPV6, LocalAddress, receive_queues, speed_of
from frevo.wire.smb2.ioctl_structures import InterfaceCapability, NetworkInterfaceInfo

#: More addresses than this are not told: they would fill a response.
ADDRESSES_MAX = 256
#: Bits per second of an interface whose speed the kernel does not know, as virtual ones.
_UNKNOWN_SPEED = 1_000_000_000


class Listening(msgspec.Struct, frozen=True):
    """The addresses that a server listens on, and those of them for SMB Direct with other machines."""

    hosts: Collection[str] = ()
    rdma_hosts: Collection[str] = ()
    #: The names of the interfaces that have a card; None: no card is needed.
    rdma_interfaces: Collection[str] | None = None

    def serves(self, address: LocalAddress) -> bool:
        """Whether a client can connect to this address."""
        return _matches(address, self.hosts)

    def serves_rdma(self, address: LocalAddress) -> bool:
        """Whether it can connect by SMB Direct."""
        has_card = self.rdma_interfaces is None or address.interface in self.rdma_interfaces
        return has_card and _matches(address, self.rdma_hosts)


def _matches(address: LocalAddress, hosts: Collection[str]) -> bool:
    anywhere = ANY_IPV6 if ":" in address.host else ANY_IPV4
    return anywhere in hosts or address.host in hosts


def interfaces_for(
    came_to: str, listening: Listening, local: Iterable[LocalAddress]
) -> list[NetworkInterfaceInfo]:
    """What a client is told that has connected to the address *came_to*; *local*: the addresses of this machine.

    Loopback addresses are told to those only that have come to one; link-local ones to nobody, as a client does not
    know by which of its own interfaces they can be reached.
    """
    inside = _is_loopback(came_to)
    found = []
    for one in local:
        address = ipaddress.ip_address(one.host.partition("%")[0])
        if not one.index or address.is_link_local or address.is_loopback is not inside or not listening.serves(one):
            continue
        capability = InterfaceCapability.RSS_CAPABLE if receive_queues(one.interface) > 1 else 0
        if listening.serves_rdma(one):
            capability |= InterfaceCapability.RDMA_CAPABLE
        speed = speed_of(one.interface) or _UNKNOWN_SPEED
        found.append(NetworkInterfaceInfo(one.index, int(capability), speed, address))
    return found[:ADDRESSES_MAX]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
