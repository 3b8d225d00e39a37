"""The table of transports: what it says, and that nothing else knows a transport by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import frevo
from frevo.proto.dialect import BY_REVISION
from frevo.transport import traits
from frevo.transport.address import TransportAddress, transport_at
from frevo.transport.traits import CONFIGURABLE, NBT, QUIC, TCP, TRANSPORTS, IPProtocol, either, preference

SOURCE = Path(frevo.__file__).parent


def names_in(text: str) -> list[tuple[int, str]]:
    """The lines of *text* with a string that is a transport's name."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TRANSPORTS
    ]


def test_no_other_module_knows_a_transport_by_name() -> None:
    """What differs between transports is asked of the table: no other module has one of their names as a string."""
    own = Path(traits.__file__)
    found = [
        f"{path.relative_to(SOURCE)}:{line} {name!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != own
        for line, name in names_in(path.read_text())
    ]
    assert found == []
    assert {name for _, name in names_in(own.read_text())} == set(TRANSPORTS)  # the search does find them


@pytest.mark.parametrize(
    ("name", "protocol", "port", "message_max", "multi_credit", "oldest"),
    [
        ("tcp", "tcp", 445, 0xFF_FFFF, True, "SMB2_02"),
        ("nbt", "tcp", 139, 0x1_FFFF, False, "SMB2_02"),
        ("quic", "udp", 443, 0xFF_FFFF, True, "SMB3_11"),
        ("smbdirect", "tcp", 5445, 0x10_0000, True, "SMB3_00"),
    ],
)
def test_what_clients_and_servers_agree_on(
    name: str, protocol: str, port: int, message_max: int, multi_credit: bool, oldest: str
) -> None:
    """Port, protocol, longest message, credits and dialects of each transport with ports ([MS-SMB2] 2.1, 3.3.5.4)."""
    one = TRANSPORTS[name]
    assert (one.name, one.protocol, one.port) == (name, protocol, port)
    assert (one.message_max, one.multi_credit) == (message_max, multi_credit)
    assert (BY_REVISION[one.oldest].name, BY_REVISION[one.newest].name) == (oldest, "SMB3_11")
    assert one.scheme == ("smb+rdma" if name == "smbdirect" else f"smb+{name}")
    assert str(TransportAddress(name, port)) == name


def test_transports_without_ports_cannot_be_configured() -> None:
    """A configuration and a URL can name those with ports only; each of these has another port."""
    assert CONFIGURABLE == ("tcp", "nbt", "quic", "smbdirect")
    assert {one.scheme for one in TRANSPORTS.values() if one.name not in CONFIGURABLE} == {""}
    assert len({TRANSPORTS[name].port for name in CONFIGURABLE}) == len(CONFIGURABLE)
    assert all(one.protocol is None for one in TRANSPORTS.values() if not one.port)


def test_bare_ports() -> None:
    """139 alone means nbt; every other number, 443 too, the transport that the caller would use anyway."""
    assert transport_at(139) == transport_at(139, QUIC.name) == TransportAddress(NBT.name, 139)
    assert transport_at(443) == TransportAddress(TCP.name, 443)
    assert transport_at(4433, QUIC.name) == TransportAddress(QUIC.name, 4433)


def test_order_and_words() -> None:
    """tcp is preferred to nbt; lists for messages read like a sentence."""
    assert sorted(CONFIGURABLE, key=preference)[0] == "tcp"
    assert either(["tcp"]) == "tcp"
    assert either(["tcp", "nbt", "quic"]) == "tcp, nbt or quic"
    assert IPProtocol.UDP is QUIC.protocol
