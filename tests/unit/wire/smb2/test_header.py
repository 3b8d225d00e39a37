"""Header details and the splitting of compounds."""

from __future__ import annotations

import pytest

from frevo.errors import WireError
from frevo.wire.smb2 import Command, EchoRequest, Header, HeaderFlags, split_compound


def element(next_command: int, body: bytes = EchoRequest().pack()) -> bytes:
    return Header(command=Command.ECHO, next_command=next_command).pack() + body


def test_channel_sequence_is_the_low_half_of_status() -> None:
    """Setting ChannelSequence leaves the rest of the status field alone: set and look."""
    header = Header(status=0xABCD0001)
    header.channel_sequence = 0x1234
    assert (header.status, header.channel_sequence) == (0xABCD1234, 0x1234)


def test_unknown_flags_and_commands_survive() -> None:
    """Bits without a name are not an error at this layer: round trip of all ones."""
    header = Header(command=0xFFFF, flags=0xFFFFFFFF, async_id=0xFFFFFFFFFFFFFFFF)
    assert Header.parse(header.pack()) == header
    assert HeaderFlags(0xFFFFFFFF).value == 0xFFFFFFFF


@pytest.mark.parametrize("start", [b"\xffSMB", b"\xfdSMB", b"SMB\xfe"])
def test_other_protocols_are_refused(start: bytes) -> None:
    """Only 0xFE 'SMB' is a header: replace the protocol id."""
    with pytest.raises(WireError):
        Header.parse(start + Header().pack()[4:])


def test_split_single() -> None:
    """A message without NextCommand is one element, whatever its length: split one."""
    assert [bytes(v) for v in split_compound(element(0, b"abc"))] == [element(0, b"abc")]


def test_split_compound() -> None:
    """Elements reach to the next header, the last to the end, without copying: split three."""
    first, second, third = element(72, bytes(8)), element(80, bytes(16)), element(0, b"12345")
    message = bytearray(first + second + third)
    views = split_compound(message)
    assert [bytes(v) for v in views] == [first, second, third]
    message[-1] = 0x39
    assert bytes(views[2])[-1:] == b"9"


@pytest.mark.parametrize(
    "next_command",
    [1, 4, 63, 56, 70, 72 + 4, 0xFFFFFFF8, 0x80000000, 136, 144],
    ids=lambda n: f"next={n:#x}",
)
def test_bad_next_command(next_command: int) -> None:
    """Unaligned, too short, at or behind the end: each is a WireError."""
    with pytest.raises(WireError):
        split_compound(element(next_command, bytes(8)) + element(0)[:64])


def test_short_last_element() -> None:
    """A last element shorter than a header is refused: cut it."""
    with pytest.raises(WireError):
        split_compound(element(72, bytes(8)) + element(0)[:63])
    with pytest.raises(WireError):
        split_compound(b"")
