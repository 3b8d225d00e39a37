"""The results as a table in Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.results import Figure, Result
from benchmarks.rows import AT_LEAST

#: The figures of a row and what they are called.
FIGURES = {
    "rate": "rate ratio", "cost": "CPU ratio", "limit": "share of limit", "fairness": "p99 / p50",
    "least": "least / median", "client": "client's CPU ratio",
}  # fmt: skip


@dataclass(slots=True)
class Report:
    """A whole run. *options*: those that matter for the figures, *conditions*: of the machine."""

    conditions: Mapping[str, str]
    options: Mapping[str, Any]
    results: Sequence[Result]
    memory: list[str] = field(default_factory=list)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything, with every sample."""
        return {
            "conditions": dict(self.conditions),
            "options": dict(self.options),
            "rows": [result.to_json() for result in self.results],
            "memory": self.memory,
        }


def markdown(report: Report) -> str:
    """The table, below the conditions."""
    lines = [f"{name}: {value}" for name, value in {**report.conditions, **report.options}.items() if value]
    used = figures_of(report.results)
    head = ("load", "frevo", "rival", *(FIGURES[name] for name in used), "frevo CPU", "rival CPU", "goals")
    lines += ["", *_table(head, (cells(result, used) for result in report.results))]
    if any(result.rungs for result in report.results):
        head = ("load", "rung", "rate", "rate beside auto", "CPU", "CPU beside auto")
        lines += ["", *_table(head, rung_cells(report.results))]
    lines += ["", *report.memory, *noise(report.results), tally(report.results)]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def figures_of(results: Iterable[Result]) -> list[str]:
    """The names of the figures that there are."""
    found = {name for result in results for name in result.figures}
    return [name for name in FIGURES if name in found]


def cells(result: Result, used: Sequence[str] = tuple(FIGURES)) -> list[str]:
    """The row of one result, with the figures *used*."""
    row = result.row
    if result.error:
        return [row.name, result.error.splitlines()[0][:120], *[""] * (len(used) + 4)]
    figures = result.figures
    faster, cheaper = figures["rate"].beside, figures["cost"].beside
    return [
        row.name,
        rate(result, result.subject),
        f"{rate(result, faster)} {faster}",
        *(figure_text(figures.get(name), name) for name in used),
        cost(result, result.subject),
        f"{cost(result, cheaper)} {cheaper}",
        {True: "met", False: "missed", None: ""}[result.met],
    ]


def figure_text(figure: Figure | None, name: str) -> str:
    """A figure with its spread and its goal."""
    if figure is None:
        return ""
    if figure.goal is None:
        return str(figure)
    sign = ">=" if name in AT_LEAST else "<="
    return f"{figure}, goal {sign} {figure.goal:g}: {'met' if figure.met else 'missed'}"


def rate(result: Result, side: str) -> str:
    """The median rate of a side."""
    value = median(sample.rate for sample in (result.samples | result.rungs)[side])
    return f"{value / 1e9:.2f} GB/s" if result.row.unit == "GB" else f"{value:,.0f}/s"


def cost(result: Result, side: str) -> str:
    """The median processor time of a side, per GB or per operation."""
    value = median(sample.cost(result.row.cost_of) for sample in (result.samples | result.rungs)[side])
    return f"{value * 1e9:.3f} s/GB" if result.row.unit == "GB" else f"{value * 1e6:.1f} us"


def rung_cells(results: Iterable[Result]) -> list[list[str]]:
    """A row for each rung that was forced."""
    found = []
    for result in results:
        for name in result.rungs if not result.error else ():
            figures = result.of_rung(name)
            texts = rate(result, name), str(figures["rate"]), cost(result, name), str(figures["cost"])
            found.append([result.row.name, name, *texts])
    return found


def noise(results: Iterable[Result]) -> list[str]:
    """How busy the machine was with something else."""
    shares = [sample.others for result in results for side in result.samples.values() for sample in side]
    if not shares:
        return []
    middle, worst = median(shares), max(shares)
    return [f"Other processes used {middle:.0%} of the processors in the median run, {worst:.0%} at worst."]


def tally(results: Iterable[Result]) -> str:
    """How many goals are met."""
    met = [one.met for result in results for one in result.figures.values() if one.met is not None]
    return f"{sum(met)} of {len(met)} goals met."
