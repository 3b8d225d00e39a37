"""Medians and ratios of pairs, and the table in Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.loadgen import Sample
from benchmarks.tools import Limit
from benchmarks.workloads import Workload


@dataclass(slots=True)
class Result:
    """The pairs of one workload; `error` if it could not be run."""

    workload: Workload
    frevo: list[Sample] = field(default_factory=list)
    peer: list[Sample] = field(default_factory=list)
    limit: list[Limit] = field(default_factory=list)
    error: str = ""

    @property
    def rate_ratio(self) -> float:
        """The rate of frevo as a multiple of Samba's: the median of the pairs."""
        return median(a.rate / b.rate for a, b in zip(self.frevo, self.peer, strict=True))

    @property
    def cost_ratio(self) -> float:
        """The same for processor time."""
        return median(a.cost / max(b.cost, 1e-12) for a, b in zip(self.frevo, self.peer, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the goals are met; None if there are none."""
        goal = self.workload
        if goal.rate_goal is None and goal.cost_goal is None:
            return None
        rate = goal.rate_goal is None or self.rate_ratio >= goal.rate_goal
        return rate and (goal.cost_goal is None or self.cost_ratio <= goal.cost_goal)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.workload.name, "unit": self.workload.unit, "error": self.error}
        if not self.error:
            found |= {
                "rate_ratio": self.rate_ratio,
                "cost_ratio": self.cost_ratio,
                "met": self.met,
                "goals": {"rate": self.workload.rate_goal, "cost": self.workload.cost_goal},
                "frevo": [asdict(sample) for sample in self.frevo],
                "peer": [asdict(sample) for sample in self.peer],
                "limit": [asdict(sample) for sample in self.limit],
            }
        return found


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of idle sessions."""

    server: str
    sessions: int
    resident: int
    proportional: int
    before: int

    def line(self) -> str:
        each = (self.proportional - self.before) / self.sessions / 1024
        return (
            f"{self.server}: {self.sessions} idle sessions on a connection each: RSS {self.resident / 1e6:.0f} MB, "
            f"PSS {self.proportional / 1e6:.0f} MB ({self.before / 1e6:.0f} MB before), {each:.0f} KiB a session"
        )


def markdown(
    results: Iterable[Result],
    memory: Iterable[Memory],
    machine: str,
    options: argparse.Namespace,
) -> str:
    """The table, below a line with the machine and `server signing`. Goals apply to smbd only."""
    results = list(results)
    peer = "smbd" if options.against is None else f"frevo of {options.against.name}"
    lines = [
        f"{machine}",
        "",
        f"Median of {options.rounds * options.launches} pairs of {options.seconds:g} s in "
        f"{options.launches} launch{'es' * (options.launches > 1)}, both servers with "
        f"`server signing = {options.signing}`.",
        f"Ratios are frevo / {peer}; cost is the server's processor time.",
        "",
        f"| workload | frevo | {peer} | limit | rate ratio | goal "
        f"| frevo cost | {peer} cost | limit cost | cost ratio | goal | |",
        "|---" * 12 + "|",
    ]
    lines += [_row(result) for result in results]
    lines += ["", *(entry.line() for entry in memory), "", _noise(results)]
    return "\n".join(lines)


def _noise(results: list[Result]) -> str:
    shares = [sample.others for result in results for sample in (*result.frevo, *result.peer)]
    if not shares:
        return ""
    return f"Other processes used {median(shares):.0%} of the processors in the median run, {max(shares):.0%} at worst."


def _row(result: Result) -> str:
    work = result.workload
    if result.error:
        return f"| {work.name} | {result.error.splitlines()[0][:80]} |" + " |" * 10
    bulk = work.unit == "GB"
    limit = rate_of_limit = ""
    if result.limit:
        limit = _rate(median(x.bytes_rate if bulk else x.rate for x in result.limit), bulk)
        rate_of_limit = _cost(median(x.byte_cost if bulk else x.cost for x in result.limit), bulk)
    cells = (
        work.name,
        _rate(median(s.rate for s in result.frevo), bulk),
        _rate(median(s.rate for s in result.peer), bulk),
        limit,
        f"**{result.rate_ratio:.2f}**",
        "" if work.rate_goal is None else f">= {work.rate_goal:g}",
        _cost(median(s.cost for s in result.frevo), bulk),
        _cost(median(s.cost for s in result.peer), bulk),
        rate_of_limit,
        f"**{result.cost_ratio:.2f}**",
        "" if work.cost_goal is None else f"<= {work.cost_goal:g}",
        {True: "met", False: "missed", None: ""}[result.met],
    )
    return "| " + " | ".join(cells) + " |"


def _rate(value: float, bulk: bool) -> str:
    return f"{value / 1e9:.2f} GB/s" if bulk else f"{value:,.0f}/s"


def _cost(value: float, bulk: bool) -> str:
    return f"{value * 1e9:.3f} s/GB" if bulk else f"{value * 1e6:.1f} us"
