"""Which addresses clients are told, and over which of them they can use SMB Direct."""

from __future__ import annotations

import ipaddress

import pytest

from frevo.server.core import network_interfaces
from frevo.server.core.network_interfaces import ADDRESSES_MAX, Listening, interfaces_for
from frevo.transport.interfaces import LocalAddress
from frevo.wire.smb2.ioctl_structures import InterfaceCapability

LOCAL = (
    LocalAddress("lo", 1, "127.0.0.1"),
    LocalAddress("lo", 1, "::1"),
    LocalAddress("eth0", 2, "192.168.1.5"),
    LocalAddress("eth0", 2, "2001:db8::5"),
    LocalAddress("eth0", 2, "fe80::1%eth0"),
    LocalAddress("ib0", 3, "10.0.0.7"),
)
ANYWHERE = ("0.0.0.0", "::")


@pytest.fixture(autouse=True)
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """ib0 is fast and sorts what it receives; the kernel knows nothing of the others."""
    monkeypatch.setattr(network_interfaces, "speed_of", lambda name: 100_000_000_000 if name == "ib0" else 0)
    monkeypatch.setattr(network_interfaces, "receive_queues", lambda name: 8 if name == "ib0" else 1)


def told(came_to: str, listening: Listening) -> dict[str, int]:
    """Address to capabilities."""
    return {str(one.address): one.capability for one in interfaces_for(came_to, listening, LOCAL)}


def test_everything_is_told_but_loopback_and_link_local() -> None:
    """iWARP needs no card, so that every interface has RDMA; index, speed and queues are the interface's."""
    found = interfaces_for("192.168.1.5", Listening(ANYWHERE, ANYWHERE), LOCAL)
    rdma, rss = InterfaceCapability.RDMA_CAPABLE, InterfaceCapability.RSS_CAPABLE
    assert [(one.if_index, str(one.address), one.capability, one.link_speed) for one in found] == [
        (2, "192.168.1.5", rdma, 10**9),
        (2, "2001:db8::5", rdma, 10**9),
        (3, "10.0.0.7", rdma | rss, 10**11),
    ]


def test_clients_of_this_machine() -> None:
    """Who has come by the loopback interface is told its addresses only, whatever else there is."""
    assert told("127.0.0.1", Listening(ANYWHERE, ANYWHERE)).keys() == {"127.0.0.1", "::1"}
    assert told("localhost", Listening(ANYWHERE, ANYWHERE)).keys() == {"192.168.1.5", "2001:db8::5", "10.0.0.7"}


def test_only_where_smb_direct_is_served() -> None:
    """Cards are on some interfaces; a server may listen on some addresses, and for SMB Direct on fewer."""
    cards = Listening(ANYWHERE, ANYWHERE, {"ib0"})
    assert told("10.0.0.7", cards) == {"192.168.1.5": 0, "2001:db8::5": 0, "10.0.0.7": 3}
    ipv4 = Listening(ANYWHERE, ("0.0.0.0",))
    assert told("10.0.0.7", ipv4) == {"192.168.1.5": 2, "2001:db8::5": 0, "10.0.0.7": 3}
    one = Listening(("192.168.1.5",), ("192.168.1.5",))
    assert told("192.168.1.5", one) == {"192.168.1.5": 2}


def test_a_machine_with_many_addresses() -> None:
    """The list is bounded."""
    many = [LocalAddress("eth0", 2, str(ipaddress.IPv4Address(0x0A000001 + n))) for n in range(ADDRESSES_MAX + 9)]
    assert len(interfaces_for("10.0.0.1", Listening(ANYWHERE, ANYWHERE), many)) == ADDRESSES_MAX
