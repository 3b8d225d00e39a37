"""The results as one HTML page that needs no network: ratios with their spread as plots, and tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from benchmarks.report import (
    FIGURES,
    Report,
    cells,
    cost,
    figure_text,
    figures_of,
    noise,
    rate,
    rung_cells,
    tally,
)
from benchmarks.results import Figure, Result
from frevo.bench.page import document, section, table
from frevo.bench.plots import label, svg

_WIDTH, _LEFT, _RIGHT, _LINE, _TOP, _BOTTOM = 860, 300, 60, 24, 10, 28
_STEPS = (1.0, 2.0, 5.0)
_STYLE = """
main { max-width: 1100px; } section table { font-size: 13px; } th, td { padding-left: 12px; }
th { white-space: nowrap; }
.met { fill: var(--data); stroke: var(--data); } .missed { fill: var(--bad); stroke: var(--bad); }
.free { fill: var(--soft); stroke: var(--soft); } .spread { stroke-width: 2; fill: none; }
.goal { stroke: var(--mark); stroke-width: 2; fill: none; } .even { stroke: var(--ink); fill: none; }
svg text.row { font-size: 13px; fill: var(--ink); }
"""
_SENTENCES = {
    "rate": "Rate as a multiple of the rival's, higher is better",
    "cost": "Processor time per operation or byte as a multiple of the rival's, lower is better",
    "limit": "Rate as a share of the machine's limit, higher is better",
    "fairness": "p99 / p50 of the latencies, lower is better",
    "least": "Operations of the connection that was served worst, as a share of the median one's, higher is better",
    "client": "The client's processor time per operation or byte as a multiple of the rival's, lower is better",
}


def page(report: Report) -> str:
    """The whole page."""
    where = {name: str(value) for name, value in {**report.conditions, **report.options}.items() if value}
    lead = [tally(report.results), *noise(report.results)]
    parts = ["<h1>frevo and Samba under the same load</h1>", f'<p class="soft">{escape(" ".join(lead))}</p>']
    parts += [
        f'<p class="bad">{escape(f"{one.row.name}: {one.error}")}</p>' for one in report.results if one.error
    ]
    parts += list(_plots(report.results))
    head = ["load", "frevo", "rival", "frevo CPU", "rival CPU", "goals"]
    rows = [_short(result) for result in report.results if not result.error]
    parts.append(section("Rates and processor time, medians", table(head, rows)))
    used = figures_of(report.results)
    head = ["load", *(FIGURES[name] for name in used)]
    parts.append(section("Ratios: median (least-most)", table(head, _ratios(report.results, used))))
    if rungs := rung_cells(report.results):
        head = ["load", "rung", "rate", "rate beside auto", "CPU", "CPU beside auto"]
        parts.append(section("Forced rungs", table(head, rungs)))
    limits = list(_limits(report.results))
    if limits:
        parts.append(
            section("The machine's limit (limit.c)", table(["load", "method", "rate", "server CPU"], limits))
        )
    if report.memory:
        parts.append(section("Memory", "".join(f"<p>{escape(line)}</p>" for line in report.memory)))
    parts.append(section("Conditions", table([], [[name, value] for name, value in where.items()], "text")))
    return document("frevo and Samba", parts, _STYLE)


def _short(result: Result) -> list[str]:
    found = cells(result)
    return [*found[:3], *found[-3:]]


def _ratios(results: Sequence[Result], used: Sequence[str]) -> Iterator[list[str]]:
    for result in results:
        if not result.error:
            figures = result.figures
            yield [result.row.name, *(figure_text(figures.get(name), name) for name in used)]


def _limits(results: Sequence[Result]) -> Iterator[list[str]]:
    """A row for frevo's own rate and for each method."""
    for result in results:
        if result.limit and not result.error:
            yield [result.row.name, "frevo", rate(result, result.subject), cost(result, result.subject)]
            for method, runs in result.limit.items():
                rates = sorted(one.bytes_rate for one in runs)
                costs = sorted(one.byte_cost for one in runs)
                middle = len(runs) // 2
                yield ["", method, f"{rates[middle] / 1e9:.2f} GB/s", f"{costs[middle] * 1e9:.3f} s/GB"]


def _plots(results: Sequence[Result]) -> Iterator[str]:
    for name in FIGURES:
        lines = [(one.row.name, one.figures[name]) for one in results if name in one.figures]
        if lines:
            yield section(_SENTENCES[name], ratio_plot(lines, name))


def ratio_plot(lines: Sequence[tuple[str, Figure]], name: str) -> str:
    """A line for each row: its median as a dot, its spread, and its goal, on a logarithmic scale."""
    values = [1.0]
    for _, figure in lines:
        values += [one for one in (figure.low, figure.high, figure.goal) if one]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05
    bottom = _TOP + _LINE * len(lines)

    def x(value: float) -> float:
        at = (math.log10(max(value, 10**low)) - low) / (high - low)
        return _LEFT + at * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<path class="{"even" if tick == 1 else "grid"}" d="M{x(tick):.1f} {_TOP} V{bottom}"/>'
        + label(x(tick), bottom + 18, f"{tick:g}", "middle")
        for tick in _ticks(low, high)
    ]
    for index, (row, figure) in enumerate(lines):
        parts += _line(row, figure, name, x, _TOP + _LINE * (index + 0.5))
    return svg(parts, _SENTENCES[name], _WIDTH, bottom + _BOTTOM)


def _line(row: str, figure: Figure, name: str, x: Callable[[float], float], y: float) -> Iterator[str]:
    kind = {True: "met", False: "missed", None: "free"}[figure.met]
    said = escape(f"{row}: {figure_text(figure, name)}, beside {figure.beside}")
    yield label(_LEFT - 12, y + 4, row, "end", "row")
    if figure.goal:
        yield f'<path class="goal" d="M{x(figure.goal):.1f} {y - 8:.1f} v16"/>'
    yield f'<path class="spread {kind}" d="M{x(figure.low):.1f} {y:.1f} H{x(figure.high):.1f}"/>'
    yield f'<circle class="{kind}" cx="{x(figure.median):.1f}" cy="{y:.1f}" r="5"><title>{said}</title></circle>'
    yield label(_WIDTH - _RIGHT + 8, y + 4, f"{figure.median:.2f}", "start")


def _ticks(low: float, high: float) -> list[float]:
    ticks = [step * 10.0**decade for decade in range(math.floor(low), math.ceil(high) + 1) for step in _STEPS]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]
