"""frevo.bench.compare: ratios of two reports, and what makes them hard to compare."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from frevo.bench.compare import NotAReport, compare, table, warnings
from frevo.bench.report import report
from frevo.bench.runner import Outcome


@pytest.fixture
def pair(outcome: Outcome) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report, and another with twice the speed."""
    one = report(outcome)
    other = copy.deepcopy(one)
    other["operations_per_second"] *= 2
    other["latency_us"]["p99"] /= 4
    return one, other


def test_ratios(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Every figure of the second as a multiple of the first's."""
    found = compare(*pair)
    assert found["ratios"]["operations_per_second"] == 2
    assert found["ratios"]["latency_us.p99"] == pytest.approx(0.25, abs=0.001)
    assert found["ratios"]["bytes_per_second"] == found["ratios"]["cpu.server_us_per_op"] == 1
    assert not found["differences"] and not warnings(found)
    assert "2.00" in table(found, ["a.json", "b.json"])


def test_unknown_figures_have_no_ratio(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """A figure that is unknown or 0 in one report has no ratio."""
    one, other = pair
    other["cpu"]["server_us_per_op"] = None
    one["errors"] = 0
    found = compare(one, other)
    assert found["ratios"]["cpu.server_us_per_op"] is None and found["ratios"]["errors"] is None
    assert table(found, ["a.json", "b.json"])


def test_differing_settings_are_reported(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Other settings, another machine, another protection: a warning each."""
    one, other = pair
    other["settings"]["qdepth"] = 1
    other["server"]["signing"] = ""
    found = compare(one, other)
    assert found["differences"] == {"settings.qdepth": [8, 1], "server.signing": ["AES_GMAC", ""]}
    assert "settings.qdepth differs: 8 and 1" in warnings(found)


@pytest.mark.parametrize(
    "wrong", [{}, {"latency_us": 3}, {"operations_per_second": "many"}, {"operations_per_second": True}]
)
def test_json_that_is_not_a_report(pair: tuple[dict[str, Any], dict[str, Any]], wrong: dict[str, Any]) -> None:
    """Any other file is reported as not being a report."""
    with pytest.raises(NotAReport):
        compare(pair[0], {**pair[0], **wrong} if wrong else wrong)
