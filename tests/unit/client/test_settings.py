"""What a client offers on each transport."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from frevo.client import Location, Options, connect
from frevo.client.errors import RemoteError
from frevo.client.server import Settings
from frevo.proto.dialect import SMB_2_0_2, SMB_3_0_2, SMB_3_1_1
from frevo.tls.client import ClientTrust
from frevo.transport.address import TransportAddress


def test_quic_is_3_1_1_alone() -> None:
    """[MS-SMB2] 2.1; other transports keep the range."""
    assert Settings().policy("quic").minimum is SMB_3_1_1
    assert Settings().policy("quic").multi_credit
    assert Settings().policy("tcp").minimum is SMB_2_0_2


@pytest.mark.parametrize("transport", ["quic", "tcp", "nbt"])
@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("over_quic", [False, True])
def test_who_is_relied_on(transport: str, verified: bool, over_quic: bool) -> None:
    """Only a verified server, over QUIC, and only when the user has said so."""
    policy = Settings(encryption_over_quic=over_quic).policy(transport, verified=verified)
    assert policy.transport_security == (transport == "quic" and verified and not over_quic)


def test_transports_for_the_dialects() -> None:
    """Without 3.1.1 QUIC is not tried; when nothing is left, the error says why."""
    tcp, quic = TransportAddress("tcp", 445), TransportAddress("quic", 443)
    assert Settings(transports=[quic, tcp]).usable_transports() == [quic, tcp]
    assert Settings(transports=[quic, tcp], maximum=SMB_3_0_2).usable_transports() == [tcp]
    with pytest.raises(RemoteError, match="quic carries no dialect from SMB2_02 to SMB3_02"):
        Settings(transports=[quic], maximum=SMB_3_0_2).usable_transports()


@pytest.mark.parametrize(
    ("url", "transports", "expected"),
    [
        ("smb+quic://nas/s", "tcp nbt", "quic"),
        ("smb+quic://nas:4433/s", "tcp", "quic:4433"),
        ("smb+tcp://nas/s", "quic", "tcp"),
        ("smb+nbt://nas:1139/s", "tcp", "nbt:1139"),
        ("smb+tcp://nas:139/s", "tcp", "tcp:139"),
        ("smb://nas/s", "quic tcp", "quic tcp"),
        ("smb://nas:4433/s", "quic tcp", "quic:4433"),
        ("smb://nas:139/s", "quic tcp", "nbt"),
        ("smb://nas:443/s", "tcp nbt", "tcp:443"),
    ],
)
def test_transports_of_a_url(url: str, transports: str, expected: str) -> None:
    """The scheme decides; without one a port is for the first transport, 139 for nbt."""
    found = Options(transports=transports).transports_to(Location.parse(url))
    assert " ".join(map(str, found)) == expected


def test_trust_by_options() -> None:
    """A CA takes the place of all others; a name, a fingerprint and an own certificate go beside what is there."""
    place = Location.parse("smb+quic://nas/s")
    assert Options().settings(place).tls == ClientTrust()
    known = ClientTrust(ca_files=("/a",), ca_directories=("/d",), crl_files=("/c",), verify="ca_and_name")
    found = Options(tls=known, tls_ca=Path("/ca.pem"), tls_cert="/me.pem").settings(place).tls
    assert found == replace(
        known, ca_files=("/ca.pem",), ca_directories=(), system_cas=False, certificate="/me.pem", key=""
    )
    named = Options(tls_server_name="other", tls_fingerprint="ab" * 32).settings(place)
    assert named.server_name == "other" and named.tls == ClientTrust(fingerprint="ab" * 32)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("smb://nas/s", {"tls_ca": "/ca.pem"}, "no effect on tcp, nbt"),
        ("smb+tcp://nas/s", {"tls_server_name": "x"}, "no effect on tcp"),
        ("smb+quic://nas/s", {"tls_fingerprint": "ab" * 20}, "SHA-1"),
        ("smb+quic://nas/s", {"tls_key": "/key.pem"}, "a key needs its certificate"),
        ("smb+quic://nas/s", {"tls_fingerprint": ""}, "tls_fingerprint is empty"),
        ("smb+quic://nas/s", {"tls_ca": ""}, "tls_ca is empty"),
    ],
)
def test_trust_that_means_nothing(url: str, options: dict[str, str], message: str) -> None:
    """ValueError at once, before anything connects."""
    with pytest.raises(ValueError, match=message):
        connect(url, **options)
