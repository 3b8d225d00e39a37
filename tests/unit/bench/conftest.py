"""A made-up run: everything that a report consists of, with known numbers."""

from __future__ import annotations

import pytest

from frevo.bench.processor import Meter
from frevo.bench.runner import Outcome, Sample
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally


@pytest.fixture
def outcome() -> Outcome:
    """A read run of two seconds: 1000 operations of 4 KiB, between 10 and 1009 µs, one error."""
    tally = Tally()
    for index in range(1000):
        tally.record((10 + index) * 1000, 4096)
    tally.failed(0xC000007F)
    settings = Settings("read", ("smb://nas/da<ta",), connections=2, qdepth=8, seconds=2.0)
    meter = Meter([])
    meter.client_s, meter.server_s = 0.002, 0.01
    made = Outcome(settings, ("read",), (tally,), 2.0, meter=meter)
    made.samples = [Sample(1.0, 1.0, 700, 700 * 4096), Sample(2.0, 1.0, 300, 300 * 4096)]
    made.server = {"dialect": "SMB3_11", "transport": "tcp", "signing": "AES_GMAC", "cipher": ""}
    made.problem = "an operation failed: the share is <full>"
    return made
