"""What the rounds of a row found: ratios with their spread, and whether the goals are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.rows import AT_LEAST, Row
from benchmarks.sample import Sample
from benchmarks.tools import Limit


@dataclass(frozen=True, slots=True)
class Figure:
    """A ratio over the rounds. *beside* is what it was compared with."""

    low: float
    median: float
    high: float
    beside: str
    goal: float | None = None
    met: bool | None = None

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(slots=True)
class Result:
    """The rounds of one row: the samples of each side, frevo's first. `error` if it could not be run."""

    row: Row
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    limit: dict[str, list[Limit]] = field(default_factory=dict)
    rungs: dict[str, list[Sample]] = field(default_factory=dict)
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every side has had its turn in every round, and there was one."""
        sides = [*self.samples.values(), *self.rungs.values(), *self.limit.values()]
        return bool(sides and sides[0]) and len({len(side) for side in sides}) == 1

    @property
    def subject(self) -> str:
        """The side that the goals are for."""
        return next(iter(self.samples))

    @property
    def ours(self) -> list[Sample]:
        """Its samples."""
        return self.samples[self.subject]

    @property
    def rivals(self) -> list[str]:
        """The other sides."""
        return [name for name in self.samples if name != self.subject]

    @property
    def figures(self) -> dict[str, Figure]:
        """By name. Of several rivals, the one that is better in the figure counts."""
        if self.error:
            return {}
        found: dict[str, Figure] = {}
        rates = [self._beside(self.samples[name], name, "rate") for name in self.rivals]
        costs = [self._beside(self.samples[name], name, "cost") for name in self.rivals]
        found["rate"] = min(rates, key=lambda one: one.median)
        found["cost"] = max(costs, key=lambda one: one.median)
        if self.limit:
            best = max(self.limit, key=lambda name: median(one.bytes_rate for one in self.limit[name]))
            shares = [a.rate / b.bytes_rate for a, b in zip(self.ours, self.limit[best], strict=True)]
            found["limit"] = self._figure("limit", shares, best)
        if "fairness" in self.row.goals:
            spans = [sample.p99_us / max(sample.p50_us, 1e-9) for sample in self.ours]
            found["fairness"] = self._figure("fairness", spans, "p50")
        if "least" in self.row.goals:
            found["least"] = self._figure("least", [sample.least for sample in self.ours], "median")
        if self.row.both_ends:
            found["client"] = self._beside(self.samples[self.rivals[0]], self.rivals[0], "client")
        return found

    def of_rung(self, name: str) -> dict[str, Figure]:
        """Rate and cost of a forced rung beside those of frevo's own choice."""
        ours = self.ours
        return {
            "rate": _spread([a.rate / b.rate for a, b in zip(self.rungs[name], ours, strict=True)], "auto"),
            "cost": _spread(
                [a.cost("server") / max(b.cost("server"), 1e-12) for a, b in zip(self.rungs[name], ours, strict=True)],
                "auto",
            ),
        }  # fmt: skip

    def _beside(self, theirs: Sequence[Sample], name: str, what: str) -> Figure:
        end = "client" if what == "client" else self.row.cost_of
        pairs = list(zip(self.ours, theirs, strict=True))
        if what == "rate":
            return self._figure(what, [a.rate / b.rate for a, b in pairs], name)
        return self._figure(what, [a.cost(end) / max(b.cost(end), 1e-12) for a, b in pairs], name)

    def _figure(self, what: str, values: Sequence[float], beside: str) -> Figure:
        return _spread(values, beside, self.row.goals.get(what), at_least=what in AT_LEAST)

    @property
    def met(self) -> bool | None:
        """Whether all goals are met; None without goals or without figures."""
        met = [one.met for one in self.figures.values() if one.met is not None]
        return all(met) if met else None

    def to_json(self) -> dict[str, Any]:
        """Everything, with every sample."""
        row = self.row
        return {
            "name": row.name,
            "unit": row.unit,
            "cost_of": row.cost_of,
            "error": self.error,
            "goals": dict(row.goals),
            "met": self.met,
            "figures": {name: asdict(one) for name, one in self.figures.items()},
            "samples": {name: [asdict(one) for one in side] for name, side in self.samples.items()},
            "limit": {name: [asdict(one) for one in side] for name, side in self.limit.items()},
            "rungs": {
                name: {
                    "samples": [asdict(one) for one in side],
                    "beside auto": {key: asdict(one) for key, one in self.of_rung(name).items()},
                }
                for name, side in (self.rungs.items() if not self.error else ())
            },
        }


def _spread(
    values: Sequence[float], beside: str, goal: float | None = None, *, at_least: bool = True
) -> Figure:
    middle = median(values)
    met = None if goal is None else middle >= goal if at_least else middle <= goal
    return Figure(min(values), middle, max(values), beside, goal, met)
