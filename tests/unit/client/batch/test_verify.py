"""Comparing a copy with its source by SHA-256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, cast

import pytest
from descriptors import descriptors
from unit.client.local_share import LocalShare

from frevo.client.batch.verify import Mismatch, compare, compare_remote, local_digest, remote_digest


@pytest.fixture
def share(tmp_path: Path) -> LocalShare:
    return LocalShare(tmp_path / "share")


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, 9 << 20])
async def test_digests(share: LocalShare, tmp_path: Path, size: int) -> None:
    """Both ends give hashlib's digest of the whole file, however many buffers it takes."""
    data = os.urandom(size)
    share.at("a").write_bytes(data)
    (tmp_path / "a").write_bytes(data)
    wanted = hashlib.sha256(data).hexdigest()
    assert await remote_digest(cast(Any, share), "a") == wanted == await local_digest(str(tmp_path / "a"))
    assert await compare(cast(Any, share), "a", str(tmp_path / "a")) == wanted


async def test_a_difference(share: LocalShare, tmp_path: Path) -> None:
    """One bit, or one byte more, is a Mismatch that names both digests."""
    (tmp_path / "a").write_bytes(b"data")
    for other in (b"dat`", b"data!", b""):
        share.at("a").write_bytes(other)
        with pytest.raises(Mismatch, match="transfer it again") as caught:
            await compare(cast(Any, share), "a", str(tmp_path / "a"))
        assert hashlib.sha256(other).hexdigest() in str(caught.value)
        assert hashlib.sha256(b"data").hexdigest() in str(caught.value)


async def test_two_shares(share: LocalShare, tmp_path: Path) -> None:
    """A copy between servers is compared as one between a server and this machine."""
    other = LocalShare(tmp_path / "other")
    share.at("a").write_bytes(b"data")
    other.at("b").write_bytes(b"data")
    assert await compare_remote(cast(Any, share), "a", cast(Any, other), "b")
    other.at("b").write_bytes(b"else")
    with pytest.raises(Mismatch):
        await compare_remote(cast(Any, share), "a", cast(Any, other), "b")


async def test_a_file_that_is_missing(share: LocalShare, tmp_path: Path) -> None:
    """The error of reading is raised as it is, whichever end it is of, and nothing stays open."""
    share.at("a").write_bytes(b"data")
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        await compare(cast(Any, share), "a", str(tmp_path / "missing"))
    (tmp_path / "a").write_bytes(b"data")
    with pytest.raises(FileNotFoundError):
        await compare(cast(Any, share), "missing", str(tmp_path / "a"))
    assert not descriptors() - before
