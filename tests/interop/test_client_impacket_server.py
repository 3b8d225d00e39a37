"""The client against impacket's server, a small one in Python with its own peculiarities: what it supports works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import programs

import frevo
from frevo.client import LogonError, RemoteError

pytestmark = [pytest.mark.interop, pytest.mark.tcp_only("the server knows no 3.1.1")]

_SERVER = """
import sys
from impacket.smbserver import SimpleSMBServer
from impacket.ntlm import compute_lmhash, compute_nthash
server = SimpleSMBServer("127.0.0.1", int(sys.argv[1]))
server.addShare("SHARE", sys.argv[2])
server.setSMB2Support(True)
server.addCredential("user1", 0, compute_lmhash("Passw0rd!").hex(), compute_nthash("Passw0rd!").hex())
server.setLogFile(sys.argv[3])
server.start()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of its share and the folder behind it."""
    folder = tmp_path / "shared"
    folder.mkdir()
    with programs.reserved_port() as port, (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _SERVER, str(port), str(folder), str(tmp_path / "log")],
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
        try:
            while not programs.accepts("127.0.0.1", port):
                assert process.poll() is None, (tmp_path / "out").read_text()
                time.sleep(0.05)
            yield f"smb://127.0.0.1:{port}/share", folder
        finally:
            programs.end_group(process)
            process.wait(10)


async def test_what_it_supports(server: tuple[str, Path]) -> None:
    """Files up and down, a listing, renames, removal, folders."""
    url, folder = server
    data = os.urandom(3_000_001)
    async with frevo.connect(url, user="user1", password="Passw0rd!", signing=False) as share:
        await share.write_bytes("data", data)
        assert (folder / "data").read_bytes() == data
        assert await share.read_bytes("data") == data
        await share.mkdir("folder")
        await share.write_small("folder/small", b"small")
        assert await share.read_small("folder/small", 100) == b"small"
        for index in range(300):
            (folder / "folder" / f"file {index}").touch()
        assert len(await share.listdir("folder")) == 301
        assert sorted(await share.listdir()) == ["data", "folder"]
        assert (await share.stat("data")).size == len(data) and (await share.stat("folder")).is_dir()
        await share.rename("data", "renamed")
        await share.remove("renamed")
        await share.rmtree("folder")
        assert list(folder.iterdir()) == []
        with pytest.raises(FileNotFoundError):
            await share.stat("nothing")


async def test_what_it_refuses(server: tuple[str, Path]) -> None:
    """A wrong password, no such share: the usual sentences."""
    url, _ = server
    with pytest.raises((LogonError, RemoteError)):
        await frevo.connect(url, user="user1", password="wrong", signing=False)
    with pytest.raises(OSError):
        await frevo.connect(f"{url}-not", user="user1", password="Passw0rd!", signing=False)
