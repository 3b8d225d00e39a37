"""Wireshark reads what frevo sends over QUIC: with the key log it decrypts every packet, and finds SMB2 inside."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from peers.capture import capture
from peers.frevo_server import FrevoServer
from peers.quic_client import LiveQuic

import frevo
from frevo.wire.erref import NTStatus

pytestmark = pytest.mark.interop

#: tshark 4.0 gives the end of a stream to NBSS as a message, which then lacks its length.
END_OF_STREAM = "quic.stream.fin == 1 && quic.stream.length == 0"
#: Malformed packets, and what a dissector calls an error.
WRONG = f"(_ws.malformed || ((quic || tls || smb2) && _ws.expert.severity == error)) && !({END_OF_STREAM})"
#: tshark 4.0 takes the negHints of every server's NegTokenInit2 ([MS-SPNG] 2.2.1) for a broken OCTET STRING.
TSHARKS_OWN = "BER Error: OctetString expected but class:UNIVERSAL(0) Constructed tag:16 was unexpected"
#: tshark 4.0 does not put messages together that span several packets of QUIC.
FILE_SIZE = 800


async def test_our_client_and_server(
    quic_frevo: FrevoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends ours; the client writes the key log that SSLKEYLOGFILE names, and signs every message."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    data = random.Random(1).randbytes(FILE_SIZE)
    with capture(tmp_path / "lo.pcapng", quic_frevo.quic_port, tmp_path / "keys") as packets:
        async with frevo.connect(
            f"smb+quic://localhost:{quic_frevo.quic_port}/share",
            user=quic_frevo.user,
            password=quic_frevo.password,
            address="127.0.0.1",
            tls_ca=str(quic_frevo.authority),
        ) as share:
            await share.write_bytes("traced", data)
            assert await share.read_bytes("traced") == data
            assert "traced" in await share.listdir()
            await share.remove("traced")
    wrong = packets.frames(WRONG, "frame.number", "_ws.col.Info", "_ws.expert.message")
    assert [line for line in wrong if line.rpartition("\t")[2] != TSHARKS_OWN] == []
    answers = packets.frames("smb2.flags.response == 1", "smb2.cmd")
    seen = {int(command) for line in answers for command in line.split(",")}
    assert {0, 1, 3, 4, 5, 6, 8, 9, 14} <= seen
    assert packets.frames("quic && !quic.decryption_failed && tls.handshake.type == 20")


def test_what_the_handshake_says(quic_frevo: FrevoServer, tmp_path: Path) -> None:
    """ALPN smb, one stream of the client and no others, as tshark reads it; nothing stays encrypted to it."""
    with (
        (tmp_path / "keys").open("w") as keys,
        LiveQuic("aioquic", "127.0.0.1", quic_frevo.quic_port, quic_frevo.authority, key_log=keys) as live,
    ):
        with capture(tmp_path / "lo.pcapng", quic_frevo.quic_port, tmp_path / "keys") as packets:
            client = live.logged_on()
            file_id = client.open("traced-too")
            assert client.write(file_id, 0, bytes(FILE_SIZE)).status == NTStatus.SUCCESS
            assert client.close(file_id).status == NTStatus.SUCCESS
        keys.flush()
        from_server = f"udp.srcport == {quic_frevo.quic_port}"
        fields = (
            "tls.quic.parameter.initial_max_streams_bidi",
            "tls.quic.parameter.initial_max_streams_uni",
            "tls.handshake.extensions_alpn_str",
        )
        (line,) = packets.frames(f"{from_server} && tls.quic.parameter.initial_max_streams_bidi", *fields)
        assert line.split("\t") in (["1", "", "smb"], ["1", "0", "smb"])  # 0 is the default
        # tshark has no keys yet for 1-RTT packets in the server's first datagram.
        assert packets.frames("quic.decryption_failed && !(tls.handshake.type == 2)") == []
        assert packets.frames("smb2.cmd == 9 && smb2.flags.response == 1")
