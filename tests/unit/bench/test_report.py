"""frevo.bench.report: the JSON for programs and the table for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from frevo.bench.processor import Meter
from frevo.bench.report import data_rate, duration, report, size, table
from frevo.bench.runner import Outcome
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally

#: What the report promises, with the types; None beside a type: it may be unknown.
SHAPE: dict[str, Any] = {
    "workload": str,
    "settings": dict,
    "seconds": float,
    "operations": int,
    "bytes": int,
    "operations_per_second": float,
    "bytes_per_second": float,
    "latency_us": {"mean": float, "p50": float, "p99": float, "p999": float, "max": float},
    "cpu": {
        "client_us_per_op": (float, None),
        "server_us_per_op": (float, None),
        "client_s_per_gb": (float, None),
        "server_s_per_gb": (float, None),
    },
    "operations_by_connection": (dict, None),
    "errors": int,
}


def check_shape(found: Any, shape: Any, where: str = "") -> None:
    if isinstance(shape, dict):
        for name, inner in shape.items():
            assert name in found, f"{where}.{name} is missing"
            check_shape(found[name], inner, f"{where}.{name}")
    elif isinstance(shape, tuple):
        assert found is None or isinstance(found, shape[0]), where
    else:
        assert isinstance(found, shape), f"{where}: {found!r}"


def test_the_shape(outcome: Outcome) -> None:
    """Every promised key is there with its type, and everything survives JSON."""
    found = report(outcome)
    check_shape(found, SHAPE)
    assert json.loads(json.dumps(found)) == found


def test_the_figures(outcome: Outcome) -> None:
    """Rates, latencies and processor time follow from the counts."""
    found = report(outcome)
    assert (found["operations"], found["operations_per_second"]) == (1000, 500.0)
    assert found["bytes_per_second"] == 4096 * 500
    assert found["latency_us"]["mean"] == pytest.approx(509.5)
    assert found["latency_us"]["p99"] == pytest.approx(1000, rel=1 / 32)
    assert (found["latency_us"]["min"], found["latency_us"]["max"]) == (10, 1009)
    assert found["cpu"]["client_us_per_op"] == pytest.approx(2)
    assert found["cpu"]["server_s_per_gb"] == pytest.approx(0.01 / 4096000 * 1e9)
    assert (found["errors"], found["statuses"]) == (1, {"STATUS_DISK_FULL": 1})
    assert [point["operations_per_second"] for point in found["series"]] == [700, 300]
    assert sum(count for *_, count in found["histogram_us"]) == 1000


def test_nothing_done() -> None:
    """A run without operations and without a visible server has nulls, and a table."""
    empty = Outcome(Settings("echo", ("smb://nas/",)), ("echo",), (Tally(),), ended="interrupted")
    empty.meter = Meter([])
    found = report(empty)
    check_shape(found, SHAPE)
    assert found["cpu"]["server_us_per_op"] is None and found["cpu"]["client_us_per_op"] is None
    text = table(found)
    assert "ended early" in text and "server's processor time is unknown" in text


def test_the_table(outcome: Outcome) -> None:
    """The table has the same figures, the protection, and the errors."""
    text = table(report(outcome))
    for part in (
        "2 connections x 8 in flight",
        "4 KiB",
        "signed (AES_GMAC)",
        "SMB3_11 over tcp",
        "1,000 operations, 1 errors",
    ):
        assert part in text
    assert "the share is <full>" in text
    assert len({line.index("p99.9") for line in text.splitlines() if "p99.9" in line}) == 1


def test_a_transport_that_encrypts(outcome: Outcome) -> None:
    """Its cipher stands beside its name, whatever SMB's own protection is."""
    found = report(outcome)
    found["server"] |= {"transport": "quic", "transport_cipher": "AES-128-GCM"}
    assert "signed (AES_GMAC), SMB3_11 over quic (AES-128-GCM)" in table(found)


def test_what_carries_smb_direct(outcome: Outcome) -> None:
    """The provider stands beside its name."""
    found = report(outcome)
    found["server"] |= {"transport": "smbdirect", "transport_provider": "iwarp"}
    assert "SMB3_11 over smbdirect (iwarp)" in table(found)


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0.0 µs"), (9.94, "9.9 µs"), (512.3, "512 µs"), (12_345, "12.3 ms"), (2.5e6, "2.5 s")],
)
def test_durations(us: float, text: str) -> None:
    """Microseconds are shown in a suitable unit."""
    assert duration(us) == text


def test_sizes() -> None:
    """Sizes are powers of two, rates powers of ten."""
    assert (size(4096), size(2 << 20), size(1000)) == ("4 KiB", "2 MiB", "1000 bytes")
    assert (data_rate(0), data_rate(1.25e9), data_rate(4.1e6)) == ("-", "1.25 GB/s", "4.1 MB/s")


def test_how_evenly_connections_were_served(outcome: Outcome) -> None:
    """The least, the median and the most of them; nothing where they are not counted."""
    assert report(outcome)["operations_by_connection"] is None
    outcome.by_connection = [400, 90, 500, 10]
    assert report(outcome)["operations_by_connection"] == {"least": 10, "median": 245.0, "most": 500}
