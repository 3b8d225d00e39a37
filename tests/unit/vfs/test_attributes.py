"""vfs/attributes.py and vfs/security.py: Samba's xattr formats."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from frevo.vfs.attributes import DosAttributes, pack_dosattrib, unpack_dosattrib
from frevo.vfs.security import unwrap, wrap

DESCRIPTOR = bytes.fromhex("0100048014000000000000000000000000000000") + bytes.fromhex(
    "010100000000000512000000"
)


def test_reads_samba_values() -> None:
    """Values written by Samba, from version 1's text to version 5."""
    v3 = base64.b64decode("MHgyMAAAAwADAAAAEQAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGbN5gdOzwEAAAAAAAAAAA==")
    v3 = v3[:40] + (0x01CF4E07E6CD6600).to_bytes(8, "little") + bytes(8)
    assert unpack_dosattrib(v3) == DosAttributes(0x20, 0x01CF4E07E6CD6600)
    v4 = base64.b64decode("AAAEAAQAAABRAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    assert unpack_dosattrib(v4) == DosAttributes(0x20, 0)
    assert unpack_dosattrib(b"0x22") == DosAttributes(0x22, 0)
    assert unpack_dosattrib(b"0x3\0") == DosAttributes(0x3, 0)


@given(st.sampled_from([0, 1, 2, 0x20, 0x21, 0x27, 0x220]), st.integers(0, 2**63 - 1))
def test_dosattrib_round_trip(attributes: int, created: int) -> None:
    """What is written reads back the same (hypothesis)."""
    value = pack_dosattrib(DosAttributes(attributes, created))
    assert len(value) == 24
    assert unpack_dosattrib(value) == DosAttributes(attributes, created)


@given(st.binary(max_size=80) | st.binary(max_size=70).map(lambda b: b"0x20\0\0" + b))
def test_damaged_dosattrib(value: bytes) -> None:
    """No bytes make the reader fail (hypothesis)."""
    found = unpack_dosattrib(value)
    assert found is None or 0 <= found.creation_time < 2**63


def test_security_versions() -> None:
    """The descriptor is found behind every version's header; ours is version 1."""
    assert unwrap(wrap(DESCRIPTOR)) == DESCRIPTOR
    pointer = b"\x00\x00\x02\x00"
    v2 = b"\2\0\2\0" + pointer * 2 + bytes(16) + DESCRIPTOR
    v3 = b"\3\0\3\0" + pointer * 2 + b"\1\0" + bytes(64) + bytes(2) + DESCRIPTOR
    v4 = b"\4\0\4\0" + pointer * 2 + b"\1\0" + bytes(64) + b"posix_acl\0" + bytes(8) + bytes(64) + DESCRIPTOR
    assert [unwrap(blob) for blob in (v2, v3, v4)] == [DESCRIPTOR] * 3


@given(st.binary(max_size=200))
def test_damaged_security(blob: bytes) -> None:
    """No bytes make the reader fail (hypothesis)."""
    unwrap(blob)
