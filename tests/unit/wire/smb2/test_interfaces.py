"""The list of network interfaces in QUERY_NETWORK_INTERFACE_INFO."""

from __future__ import annotations

import ipaddress

import pytest

from frevo.errors import WireError
from frevo.wire.smb2 import NetworkInterfaceInfo, pack_network_interfaces, parse_network_interfaces

INTERFACES = [
    NetworkInterfaceInfo(2, 1, 10_000_000_000, ipaddress.IPv4Address("192.0.2.1"), 445),
    NetworkInterfaceInfo(3, 2, 1_000_000_000, ipaddress.IPv6Address("2001:db8::1")),
    NetworkInterfaceInfo(4, 0, 0, None),
]


def test_layout() -> None:
    """152 bytes each, family little-endian, port big-endian: look at the bytes."""
    raw = pack_network_interfaces(INTERFACES)
    assert len(raw) == 3 * 152
    assert raw[24:32] == bytes.fromhex("0200 01bd c0000201")
    assert raw[152 + 24 : 152 + 26] == b"\x17\0"
    assert parse_network_interfaces(raw) == INTERFACES
    assert parse_network_interfaces(b"") == []


def test_hostile() -> None:
    """A Next into the entry itself, behind the end, or a cut entry is a WireError."""
    raw = pack_network_interfaces(INTERFACES)
    for bad in (b"\x08" + raw[1:], b"\xff\xff" + raw[2:], raw[:151], raw[: 152 + 10]):
        with pytest.raises(WireError):
            parse_network_interfaces(bad)
