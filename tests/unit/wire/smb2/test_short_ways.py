"""The shortcuts for clients that send and receive many messages agree with the dataclasses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frevo.errors import WireError
from frevo.wire.smb2 import (
    Header,
    HeaderFlags,
    ReadRequest,
    ReadResponse,
    pack_read_request,
    read_data,
    response_fields,
)

_U32 = st.integers(0, 0xFFFFFFFF)
_U64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)


@given(_U64, _U64, _U64, _U32)
def test_read_request(persistent: int, volatile: int, offset: int, length: int) -> None:
    """Any FileId, offset and length: the same bytes both ways."""
    file_id = (persistent, volatile)
    assert pack_read_request(file_id, offset, length) == ReadRequest(file_id, offset, length).pack()


@given(_U32, st.integers(0, 0xFFFF), _U64, _U64)
def test_response_fields(status: int, credits: int, message_id: int, async_id: int) -> None:
    """Any header: the fields that `Header.parse` finds."""
    flags = int(HeaderFlags.ASYNC_COMMAND)
    header = Header(
        command=8, status=status, credits=credits, flags=flags, message_id=message_id, async_id=async_id
    )
    fields = response_fields(header.pack())
    assert (fields.status, fields.credits, fields.flags) == (status, credits, flags)
    assert (fields.command, fields.message_id, fields.async_id) == (8, message_id, async_id)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 255), st.integers(0, 160))
def test_read_data(tail: bytes, start: int, length: int) -> None:
    """Any offset and length: what `ReadResponse.parse` finds, or its error."""
    message = Header().pack() + struct.pack("<HBBIII", 17, start, 0, length, 0, 0) + tail
    try:
        expected = bytes(ReadResponse.parse(message).data)
    except WireError:
        with pytest.raises(WireError):
            read_data(message)
    else:
        assert read_data(message) == expected


@pytest.mark.parametrize("message", [b"", b"\xfeSMB", Header().pack()[:-1], b"\xffSMB" + Header().pack()[4:]])
def test_no_header(message: bytes) -> None:
    """Short messages and those of other protocols are WireErrors."""
    with pytest.raises(WireError):
        response_fields(message)
