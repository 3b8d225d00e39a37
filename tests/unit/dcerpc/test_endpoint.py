"""PipeEndpoint: binding, message reads, fragments and hostile input."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frevo.dcerpc import PipeEndpoint, RpcContext, open_pipe, pdu
from frevo.dcerpc.endpoint import UNREAD_MAX_BYTES
from frevo.dcerpc.srvsvc import SRVSVC

FEATURES = pdu.Syntax(UUID("6cb71c2c-9812-4540-0300-000000000000"), 1)
#: NetrServerGetInfo with a null server name at level 100.
GET_INFO = struct.pack("<II", 0, 100)


def bind(*transfers: pdu.Syntax, abstract: pdu.Syntax = SRVSVC.syntax, fragment: int = 4280) -> bytes:
    contexts = tuple(pdu.PresentationContext(i, abstract, (t,)) for i, t in enumerate(transfers))
    body = pdu.Bind(fragment, fragment, 0, contexts).pack()
    return pdu.Packet(pdu.PacketType.BIND, pdu.WHOLE, 1, body).pack()


def transact(endpoint: PipeEndpoint, data: bytes, most: int) -> tuple[bytes, bool]:
    """Writes, then reads, as FSCTL_PIPE_TRANSCEIVE does ([MS-FSCC] 2.3.47); true when there is more to read."""
    endpoint.write(data)
    return endpoint.read(most), endpoint.partial


def opened(context: RpcContext, fragment: int = 4280) -> PipeEndpoint:
    endpoint = open_pipe("srvsvc", context)
    assert endpoint is not None
    answer, more = transact(endpoint, bind(pdu.NDR32, fragment=fragment), 4096)
    assert (answer[2], more) == (pdu.PacketType.BIND_ACK, False)
    return endpoint


@pytest.mark.parametrize("name", ["srvsvc", "SRVSVC", "\\srvsvc", "PIPE\\wkssvc", "\\pipe\\WksSvc"])
def test_names_of_pipes(context: RpcContext, name: str) -> None:
    """Any case, with and without the prefixes that clients use."""
    assert open_pipe(name, context) is not None


@pytest.mark.parametrize("name", ["", "\\", "netlogon", "srvsvc2", "share\\srvsvc"])
def test_no_such_pipe(context: RpcContext, name: str) -> None:
    """None for every other name."""
    assert open_pipe(name, context) is None


def test_bind_answers_each_context(context: RpcContext) -> None:
    """NDR32, NDR64 and feature negotiation, as Windows offers them: only the first is accepted."""
    endpoint = open_pipe("srvsvc", context)
    assert endpoint is not None
    answer, _ = transact(endpoint, bind(pdu.NDR32, pdu.NDR64, FEATURES), 4096)
    body = answer[16:]
    address_length = struct.unpack_from("<H", body, 8)[0]
    assert body[10 : 10 + address_length] == b"\\PIPE\\srvsvc\0"
    results = body[-4 - 72 :]
    assert results[0] == 3
    codes = [struct.unpack_from("<HH", results, 4 + 24 * i) for i in range(3)]
    assert codes == [(0, 0), (2, 2), (2, 2)]
    assert results[8:28] == pdu.NDR32.pack()


def test_bind_to_another_interface(context: RpcContext) -> None:
    """The wkssvc interface on the srvsvc pipe is refused for its abstract syntax; a call then faults."""
    endpoint = open_pipe("srvsvc", context)
    assert endpoint is not None
    other = pdu.Syntax(UUID("6bffd098-a112-3610-9833-46c3f87e345a"), 1)
    answer, _ = transact(endpoint, bind(pdu.NDR32, abstract=other), 4096)
    assert struct.unpack_from("<HH", answer, len(answer) - 24) == (2, 1)
    fault, _ = transact(endpoint, pdu.Request(0, 21, GET_INFO).pack(2), 4096)
    assert (fault[2], struct.unpack_from("<I", fault, 24)[0]) == (3, pdu.FaultStatus.CONTEXT_MISMATCH)


def test_big_endian_bind_is_refused(context: RpcContext) -> None:
    """A BIND in another data representation gets BIND_NAK, not silence."""
    endpoint = open_pipe("srvsvc", context)
    assert endpoint is not None
    message = bytearray(bind(pdu.NDR32))
    message[4] = 0
    answer, _ = transact(endpoint, bytes(message), 4096)
    assert answer[2] == pdu.PacketType.BIND_NAK


def test_read_in_pieces(context: RpcContext) -> None:
    """A message larger than the buffer comes in parts; `partial` is true until its last byte."""
    whole, _ = transact(opened(context), pdu.Request(0, 21, GET_INFO).pack(2), 4096)
    endpoint = opened(context)
    part, more = transact(endpoint, pdu.Request(0, 21, GET_INFO).pack(2), 10)
    assert more
    assert endpoint.available_bytes == len(whole) - 10
    parts = [part]
    while endpoint.readable:
        parts.append(endpoint.read(10))
        assert endpoint.partial == (sum(map(len, parts)) < len(whole))
    assert b"".join(parts) == whole
    assert endpoint.read(10) == b""


def test_request_fragments_are_joined(context: RpcContext) -> None:
    """A call in two fragments is run once, with the answer of the same call in one."""
    endpoint = opened(context)
    whole, _ = transact(opened(context), pdu.Request(0, 21, GET_INFO).pack(2), 4096)
    endpoint.write(pdu.Request(0, 21, GET_INFO[:4]).pack(2, pdu.PacketFlags.FIRST_FRAGMENT))
    assert not endpoint.readable
    answer, _ = transact(
        endpoint, pdu.Request(0, 21, GET_INFO[4:]).pack(2, pdu.PacketFlags.LAST_FRAGMENT), 4096
    )
    assert answer == whole


def test_response_fragments_respect_the_client(context: RpcContext) -> None:
    """A client that takes 1432 bytes gets no larger PDU; FIRST and LAST are set at the ends only."""
    stub = bytes(range(256)) * 20
    fragments = list(pdu.response_fragments(7, 0, stub, 1432))
    assert max(map(len, fragments)) <= 1432
    assert b"".join(fragment[24:] for fragment in fragments) == stub
    assert [fragment[3] for fragment in fragments] == [1, *[0] * (len(fragments) - 2), 2]
    assert opened(context, 1432).broken is False


def test_bad_stub_faults(context: RpcContext) -> None:
    """Stub data that ends too soon is a fault; the pipe keeps working."""
    endpoint = opened(context)
    fault, _ = transact(endpoint, pdu.Request(0, 21, b"\0").pack(2), 4096)
    assert struct.unpack_from("<I", fault, 24)[0] == pdu.FaultStatus.BAD_STUB_DATA
    answer, _ = transact(endpoint, pdu.Request(0, 21, GET_INFO).pack(3), 4096)
    assert answer[2] == pdu.PacketType.RESPONSE


def test_garbage_breaks_the_pipe(context: RpcContext) -> None:
    """Bytes that are not a PDU: nothing to read, `broken` tells the server."""
    endpoint = opened(context)
    assert transact(endpoint, b"\xff" * 64 + bytes(70000), 4096) == (b"", False)
    assert endpoint.broken


def test_endless_call_is_cut(context: RpcContext) -> None:
    """Fragments without end break the pipe before they fill the memory."""
    endpoint = opened(context)
    fragment = pdu.Request(0, 21, bytes(4000)).pack(2, 0)
    endpoint.write(pdu.Request(0, 21, b"").pack(2, pdu.PacketFlags.FIRST_FRAGMENT))
    for _ in range(300):
        endpoint.write(fragment)
    assert endpoint.broken


def test_unread_answers_are_bounded(context: RpcContext) -> None:
    """A client that only writes breaks its pipe: no call runs while unread responses fill the limit."""
    endpoint = opened(context)
    bad = pdu.Request(0, 99, b"").pack(2) * 1000
    for _ in range(400):
        endpoint.write(bad)
    assert endpoint.broken
    assert UNREAD_MAX_BYTES <= endpoint.available_bytes <= UNREAD_MAX_BYTES + 4280


@settings(max_examples=300, deadline=None)
@given(stub=st.binary(max_size=120), operation=st.sampled_from(sorted(SRVSVC.operations)))
def test_any_stub_is_answered(stub: bytes, operation: int) -> None:
    """Hostile stub data for every operation: always a response or a fault, never an exception."""
    endpoint = opened(RpcContext("FREVO"))
    answer, _ = transact(endpoint, pdu.Request(0, operation, stub).pack(2), 1 << 16)
    assert answer[2] in (pdu.PacketType.RESPONSE, pdu.PacketType.FAULT)


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=200), head=st.sampled_from([b"", b"\5\0\0\3\x10\0\0\0", b"\5\0\x0b\3\x10\0\0\0"])
)
def test_any_bytes_are_survived(data: bytes, head: bytes) -> None:
    """Hostile bytes on a fresh pipe never raise."""
    endpoint = open_pipe("srvsvc", RpcContext("FREVO"))
    assert endpoint is not None
    endpoint.write(head + data)
    endpoint.read(100)
