"""Samba's clients over QUIC with every protection of SMB's own inside, as it is seen between the two.

The way: program - TCP - a tap - a relay of the test suite - QUIC by frevo's client carrier - frevo's server.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from peers import smbtorture, transports
from peers.protection_tap import ENCRYPTED, PLAIN, SIGNED, ProtectionTap
from peers.smbclient import smbclient
from peers.target import Serve, Target

from frevo.wire.smb2 import NegotiateContextType

pytestmark = [pytest.mark.interop, pytest.mark.slow]

#: Name to what is seen of requests, the option that makes it so, and the algorithm's number ([MS-SMB2] 2.2.3.1).
PROTECTIONS: dict[str, tuple[str, str, int]] = {
    "plain": (PLAIN, "", 0),
    "HMAC-SHA256": (SIGNED, "client smb3 signing algorithms", 0),
    "AES-128-CMAC": (SIGNED, "client smb3 signing algorithms", 1),
    "AES-128-GMAC": (SIGNED, "client smb3 signing algorithms", 2),
    "AES-128-CCM": (ENCRYPTED, "client smb3 encryption algorithms", 1),
    "AES-128-GCM": (ENCRYPTED, "client smb3 encryption algorithms", 2),
    "AES-256-CCM": (ENCRYPTED, "client smb3 encryption algorithms", 3),
    "AES-256-GCM": (ENCRYPTED, "client smb3 encryption algorithms", 4),
}
_ARGUMENT = {PLAIN: "off", SIGNED: "sign", ENCRYPTED: "encrypt"}
#: Of smbtorture: much data both ways, compounds, messages that wait, cancels.
SUITES = ("smb2.rw", "smb2.read", "smb2.compound", "smb2.lock")
#: What the list of expectations does not say of a protection, over TCP either.
NOT_HERE = {
    SIGNED: {"smb2.compound.interim1"},  # hangs, with Samba's server too, unless it is GMAC
    ENCRYPTED: {
        "smb2.compound.invalid2",  # a foreign session in what came encrypted ends the connection, not so in Samba
        "smb2.lock.cancel-logoff",  # fails with Samba's server too
    },
}


@pytest.fixture
def server(serve: Serve) -> Target:
    """frevo, reached over QUIC, that leaves the choice to its clients."""
    with transports.using("quic"):
        return serve({"server signing": "auto"})


@pytest.mark.parametrize("name", PROTECTIONS)
def test_every_protection(
    server: Target, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: each protection works inside QUIC, and is what is used. Method: 5 MB there and back with smbclient, suites
    of smbtorture; what passes in the middle."""
    kind, option, number = PROTECTIONS[name]
    options = [f"--client-protection={_ARGUMENT[kind]}", *([f"--option={option}={name}"] if option else [])]
    data = random.Random(name).randbytes(5_000_000)
    (tmp_path / "file").write_bytes(data)
    with ProtectionTap(server.host, server.port) as tap:
        commands = ("put file protected", "get protected copy", "del protected")
        smbclient(server, *commands, port=tap.port, cwd=tmp_path, options=options).ok()
        assert (tmp_path / "copy").read_bytes() == data
        assert tap.seen == {("up", kind), ("down", kind)}
        monkeypatch.setattr(server, "port", tap.port)
        tests = [
            one
            for one in smbtorture.read_expectations()
            if smbtorture.suite_of(one.name) in SUITES and one.name not in NOT_HERE.get(kind, ())
        ]
        outcomes, text = smbtorture.run_tests(server, [one.name for one in tests], 90, options)
        lines = smbtorture.differences(outcomes, tests)
        assert not lines, "\n".join([*lines, "--- smbtorture's own output ends with", text[-3000:]])
    context = {
        SIGNED: NegotiateContextType.SIGNING_CAPABILITIES,
        ENCRYPTED: NegotiateContextType.ENCRYPTION_CAPABILITIES,
    }.get(kind)
    assert context is None or tap.algorithms[context] == {number}
