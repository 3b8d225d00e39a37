"""benchmarks.results, report and html: ratios of pairs, goals, and a page that needs no network."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.html import page
from benchmarks.report import FIGURES, Report, markdown
from benchmarks.results import Result
from benchmarks.rows import ROWS, VARIANTS, Row
from benchmarks.sample import Sample
from benchmarks.tools import Limit
from frevo.config import KEYS


def sample(rate: float, cost_us: float = 10.0, **more: float) -> Sample:
    """A second at *rate* operations."""
    return Sample(rate, 1.0, rate * cost_us / 1e6, rate * 2e-6, **more)


@pytest.fixture
def result() -> Result:
    """Three rounds beside two rivals: one is faster, the other one cheaper."""
    made = Result(Row("ECHO <4x4>", goals={"rate": 2.0, "cost": 0.25}))
    made.samples = {
        "frevo": [sample(300), sample(600), sample(500)],
        "smbd": [sample(100, 100), sample(200, 50), sample(200, 50)],
        "smbd io_uring": [sample(200, 40), sample(200, 80), sample(200, 100)],
    }
    return made


def test_the_better_rival_counts_in_each_figure(result: Result) -> None:
    """The medians of the pairs' ratios: 3 beside smbd, 2.5 beside the faster one; 0.2 beside smbd, 0.125 beside the
    dearer one."""
    rate, cost = result.figures["rate"], result.figures["cost"]
    assert (rate.low, rate.median, rate.high, rate.beside) == (1.5, 2.5, 3.0, "smbd io_uring")
    assert [round(value, 6) for value in (cost.low, cost.median, cost.high)] == [0.1, 0.2, 0.2]
    assert cost.beside == "smbd" and rate.met and cost.met and result.met


def test_a_goal_is_missed(result: Result) -> None:
    """One missed goal is enough; a goal that is reached exactly is met."""
    result.row = Row("ECHO", goals={"rate": 2.5, "cost": 0.19})
    assert (result.figures["rate"].met, result.figures["cost"].met, result.met) == (True, False, False)
    result.row = Row("ECHO")
    assert result.met is None


def test_the_clients_time_counts_where_the_row_says_so(result: Result) -> None:
    """2 us on either side: the ratio is 1 whatever the servers needed."""
    result.row = Row("get", cost_of="client")
    assert result.figures["cost"].median == pytest.approx(1.0)


def test_share_of_the_limit() -> None:
    """The best method counts, not the first, and the rates of the same round are compared."""
    made = Result(Row("READ", unit="GB", goals={"limit": 0.9}, limit=(1, 1, 1)))
    moved = [sample(1, bytes_moved=8.0), sample(1, bytes_moved=9.5)]
    made.samples = {"frevo": moved, "smbd": moved}
    made.limit = {"copy": [Limit(1, 5, 0, 0)] * 2, "splice": [Limit(1, 10, 0, 0)] * 2}
    figure = made.figures["limit"]
    assert (figure.beside, figure.low, figure.high) == ("splice", 0.8, 0.95)
    assert figure.median == pytest.approx(0.875) and figure.met is False


def test_fairness_is_p99_by_p50() -> None:
    """At most the goal."""
    made = Result(Row("many", goals={"fairness": 20.0}))
    made.samples = {"many": [sample(1, p50_us=10, p99_us=150)], "few": [sample(1)]}
    assert (made.figures["fairness"].median, made.met) == (15.0, True)


def test_a_connection_that_waits_for_ever_is_unfair() -> None:
    """It has no latency, so that p99 / p50 does not show it: its operations do."""
    made = Result(Row("many", goals={"fairness": 20.0, "least": 0.25}))
    made.samples = {"many": [sample(1, p50_us=10, p99_us=15, least=0.1)], "few": [sample(1)]}
    assert (made.figures["fairness"].met, made.figures["least"].met, made.met) == (True, False, False)


def test_what_it_costs_the_client_is_shown_where_it_matters(result: Result) -> None:
    """2 us on either side here, whatever the servers need; the server's time stays the row's cost."""
    assert "client" not in result.figures and "client's CPU ratio" not in markdown(Report({}, {}, [result]))
    result.row = Row("ECHO", both_ends=True)
    assert result.figures["client"].median == pytest.approx(1.0) and result.figures["cost"].median < 0.5
    report = Report({}, {}, [result])
    assert (
        "client's CPU ratio" in markdown(report)
        and page(report).count("The client&#x27;s processor time") == 2
    )


def test_servers_that_rows_name() -> None:
    """Each is one that always runs, or a variant with options that the configuration knows."""
    known = {key.name for key in KEYS}
    for row in ROWS:
        for side in row.sides.values():
            assert side.server in ("frevo", "smbd") or set(VARIANTS[side.server]) <= known


def test_a_rung_is_shown_beside_frevos_own_choice(result: Result) -> None:
    """It is no rival."""
    result.rungs = {"read: splice": [sample(150), sample(300), sample(250)]}
    assert result.of_rung("read: splice")["rate"].median == 0.5
    assert result.rivals == ["smbd", "smbd io_uring"]


def report_of(result: Result) -> Report:
    failed = Result(Row("WRITE"), error="ToolError: smbd said <no>\nmore")
    return Report({"processor": "2 x <CPU>"}, {"rounds": 3}, [result, failed], ["frevo: 5 KiB a session"])


def test_the_table(result: Result) -> None:
    """Every row has as many cells as the head, and the goals are counted."""
    text = markdown(report_of(result))
    table = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(set(table)) == 1 and len(table) == 4
    assert "2.50 (1.50-3.00), goal >= 2: met" in text and "2 of 2 goals met." in text


def test_the_page(result: Result) -> None:
    """Nothing is loaded, text stays text, and each median is a dot with its goal in the right place."""
    result.rungs = {"read: splice": [sample(150)] * 3}
    text = page(report_of(result))
    assert not re.search(r"(https?:)?//|\burl\(|@import|<script|<link|\bsrc=|\bhref=", text)
    ElementTree.fromstring(text[text.index("<body>") : text.index("</html>")])
    assert "ECHO &lt;4x4&gt;" in text and "smbd said &lt;no&gt;" in text and "Forced rungs" in text
    dots = [float(x) for x in re.findall(r'<circle class="met" cx="([\d.]+)"', text)]
    goals = [float(x) for x in re.findall(r'class="goal" d="M([\d.]+)', text)]
    assert len(dots) == len(goals) == 2
    assert goals[0] < dots[0] and dots[1] < goals[1]  # a rate above its goal, a cost below it
    assert "@media print" in text and "prefers-color-scheme: dark" in text


def test_json_has_every_sample(result: Result) -> None:
    """And can be read again."""
    found = json.loads(json.dumps(report_of(result).to_json()))
    row = found["rows"][0]
    assert [len(side) for side in row["samples"].values()] == [3, 3, 3]
    assert row["figures"]["rate"]["met"] is True and row["met"] is True
    assert found["rows"][1]["figures"] == {} and found["rows"][1]["error"]


def test_every_row_has_a_name_of_its_own_and_known_goals() -> None:
    """Samples are kept by name."""
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert all(set(row.goals) <= set(FIGURES) for row in ROWS)
    assert all((row.run is None) == bool(row.sides) for row in ROWS)
