"""Data that RDMA carries, between frevo's client and server in processes of their own: what arrives, how it is
protected, and what is carried in messages instead."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from peers.target import PASSWORD

from frevo import connect
from frevo.client.share.share import Share
from frevo.transport.smbdirect import Provider, SmbDirectSettings
from integration.live import until
from integration.test_smbdirect_serve import Served, served

pytestmark = pytest.mark.once("processes, and both providers of its own")

#: By protection, what `connect` takes; the server demands neither.
PROTECTIONS: dict[str, dict[str, bool]] = {
    "plain": {"signing": False},
    "signed": {"signing": True},
    "encrypted": {"encryption": True},
}
SIZE = (5 << 20) + 4321


@contextmanager
def server_with(tmp_path: Path, provider: Provider, *lines: str) -> Iterator[Served]:
    with served(tmp_path, provider, "server signing = auto", *lines) as found:
        yield found


def connected(server: Served, provider: Provider, **options: Any) -> Any:
    settings = SmbDirectSettings(directory=str(server.config.parent / "run"))
    return connect(
        server.url(), password=PASSWORD, smb_direct=settings, smbdirect_provider=provider, reconnect=0, **options
    )


def carried(server: Served) -> tuple[int, int]:
    """Bytes that the server has sent and received by RDMA."""
    statistics = json.loads(server.status("--json"))["frevo"]["statistics"]
    return statistics["rdma_bytes_sent"], statistics["rdma_bytes_received"]


def has_carried(server: Served, sent: float, received: float) -> bool:
    """Whether it is at least that; what status says is up to a second old."""
    found = carried(server)
    return found[0] >= sent and found[1] >= received


async def write_and_read(share: Share, path: str, data: bytes, offsets: Sequence[tuple[int, int]]) -> None:
    """Writes all of a file, and compares all of it and parts of it."""
    await share.write_bytes(path, data)
    assert await share.read_bytes(path) == data
    async with share.open(path) as file:
        for offset, size in offsets:
            buffer = bytearray(size)
            await file.seek(offset)
            assert await file.readinto(buffer) == min(size, len(data) - offset)
            assert buffer[: len(data) - offset] == data[offset : offset + size]


@pytest.mark.parametrize("fast", ["yes", "no"])
@pytest.mark.parametrize("provider", ["emulated", "iwarp"])
async def test_whatever_protects_it(
    tmp_path: Path, provider: Provider, fast: Literal["yes", "no"]
) -> None:
    """By the fast path and by the control plane, plain, signed and encrypted: the same bytes, and nearly all of them by
    RDMA. Parts that are not aligned, and beyond the end of the file."""
    data = random.Random(1).randbytes(SIZE)
    parts = [(1, 1 << 20), (4095, (2 << 20) + 1), (SIZE - 300_000, 400_000)]
    with server_with(tmp_path, provider, f"frevo:fast path = {fast}") as server:
        sent = received = 0
        for name, options in PROTECTIONS.items():
            async with connected(server, provider, **options) as share:
                await write_and_read(share, name, data, parts)
            assert (tmp_path / "data" / name).read_bytes() == data
            until(partial(has_carried, server, sent + SIZE, received + SIZE * 0.9))
            sent, received = carried(server)


@pytest.mark.parametrize(
    ("protection", "lines", "options"),
    [
        ("plain", (), {"rdma_threshold": 0}),
        ("signed", ("frevo:rdma transforms = encryption",), {}),
        ("encrypted", (), {"rdma_transforms": "signing"}),
        ("signed", (), {"rdma_transforms": "none"}),
        ("signed", (), {"maximum": "SMB3_02"}),  # no dialect with transforms
    ],
)
async def test_what_goes_in_messages(
    tmp_path: Path, protection: str, lines: tuple[str, ...], options: dict[str, Any]
) -> None:
    """Not a byte by RDMA where that is off, or would protect data less than their request."""
    data = random.Random(2).randbytes(SIZE)
    with server_with(tmp_path, "emulated", *lines) as server:
        async with connected(server, "emulated", **PROTECTIONS[protection], **options) as share:
            await write_and_read(share, "file", data, [(3, 2 << 20)])
        assert carried(server) == (0, 0)


async def test_old_dialects(tmp_path: Path) -> None:
    """3.0 has no remote invalidation, 3.0.2 has; neither has transforms ([MS-SMB2] 2.2.19)."""
    data = random.Random(3).randbytes(SIZE)
    with server_with(tmp_path, "iwarp") as server:
        for dialect in ("SMB3_00", "SMB3_02"):
            async with connected(server, "iwarp", signing=False, maximum=dialect) as share:
                await write_and_read(share, dialect, data, [(1, 100_000)])
        until(partial(has_carried, server, 10 << 20, 10 << 20))


@pytest.mark.parametrize("provider", ["emulated", "iwarp"])
async def test_a_client_that_is_killed(tmp_path: Path, provider: Provider) -> None:
    """A client dies while its data are fetched: what is in the file is what it has sent, and others go on."""
    data = random.Random(4).randbytes(1 << 20)
    with server_with(tmp_path, provider) as server:
        source = tmp_path / "source"
        source.write_bytes(data * 256)
        command = [sys.executable, "-m", "frevo", "put", str(source), server.url("/put"), "-s", str(server.config)]
        with subprocess.Popen(command, env={**os.environ, "FREVO_PASSWORD": PASSWORD}) as process:
            target = tmp_path / "data"
            deadline = time.monotonic() + 30
            while not any(one.stat().st_size > 8 << 20 for one in target.glob("*") if one.name != "hello.bin"):
                assert process.poll() is None and time.monotonic() < deadline, "it was over too soon"
            process.kill()
        until(lambda: not json.loads(server.status("--json"))["sessions"])
        [found] = [one for one in target.glob("*") if one.name != "hello.bin"]
        written, expected = found.read_bytes(), source.read_bytes()
        pieces = [written[at : at + (1 << 20)] for at in range(0, len(written), 1 << 20)]
        assert all(one in (data[: len(one)], bytes(len(one))) for one in pieces), "not what was sent"
        assert len(written) <= len(expected)
        async with connected(server, provider, signing=False) as share:
            await write_and_read(share, "other", data, [(1, 1000)])
