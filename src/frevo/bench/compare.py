"""Compares two reports: the ratio of every figure, and the conditions that make them hard to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from frevo.errors import FrevoError

#: Figures that have a ratio, as paths in a report.
FIGURES = (
    ("operations_per_second",),
    ("bytes_per_second",),
    *(("latency_us", name) for name in ("mean", "p50", "p99", "p999", "max")),
    *(
        ("cpu", f"{end}_{unit}")
        for end in ("client", "server")
        for unit in ("us_per_op", "s_per_gb")
    ),
    ("errors",),
)  # fmt: skip
#: Parts of a report that should be equal.
_CONDITIONS = ("workload", "settings", "machine")
_AGREED = ("dialect", "transport", "transport_cipher", "transport_provider", "signing", "cipher")


class NotAReport(FrevoError):
    """A file that was not written by `frevo bench --json`."""


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """{"ratios": {figure: other / one}, "values": {figure: [one, other]}, "differences": {...}}; None: no ratio.

    Raises NotAReport.
    """
    values = {".".join(path): [_figure(one, path), _figure(other, path)] for path in FIGURES}
    ratios = {name: _ratio(*pair) for name, pair in values.items()}
    return {"ratios": ratios, "values": values, "differences": dict(_differences(one, other))}


def _figure(found: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = found
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise NotAReport(f"no {'.'.join(path)} found: not a report of frevo bench --json")
        value = value[key]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise NotAReport(f"{'.'.join(path)} is {value!r}, not a number")
    return None if value is None else float(value)


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None or not one else round(other / one, 4)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    first, second = dict(_conditions(one)), dict(_conditions(other))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            yield name, [first.get(name), second.get(name)]


def _conditions(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _CONDITIONS:
        value = found.get(name)
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value
    server = found.get("server")
    if isinstance(server, Mapping):
        yield from ((f"server.{name}", server.get(name)) for name in _AGREED)


def table(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """The ratios as lines for a terminal."""
    width = max(len(name) for name in found["values"])
    columns = [max(len(name), 14) for name in names]
    head = f"{'':{width}}  {names[0]:>{columns[0]}}  {names[1]:>{columns[1]}}  ratio"
    lines = [head]
    for name, (one, other) in found["values"].items():
        ratio = found["ratios"][name]
        shown = "-" if ratio is None else f"{ratio:.2f}"
        lines.append(
            f"{name:{width}}  {_shown(one):>{columns[0]}}  {_shown(other):>{columns[1]}}  {shown:>5}"
        )
    return "\n".join(lines) + "\n"


def warnings(found: Mapping[str, Any]) -> list[str]:
    """A line for each condition that differs."""
    return [f"{name} differs: {one} and {other}" for name, (one, other) in found["differences"].items()]


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
