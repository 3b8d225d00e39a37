"""What protects SMB inside QUIC, as seen on the wire: every combination of what both sides want.

The way: frevo's client - QUIC - a foreign server - a tap - frevo's client carrier - QUIC - frevo's server.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import transports
from peers.in_process import in_process
from peers.protection_tap import ENCRYPTED, PLAIN, SIGNED, ProtectionTap

import frevo
from frevo.tls.client import ClientTrust

RELYING = {"server smb encryption over quic": "no"}
REQUIRED = {"server smb encrypt": "required"}


def expected(*, wanted: bool, relied: bool, signing: bool) -> str:
    """Encrypted when somebody wants it and QUIC is not enough; else signed or not, as if QUIC were not there."""
    if wanted and not relied:
        return ENCRYPTED
    return SIGNED if signing else PLAIN


@pytest.mark.parametrize("verified", [True, False], ids=["verified", "unverified"])
@pytest.mark.parametrize("signing", [True, False], ids=["signing", "no-signing"])
@pytest.mark.parametrize("wanted", ["server", "client", "nobody"])
@pytest.mark.parametrize("mine", [True, False], ids=["client-relies", "client-does-not"])
@pytest.mark.parametrize("theirs", [True, False], ids=["server-relies", "server-does-not"])
async def test_on_the_wire(
    tmp_path: Path, theirs: bool, mine: bool, wanted: str, signing: bool, verified: bool
) -> None:
    """Goal: encrypted once, by QUIC alone only between two who both rely on it and a client that knows the server.
    Method: write and read; what passes between the two."""
    options = {
        "server signing": "mandatory" if signing else "auto",
        **(RELYING if theirs else {}),
        **(REQUIRED if wanted == "server" else {}),
    }
    with transports.using("quic"):
        async with in_process(tmp_path / "server", options) as server:
            trust = {} if verified else {"tls": ClientTrust(verify="no_check")}
            with (
                server.way_in() as port,
                ProtectionTap("127.0.0.1", port) as tap,
                transports.reaching(tap.port) as place,
            ):
                async with frevo.connect(
                    f"{place}/share",
                    user="user1",
                    signing=signing,
                    encryption=wanted == "client",
                    encryption_over_quic=not mine,
                    **trust,
                ) as share:
                    assert share.tree.connection.verified == verified
                    await share.write_bytes("file", b"data")
                    assert await share.read_bytes("file") == b"data"
    relied = theirs and mine and verified
    kind = expected(wanted=wanted != "nobody", relied=relied, signing=signing)
    assert tap.seen == {("up", kind), ("down", kind)}
