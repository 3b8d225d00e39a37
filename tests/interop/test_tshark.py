"""Wireshark's dissectors read what the server sends: nothing malformed, nothing missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers.capture import capture
from peers.smbclient import smbclient, smbclient_list
from peers.target import Target
from peers.trees import random_file

pytestmark = pytest.mark.interop

#: Malformed packets, and what a dissector calls an error.
WRONG = "_ws.malformed || ((nbss || smb2 || dcerpc) && _ws.expert.severity == error)"
#: tshark 4.0 takes the negHints of every server's NegTokenInit2 ([MS-SPNG] 2.2.1) for a broken OCTET STRING.
TSHARKS_OWN = "BER Error: OctetString expected but class:UNIVERSAL(0) Constructed tag:16 was unexpected"
#: On a port other than 445 tshark reads lengths of 17 bits, so no message may be longer.
FILE_SIZE = 100_000
COMMANDS = """
    mkdir trace; cd trace; put file; ls; ls f*; allinfo file; setmode file +h; get file copy;
    rename file other; mkdir sub; du; volume; fsinfo full; ls no-such-name; rmdir sub;
    del other; cd ..; rmdir trace
"""


def use_everything(target: Target, work: Path, dialect: str, port: int) -> None:
    """Most commands that smbclient has, once."""
    random_file(work / "file", FILE_SIZE)
    smbclient(target, " ".join(COMMANDS.split()), dialect=dialect, port=port, cwd=work)
    smbclient_list(target, "-m", dialect).ok()
    smbclient(target, "ls", user="user1%wrong", port=port)


@pytest.mark.parametrize(
    ("dialect", "transport"), [("SMB2_02", "tcp"), ("SMB3_02", "nbt"), ("SMB3_11", "tcp")]
)
def test_nothing_malformed(server: Target, tmp_path: Path, dialect: str, transport: str) -> None:
    """Capture a session that does a bit of everything; no dissector complains, and every response was captured."""
    port = server.port if transport == "tcp" else server.nbt_port
    with capture(tmp_path / "lo.pcapng", port) as packets:
        use_everything(server, tmp_path, dialect, port)
    wrong = packets.frames(WRONG, "frame.number", "_ws.col.Info", "_ws.expert.message")
    assert [line for line in wrong if line.rpartition("\t")[2] != TSHARKS_OWN] == []
    answers = packets.frames("smb2.flags.response == 1", "smb2.cmd")
    seen = {int(command) for line in answers for command in line.split(",")}
    assert {0, 1, 3, 4, 5, 6, 8, 9, 14, 16, 17} <= seen
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()
