"""Samba's protocol test suite: every test does what smbtorture-expectations.txt says."""

from __future__ import annotations

import pytest
from peers import smbtorture
from peers.target import Target

EXPECTATIONS = smbtorture.read_expectations()
SUITES = sorted({smbtorture.suite_of(expectation.name) for expectation in EXPECTATIONS})

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("suite", SUITES)
def test_suite(server: Target, suite: str) -> None:
    """Run the suite against the default server; better than listed fails as well as worse."""
    expected = [e for e in EXPECTATIONS if smbtorture.suite_of(e.name) == suite]
    outcomes, text = smbtorture.run_expected(server, suite, expected)
    lines = smbtorture.differences(outcomes, expected)
    assert not lines, "\n".join([*lines, "--- smbtorture's own output ends with", text[-3000:]])
