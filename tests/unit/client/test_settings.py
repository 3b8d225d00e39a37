"""What a client offers on each transport."""

from __future__ import annotations

import pytest

from frevo.client.errors import RemoteError
from frevo.client.server import Settings
from frevo.proto.dialect import SMB_2_0_2, SMB_3_0_2, SMB_3_1_1
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
