"""Difficult names, and every dialect over NetBIOS, against smbd and frevo."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers.target import Target

import frevo
from frevo.client import RemoteError, Share
from frevo.client.connect import Connecting

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]

Connect = Callable[..., Connecting[Share]]

#: Names of every kind that the share's file system holds; 255 bytes of UTF-8 are its limit.
NAMES = (
    "x" * 255,
    "é" * 127,
    "😀" * 63,
    "👩‍👩‍👧‍👦 family",
    "e\u0301 and \u00e9",  # look the same: two letters and one
    "名前.txt",
    "‮right to left",
    "percent%20, hash #, plus +, and & 'quote'",
    "~$lock", "-rf", "$dollar", "[brackets]", "{a,b}", "semi;colon", "tilde~1", "a=b", "@at",
)  # fmt: skip
#: What no SMB name may have ([MS-FSCC] 2.1.5.2), one each.
RESERVED = ('a"b', "a<b", "a>b", "a|b", "a?b", "a*b", "tab\tname")


@pytest.fixture
def connect(target: Target, folder: Path) -> Connect:
    def with_options(port: int = 0, **options: Any) -> Connecting[Share]:
        url = f"{target.scheme}://{target.host}:{port or target.port}/share/{folder.name}"
        return frevo.connect(url, user=target.user, password=target.password, **options)

    return with_options


async def test_names_of_every_kind(connect: Connect, folder: Path) -> None:
    """Made here, they are the same on disk, character for character; listed, globbed, read, renamed and removed by
    them."""
    async with connect() as share:
        for name in NAMES:
            await share.write_bytes(name, name.encode())
        assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
        async for entry in share.scandir():
            assert await share.read_bytes(entry.path) == entry.name.encode()
        assert sorted(await share.listdir()) == sorted(NAMES)
        for name in NAMES:
            await share.rename(name, "other")
            await share.rename("other", name)
            await share.makedirs("folder/" + name)
        assert sorted(await share.listdir("folder")) == sorted(NAMES)
        await share.rmtree("folder")
        for name in NAMES:
            await share.remove(name)
    assert list(folder.iterdir()) == []


async def test_names_that_cannot_be(connect: Connect, folder: Path) -> None:
    """Reserved letters, a part that is too long and 255 UTF-16 units that are too many bytes: an OSError, no traceback.

    255 units of emoji are a legal name on the wire; a file system of 255 bytes refuses them.
    """
    async with connect() as share:
        for name in (*RESERVED, "x" * 256, "😀" * 127 + "x"):
            with pytest.raises(OSError) as caught:
                await share.write_bytes(name, b"x")
            assert isinstance(caught.value, RemoteError) and caught.value.ntstatus, name
        with pytest.raises(OSError, match="longer than SMB"):
            await share.write_bytes("y" * 40_000, b"x")
        for name in ("nul\0byte", "../out", "a/../../out"):
            with pytest.raises(ValueError):
                await share.write_bytes(name, b"x")
        assert await share.listdir() == []


async def test_trailing_dots_and_spaces(connect: Connect, folder: Path) -> None:
    """Names with a dot or a space at the end, left by Linux programs, are listed, and every listed name can be
    read."""
    for name in ("dot.", "dots...", "space ", "plain"):
        (folder / name).write_bytes(b"same")
    async with connect() as share:
        listed = await share.listdir()
        assert len(listed) == 4 and "plain" in listed
        for name in listed:
            assert await share.read_bytes(name) == b"same"


async def test_case(connect: Connect, folder: Path) -> None:
    """Case is kept and does not matter; two files on disk that differ only in case are both listed."""
    async with connect() as share:
        await share.write_bytes("MiXed", b"1")
        assert await share.read_bytes("mIXED") == b"1" and await share.listdir() == ["MiXed"]
        with pytest.raises(FileExistsError):
            await share.open("mixed", "xb")
        await share.rename("MIXED", "mixeD")
        assert await share.listdir() == ["mixeD"]
        for name in ("Twin", "tWIN"):
            (folder / name).write_bytes(name.encode())
        assert sorted(await share.listdir()) == ["Twin", "mixeD", "tWIN"]
        assert await share.read_bytes("Twin") == b"Twin"


@pytest.mark.tcp_only("NetBIOS is TCP")
@pytest.mark.parametrize("target", ["unsigned", "samba"], indirect=True)
@pytest.mark.parametrize("dialect", ["SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"])
async def test_every_dialect_over_netbios(
    connect: Connect, target: Target, folder: Path, dialect: str
) -> None:
    """Each dialect over the NetBIOS session service plain, signed and encrypted: data both ways, a listing."""
    data = os.urandom(300_001)
    for signing, encrypted in ((False, False), (True, False), (True, True)):
        if encrypted and dialect < "SMB3":
            continue
        async with connect(
            target.nbt_port, transports="nbt", maximum=dialect, signing=signing, encryption=encrypted
        ) as share:
            negotiated = share.tree.connection.negotiated
            assert negotiated is not None and negotiated.dialect.name == dialect
            assert share.tree.session.protection.encrypt == encrypted
            await share.write_bytes("data", data)
            assert (folder / "data").read_bytes() == data == await share.read_bytes("data")
            assert await share.listdir() == ["data"]
