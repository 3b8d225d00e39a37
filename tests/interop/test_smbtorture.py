"""Samba's protocol test suite: every test does what smbtorture-expectations.txt says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from peers import smbtorture, transports
from peers.target import Serve

EXPECTATIONS = smbtorture.read_expectations()
#: Tests that connect with older dialects, too: 3.1.1 alone goes over QUIC.
NEEDS_TCP = {"smb2.getinfo.normalized"}
#: Tests that list with a buffer of 1 MiB, which is more than a response over SMB Direct may have.
LARGE_LISTINGS = {"smb2.compound_find.compound_find_close"}
SUITES = sorted({smbtorture.suite_of(expectation.name) for expectation in EXPECTATIONS})

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.each_transport,
]


@pytest.mark.parametrize("suite", SUITES)
def test_suite(serve: Serve, suite: str) -> None:
    """Runs the suite against a server; better than listed is a failure, just like worse."""
    # As Samba's standalone default. With mandatory signing smbtorture takes the unsigned USER_SESSION_DELETED of a
    # session that is not there (there is no key; [MS-SMB2] 3.3.4.1.1) for ACCESS_DENIED; it wants its own signature
    # back, which is what smbd answers with.
    server = serve({"server signing": "auto"})
    expected = [e for e in EXPECTATIONS if smbtorture.suite_of(e.name) == suite]
    if transports.over_quic():
        expected = [replace(e, result="fail") if e.name in NEEDS_TCP else e for e in expected]
    if transports.over_direct():
        expected = [replace(e, result="fail") if e.name in LARGE_LISTINGS else e for e in expected]
    outcomes, text = smbtorture.run_expected(server, suite, expected)
    lines = smbtorture.differences(outcomes, expected)
    assert not lines, "\n".join([*lines, "--- smbtorture's own output ends with", text[-3000:]])
