"""Negotiate contexts, the form without 0x0311, and the SMB1 negotiate."""

from __future__ import annotations

from typing import Any

import pytest

from frevo.errors import WireError
from frevo.wire import smb2

HEADER = smb2.Header().pack()

TYPED = [
    smb2.PreauthIntegrityCapabilities([1], bytes(32)),
    smb2.EncryptionCapabilities([1, 2, 3, 4]),
    smb2.CompressionCapabilities([1, 5], 1),
    smb2.NetnameNegotiateContextId("server.example"),
    smb2.TransportCapabilitiesContext(1),
    smb2.RDMATransformCapabilities([1, 2]),
    smb2.SigningCapabilities([2, 1, 0]),
]


@pytest.mark.parametrize("typed", TYPED, ids=lambda t: type(t).__name__)
def test_typed_contexts(typed: Any) -> None:
    """Every context type: round trip through a request, and WireError or a parse when its data is cut."""
    request = smb2.NegotiateRequest([0x0311], contexts=[typed.context(), smb2.NegotiateContext(99, b"x")])
    parsed = smb2.NegotiateRequest.parse(HEADER + request.pack())
    assert [smb2.typed_context(c) for c in parsed.contexts] == [typed, smb2.NegotiateContext(99, b"x")]
    data = typed.pack()
    for length in range(len(data)):
        if isinstance(typed, smb2.NetnameNegotiateContextId) and length % 2 == 0:
            continue
        with pytest.raises(WireError):
            type(typed).parse(data[:length])


def test_contexts_only_with_311() -> None:
    """Without 0x0311 the same 8 bytes are ClientStartTime: round trip of a time."""
    request = smb2.NegotiateRequest([0x0202, 0x0302], client_start_time=0x0123456789ABCDEF)
    assert smb2.NegotiateRequest.parse(HEADER + request.pack()) == request


def test_more_contexts_than_there_are() -> None:
    """NegotiateContextCount is checked against the message: count one more than are there."""
    body = bytearray(smb2.NegotiateRequest([0x0311], contexts=[TYPED[1].context()]).pack())
    body[32] = 2
    with pytest.raises(WireError):
        smb2.NegotiateRequest.parse(HEADER + bytes(body))


def test_context_offset_may_not_point_back() -> None:
    """An offset into the dialects would let one byte mean two things: refused."""
    body = bytearray(smb2.NegotiateRequest([0x0311], contexts=[TYPED[1].context()]).pack())
    body[28:32] = (64).to_bytes(4, "little")
    with pytest.raises(WireError):
        smb2.NegotiateRequest.parse(HEADER + bytes(body))


def test_smb1_refuses_other_commands() -> None:
    """Only a NEGOTIATE request is accepted of SMB1: other command, response flag, missing null."""
    good = smb2.SMB1NegotiateRequest(["SMB 2.002"]).pack()
    assert smb2.SMB1NegotiateRequest.parse(good).dialects == [smb2.SMB_2_002]
    for bad in (good[:4] + b"\x73" + good[5:], good[:9] + b"\x98" + good[10:], good[:-1] + b"x"):
        with pytest.raises(WireError):
            smb2.SMB1NegotiateRequest.parse(bad)
