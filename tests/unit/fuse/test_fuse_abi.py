"""The kernel's messages: the sizes of linux/fuse.h, and fields at their offsets."""

from __future__ import annotations

import struct

from frevo.fuse import abi


def test_sizes() -> None:
    """Each structure is as long as the kernel's."""
    attributes = abi.attributes(7, 8, 9, (1, 2, 3), 0o100644, 1, 2, 3)
    assert len(attributes) == 88
    assert len(abi.entry(5, 1.5, attributes)) == abi.ENTRY_SIZE == 128
    assert len(abi.attr_out(1.0, attributes)) == 104
    assert (len(abi.open_out(1)), len(abi.write_out(1)), len(abi.statfs(1, 2, 3, 4096, 255))) == (16, 8, 80)
    assert len(abi.init_out(36, 1, 2, 3)) == 64
    assert (abi.HEADER.size, abi.READ.size, abi.RELEASE.size, abi.COPY_FILE_RANGE.size) == (40, 40, 24, 56)
    assert (
        len(abi.invalidate_attributes(1)) == struct.unpack_from("=I", abi.invalidate_attributes(1))[0] == 40
    )


def test_setattr() -> None:
    """Times before 1970 and their nanoseconds; the fields behind them."""
    body = struct.pack("=II6Q8I", 0x31, 0, 4, 5, 6, (1 << 64) - 2, 3, 0, 500, 7, 0, 0o644, 0, 1000, 1001, 0)
    known = abi.parse_setattr(body)
    assert (known.valid, known.fh, known.size, known.mode) == (0x31, 4, 5, 0o644)
    assert (known.atime_ns, known.mtime_ns) == (-2 * 10**9 + 500, 3 * 10**9 + 7)
    assert (known.uid, known.gid) == (1000, 1001)


def test_times_before_1970_and_names() -> None:
    """A negative time keeps its sign; an entry of a directory is padded to eight bytes."""
    packed = abi.attributes(1, 0, 0, (-1, 0, 0), 0, 1, 0, 0)
    assert struct.unpack_from("=q", packed, 24)[0] == -1
    assert struct.unpack_from("=I", packed, 48)[0] == 999_999_999
    line = abi.directory_entry(3, 4, 8, b"name")
    assert len(line) == 32 and line[24:28] == b"name"


def test_forgets() -> None:
    """BATCH_FORGET with its count; bytes behind it are ignored."""
    body = struct.pack("=II", 2, 0) + struct.pack("=4Q", 1, 2, 3, 4) + b"rest"
    assert abi.parse_forgets(body) == [(1, 2), (3, 4)]
