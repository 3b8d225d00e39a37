"""frevo.bench.page and plots: one self-contained file that shows the report's numbers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from frevo.bench.page import page
from frevo.bench.plots import Mark, latency_plot, nice_step, time_plot
from frevo.bench.report import duration, report
from frevo.bench.runner import Outcome
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally


def test_nothing_is_loaded(outcome: Outcome) -> None:
    """No URL and no script: the page opens without a network."""
    text = page(report(outcome)).replace("smb://nas/da", "")
    assert not re.search(r"(https?:)?//|\burl\(|@import|<script|<link|\bsrc=|\bhref=", text)


def test_it_is_well_formed_and_escaped(outcome: Outcome) -> None:
    """Every tag is closed where it must be, and text from outside stays text."""
    text = page(report(outcome))
    body = text[text.index("<body>") : text.index("</html>")]
    ElementTree.fromstring(body)
    assert "da&lt;ta" in text and "&lt;full&gt;" in text and "<full>" not in text


def test_it_has_the_numbers(outcome: Outcome) -> None:
    """The figures of the report are on the page, and each sample is a point of the plot."""
    found = report(outcome)
    text = page(found)
    for part in ("500", "2.05 MB/s", duration(found["latency_us"]["p99"]), "2.87 MB/s", "1.23 MB/s"):
        assert part in text
    assert text.count('class="dot"') == len(found["series"])


def test_a_run_without_operations() -> None:
    """Nothing to plot is not an error."""
    text = page(report(Outcome(Settings("echo", ("smb://nas/",)), ("echo",), (Tally(),), ended="error")))
    assert "no operation succeeded" in text and "ended early" in text


def test_points_lie_where_they_belong() -> None:
    """Higher values are higher up, later ones further right, and the largest is inside the plot."""
    svg = time_plot([(1.0, 100.0), (2.0, 400.0)], 2.0, str)
    (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg))
    assert x1 < x2 <= 760 and 0 <= y2 < y1


def test_the_distribution_has_every_operation() -> None:
    """The bars add up to the histogram's count; the marks are in order."""
    histogram = [(10.0, 20.0, 500), (20.0, 30.0, 300), (1000.0, 1010.0, 200)]
    marks = [Mark("p50", 20.0, "20 µs"), Mark("p99", 1005.0, "1 ms")]
    svg = latency_plot(histogram, marks, duration)
    counts = [float(count.replace(",", "")) for count in re.findall(r"\(([\d,]+) operations\)", svg)]
    assert abs(sum(counts) - 1000) <= len(counts)
    first, second = (float(x) for x in re.findall(r'class="mark" d="M([\d.]+)', svg))
    assert first < second


def test_steps_are_round() -> None:
    """Grid lines of the axes are 1, 2 or 5 times a power of ten apart."""
    assert [nice_step(span, 5) for span in (10, 23, 41, 0.7)] == [2, 5, 10, 0.2]
