"""DCE/RPC packets: headers, binds, fragments ([C706] 12.6), and packets with wrong lengths."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from frevo.dcerpc.pdu import (
    ACCEPTED,
    FRAGMENT_MAX,
    NDR32,
    NDR64,
    WHOLE,
    Bind,
    BindAck,
    FaultStatus,
    NakReason,
    Packet,
    PacketFlags,
    PacketType,
    PresentationContext,
    RejectReason,
    Request,
    Syntax,
    bind_nak,
    fault,
    fragment_length,
    rejected,
    response_fragments,
)
from frevo.errors import WireError

SRVSVC = Syntax(UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188"), 3)
BIND = Bind(4280, 4280, 0, (PresentationContext(0, SRVSVC, (NDR32, NDR64)), PresentationContext(1, SRVSVC, ())))


def test_a_bind() -> None:
    """[C706] 12.6.4.3: written and read; each truncation is an error."""
    body = BIND.pack()
    assert Bind.parse(body) == BIND
    assert body[16:32] == bytes.fromhex("c84f324b7016d30112785a47bf6ee188")
    for size in range(len(body)):
        with pytest.raises(WireError):
            Bind.parse(body[:size])


def test_the_answer_to_a_bind() -> None:
    """[C706] 12.6.4.4: the results begin at a multiple of four, whatever the length of the address."""
    for address in ("", "\\PIPE\\srvsvc", "1", "12", "123"):
        body = BindAck(4280, 7, address, (ACCEPTED, rejected(RejectReason.NOT_SPECIFIED))).pack()
        length = struct.unpack_from("<HHIH", body)[3]
        assert length == (len(address) + 1 if address else 0)
        start = 10 + length + -(10 + length) % 4
        assert body[start] == 2 and len(body) == start + 4 + 2 * 24
        assert body[start + 4 : start + 8] == bytes(4) and Syntax.parse(body[start + 8 : start + 28]) == NDR32
        assert body[start + 28 : start + 30] == b"\2\0"


def test_a_header() -> None:
    """[C706] 12.6.3.1: what was packed is parsed; an authentication trailer is no part of the body."""
    packet = Packet(PacketType.REQUEST, WHOLE, 42, b"body")
    assert Packet.parse(packet.pack()) == packet
    signed = bytearray(packet.pack() + b"sec_trlr" + b"verifier")
    signed[8:12] = struct.pack("<HH", len(signed), 8)
    assert Packet.parse(bytes(signed)) == Packet(PacketType.REQUEST, WHOLE, 42, b"body", 8)


@pytest.mark.parametrize(
    "change",
    [{0: 4}, {1: 2}, {4: 0x00}, {4: 0x11}, {8: 15}, {8: 21}, {8: 19}, {10: 1}, {10: 0xFF}, {11: 0xFF}],
)
def test_headers_that_lie(change: dict[int, int]) -> None:
    """Another version, big endian, EBCDIC, lengths that do not match the packet."""
    data = bytearray(Packet(PacketType.REQUEST, WHOLE, 1, b"body").pack())
    for at, value in change.items():
        data[at] = value
    with pytest.raises(WireError):
        Packet.parse(bytes(data))


def test_where_a_packet_ends() -> None:
    """Known from 16 bytes on; less than a header is an error."""
    data = Packet(PacketType.REQUEST, WHOLE, 1, bytes(100)).pack()
    assert [fragment_length(data[:size]) for size in (0, 15)] == [None, None]
    assert fragment_length(data[:16]) == fragment_length(bytearray(data)) == 116
    with pytest.raises(WireError):
        fragment_length(data[:8] + b"\x0f\0" + data[10:])


def test_a_request_with_and_without_an_object() -> None:
    """[C706] 12.6.4.9: the stub begins behind the object's UUID; a body that ends before is an error."""
    request = Request(1, 15, b"stub")
    packet = Packet.parse(request.pack(9))
    assert (packet.call_id, Request.parse(packet)) == (9, request)
    with_object = Packet(0, WHOLE | PacketFlags.OBJECT_UUID, 9, packet.body[:8] + bytes(16) + b"stub")
    assert Request.parse(with_object) == request
    for body, flags in ((packet.body[:7], WHOLE), (packet.body[:8] + bytes(15), WHOLE | PacketFlags.OBJECT_UUID)):
        with pytest.raises(WireError):
            Request.parse(Packet(0, flags, 9, body))


@pytest.mark.parametrize("size", [0, 1, 1407, 1408, 1409, 4256, 4257, 10_000, 100_000])
@pytest.mark.parametrize("fragment", [1432, FRAGMENT_MAX])
def test_a_response_in_fragments(size: int, fragment: int) -> None:
    """Goal: [C706] 12.6.4.10: whole, in order, none too large, flags at the ends, parts of multiples of eight. Method:
    put together again."""
    stub = bytes(number % 251 for number in range(size))
    packets = [Packet.parse(one) for one in response_fragments(5, 3, stub, fragment)]
    assert b"".join(packet.body[8:] for packet in packets) == stub
    assert {(packet.type, packet.call_id, packet.body[4]) for packet in packets} == {(PacketType.RESPONSE, 5, 3)}
    assert all(16 + len(packet.body) <= fragment for packet in packets)
    assert all(len(packet.body) % 8 == 0 for packet in packets[:-1])
    expected = [0] * len(packets)
    expected[0] |= PacketFlags.FIRST_FRAGMENT
    expected[-1] |= PacketFlags.LAST_FRAGMENT
    assert [packet.flags for packet in packets] == expected


def test_refusals() -> None:
    """A BIND_NAK names version 5.0 ([C706] 12.6.4.5), a FAULT its status and that nothing was done (12.6.4.7)."""
    nak = Packet.parse(bind_nak(3, NakReason.PROTOCOL_VERSION_NOT_SUPPORTED))
    assert (nak.type, nak.call_id, nak.body[:5]) == (PacketType.BIND_NAK, 3, b"\4\0\1\5\0")
    told = Packet.parse(fault(4, 1, FaultStatus.OPERATION_RANGE_ERROR))
    assert told.flags == WHOLE | PacketFlags.DID_NOT_EXECUTE
    assert struct.unpack_from("<I", told.body, 8)[0] == FaultStatus.OPERATION_RANGE_ERROR
