"""frevo.auth.ntlm_initiator: it ends well or with a WireError, whatever the server says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.auth.spnego_tokens import der, parse_init, parse_resp
from frevo.errors import WireError

CREDENTIALS = NTLMCredentials("user", "password", "DOMAIN")


def challenge(info: bytes, length: int | None = None, offset: int = 48) -> bytes:
    """An NTLM CHALLENGE in SPNEGO with *info* as its TargetInfo ([MS-NLMP] 2.2.1.2)."""
    size = len(info) if length is None else length
    fields = struct.pack("<HHI", size, size, offset)
    message = (
        b"NTLMSSP\0"
        + struct.pack("<I", 2)
        + bytes(8)
        + struct.pack("<I8s8x", 0xE2888215, b"12345678")
        + fields
        + info
    )
    return der(0xA1, der(0x30, der(0xA0, der(0x0A, b"\1")) + der(0xA2, der(0x04, message))))


def test_two_messages() -> None:
    """NEGOTIATE offers NTLM alone; AUTHENTICATE answers a challenge and makes a key of 16 bytes."""
    initiator = NTLMInitiator(CREDENTIALS)
    first = parse_init(initiator.step(None))
    assert first.token is not None and first.token.startswith(b"NTLMSSP\0\1")
    assert not initiator.complete
    info = struct.pack("<HH", 2, 12) + "DOMAIN".encode("utf-16-le") + bytes(4)
    answer = parse_resp(initiator.step(challenge(info))).token
    assert answer is not None and answer.startswith(b"NTLMSSP\0\3") and "user".encode("utf-16-le") in answer
    assert initiator.complete and len(initiator.session_key) == 16


@pytest.mark.parametrize(
    "token", [b"", b"\xa1\x00", challenge(b"", 100, 48), challenge(b"\1\0\xff\xff", None, 48)]
)
def test_malformed_challenges(token: bytes) -> None:
    """A challenge that is cut off or whose pairs do not end is a WireError."""
    with pytest.raises(WireError):
        NTLMInitiator(CREDENTIALS).step(token)


@given(st.binary(max_size=200), st.integers(0, 65535), st.integers(0, 0xFFFFFFFF))
def test_any_challenge(info: bytes, length: int, offset: int) -> None:
    """Any target info at any place: an answer or a WireError, nothing else."""
    try:
        assert NTLMInitiator(CREDENTIALS).step(challenge(info, length, offset))
    except WireError:
        pass
