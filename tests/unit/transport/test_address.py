"""Tests of frevo.transport.address and frevo.transport.interfaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.transport.address import TransportAddress, parse_transport, parse_transports
from frevo.transport.interfaces import ANY_IPV4, LocalAddress, listen_hosts, local_addresses, matching


def shown(text: str) -> str:
    """The transports of *text*, as text."""
    return " ".join(map(str, parse_transports(text)[0]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp, nbt", "tcp nbt"),
        ("445 139", "tcp nbt"),
        ("139", "nbt"),
        ("tcp:139", "tcp:139"),
        ("4450", "tcp:4450"),
        ("nbt:1139;tcp:1445", "nbt:1139 tcp:1445"),
        ("+quic", "tcp nbt quic"),
        ("+quic:4433 -nbt", "tcp quic:4433"),
        ("+8445", "tcp nbt tcp:8445"),
        ("quic tcp", "quic tcp"),
        ("+smbdirect", "tcp nbt smbdirect"),
        ("smbdirect:5445 smbdirect:445", "smbdirect smbdirect:445"),
        ("65535 1", "tcp:65535 tcp:1"),
    ],
)
def test_tokens(text: str, expected: str) -> None:
    """Goal: the grammar of `server smb transports`. Method: Samba's rules, one text each."""
    assert shown(text) == expected
    assert parse_transports(text)[1] == []


@pytest.mark.parametrize(
    "text",
    ["", " , ", "TCP", "quic:", "8000:x", "tcp:0", "tcp:65536", "0", "70000", "tcp:445:1", "rdma", "tcp +nbt",
     "+", "-", "-tcp -nbt", "tcp:\u0664", "tcp:+1", "123456"],
)  # fmt: skip
def test_one_bad_token_fails_all(text: str) -> None:
    """Goal: a wrong token is a ValueError with a sentence. Method: one text each, beside a good token too."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_transports(text)


def test_duplicates_and_more_than_ten_are_dropped_with_a_word() -> None:
    """Goal: both get a warning and the rest is used. Method: twelve ports and a duplicate."""
    addresses, warnings = parse_transports("445 tcp " + " ".join(str(8000 + n) for n in range(11)))
    assert len(addresses) == 10
    assert len(warnings) == 3
    assert parse_transports("+tcp")[1] == ["duplicate transport 'tcp' ignored"]
    assert "nothing removed" in parse_transports("-quic")[1][0]


@given(st.builds(TransportAddress, st.sampled_from(["tcp", "nbt", "quic", "smbdirect"]), st.integers(1, 65535)))
def test_text_round_trip(address: TransportAddress) -> None:
    """Goal: the text of a transport gives it back. Method: hypothesis addresses."""
    assert parse_transport(str(address)) == address


@given(st.text(max_size=30))
def test_no_text_breaks_the_grammar(text: str) -> None:
    """Goal: bad input is a ValueError. Method: hypothesis texts."""
    try:
        addresses, _ = parse_transports(text)
    except ValueError:
        return
    assert 1 <= len(addresses) <= 10


LOCAL = [
    LocalAddress("lo", 1, "127.0.0.1"),
    LocalAddress("lo", 1, "::1"),
    LocalAddress("eth0", 2, "192.0.2.7"),
    LocalAddress("eth0", 2, "fe80::1%eth0"),
    LocalAddress("eth1", 3, "198.51.100.9"),
]


@pytest.mark.parametrize(
    ("token", "hosts"),
    [
        ("lo", ["127.0.0.1", "::1"]),
        ("eth*", ["192.0.2.7", "fe80::1%eth0", "198.51.100.9"]),
        ("eth?", ["192.0.2.7", "fe80::1%eth0", "198.51.100.9"]),
        ("192.0.2.0/24", ["192.0.2.7"]),
        ("192.0.2.7/24", ["192.0.2.7"]),
        ("192.0.2.7/255.255.255.0", ["192.0.2.7"]),
        ("203.0.113.0/24", []),
        ("fe80::/10", ["fe80::1%eth0"]),
        ("203.0.113.5", ["203.0.113.5"]),
        ("wlan0", []),
        ("192.0.2.7/99", []),
    ],
)
def test_interfaces_tokens(token: str, hosts: list[str]) -> None:
    """Goal: names, patterns, addresses and networks of `interfaces`. Method: a made-up machine."""
    assert matching(token, LOCAL) == hosts


def test_this_machine_has_loopback() -> None:
    """Goal: the kernel's addresses are read. Method: every machine has 127.0.0.1."""
    assert "127.0.0.1" in [item.host for item in local_addresses()]
    assert listen_hosts(["lo", "127.0.0.1"], only=True)[0] == "127.0.0.1"
    assert listen_hosts(["lo"], only=False)[0] == ANY_IPV4
    with pytest.raises(ValueError, match="no address"):
        listen_hosts(["no-such-interface"], only=True)
