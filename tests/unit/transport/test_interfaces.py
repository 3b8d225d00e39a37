"""Which addresses the words of `interfaces` mean."""

from __future__ import annotations

import pytest

from frevo.transport.interfaces import LocalAddress, matching

LOCAL = (
    LocalAddress("lo", 1, "127.0.0.1"),
    LocalAddress("eth0", 2, "192.168.1.5"),
    LocalAddress("eth0", 2, "fe80::1%eth0"),
    LocalAddress("eth1", 3, "10.0.0.7"),
)


@pytest.mark.parametrize(
    ("token", "hosts"),
    [
        ("eth0", ["192.168.1.5", "fe80::1%eth0"]),
        ("eth0;speed=1000000000,capability=RSS", ["192.168.1.5", "fe80::1%eth0"]),
        ("10.0.0.7;if_index=3", ["10.0.0.7"]),
        ("eth*", ["192.168.1.5", "fe80::1%eth0", "10.0.0.7"]),
        ("192.168.1.0/24", ["192.168.1.5"]),
        ("10.0.0.7/255.0.0.0", ["10.0.0.7"]),
        ("172.16.0.0/12", []),
        ("wlan0", []),
        (";speed=1", []),
    ],
)
def test_words(token: str, hosts: list[str]) -> None:
    """Goal: names, wildcards, addresses, networks, and Samba's options of an interface. Method: each kind."""
    assert matching(token, LOCAL) == hosts
