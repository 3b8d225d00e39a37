"""Plots as SVG text: throughput over time, and the distribution of latencies. The page's style sets the colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

import msgspec

_WIDTH, _HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 16, 10, 30
#: Room above a distribution for the names of its marks: two lines.
_NAMES = 34
_BINS = 56
_TICKS = 5


class Mark(msgspec.Struct, frozen=True):
    """A latency marked in the distribution, such as p99."""

    name: str
    us: float
    text: str


def nice_step(span: float, ticks: int) -> float:
    """1, 2 or 5 times a power of ten, so that about *ticks* steps cover *span*."""
    raw = max(span, 1e-9) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)


def time_plot(points: Sequence[tuple[float, float]], end: float, shown: Callable[[float], str]) -> str:
    """Values over time as an area under a line. *points* are (second, value), *end* is the last second."""
    top = max((value for _, value in points), default=0.0) or 1.0
    step = nice_step(top, _TICKS)
    highest = math.ceil(top / step - 1e-9) * step
    end = max(end, 1e-9)

    def x(second: float) -> float:
        return _LEFT + second / end * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / highest * (_HEIGHT - _TOP - _BOTTOM)

    parts = _horizontal((index * step for index in range(round(highest / step) + 1)), y, shown)
    second_step = nice_step(end, 8)
    ticks = [index * second_step for index in range(int(end / second_step + 1e-9) + 1)]
    parts += [_below(x(tick), f"{tick:g} s") for tick in ticks]
    line = [(0.0, points[0][1]), *points] if points else []
    if line:
        path = " L".join(f"{x(second):.1f} {y(value):.1f}" for second, value in line)
        floor = y(0)
        parts.append(f'<path class="area" d="M{path} L{x(line[-1][0]):.1f} {floor} L{x(0):.1f} {floor} Z"/>')
        parts.append(f'<path class="line" d="M{path}"/>')
    parts += [
        f'<circle class="dot" cx="{x(second):.1f}" cy="{y(value):.1f}" r="7">'
        f"<title>{escape(f'{second:.2f} s: {shown(value)}')}</title></circle>"
        for second, value in points
    ]
    return svg(parts, "Throughput over time")


def latency_plot(
    histogram: Iterable[Sequence[float]], marks: Sequence[Mark], shown: Callable[[float], str]
) -> str:
    """The share of operations by latency, on a logarithmic scale; *histogram* has (from, to, count)."""
    rows = [(low, high, count) for low, high, count in histogram if count]
    if not rows:
        return svg([label(_WIDTH / 2, _HEIGHT / 2, "no operation succeeded", "middle")], "Latencies")
    first, last = max(rows[0][0], 1e-3), max(rows[-1][1], marks[-1].us if marks else 0)
    low, high = math.log10(first) - 0.02, math.log10(last) + 0.02
    bins = _bins(rows, low, high)
    total = sum(bins)
    step = nice_step(max(bins) / total * 100, _TICKS)
    highest = math.ceil(max(bins) / total * 100 / step - 1e-9) * step

    def x(us: float) -> float:
        return _LEFT + (math.log10(us) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(percent: float) -> float:
        return _HEIGHT - _BOTTOM - percent / highest * (_HEIGHT - _NAMES - _BOTTOM)

    parts = _horizontal((index * step for index in range(round(highest / step) + 1)), y, lambda v: f"{v:g} %")
    parts += [_below(x(us), shown(us)) for us in _logarithmic_ticks(low, high)]
    width = (high - low) / _BINS
    for index, count in enumerate(bins):
        if count:
            left, right = 10 ** (low + index * width), 10 ** (low + (index + 1) * width)
            percent = count / total * 100
            said = escape(f"{shown(left)} to {shown(right)}: {percent:.3g} % ({count:,.0f} operations)")
            parts.append(
                f'<rect class="bar" x="{x(left) + 0.5:.1f}" y="{min(y(percent), y(0) - 1):.1f}" '
                f'width="{x(right) - x(left) - 1:.1f}" height="{max(y(0) - y(percent), 1):.1f}">'
                f"<title>{said}</title></rect>"
            )
    parts += _marks(marks, x)
    return svg(parts, "Distribution of latencies")


def _bins(rows: Iterable[tuple[float, float, float]], low: float, high: float) -> list[float]:
    """Counts in equal logarithmic steps; a bucket that spans several is divided among them."""
    bins = [0.0] * _BINS
    scale = _BINS / (high - low)
    for start, end, count in rows:
        left = (math.log10(max(start, 1e-3)) - low) * scale
        right = max((math.log10(max(end, 1e-3)) - low) * scale, left + 1e-9)
        first, last = max(int(left), 0), min(int(right), _BINS - 1)
        for index in range(first, last + 1):
            part = (min(right, index + 1) - max(left, index)) / (right - left)
            bins[index] += count * max(part, 0.0)
    return bins


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _marks(marks: Sequence[Mark], x: Callable[[float], float]) -> list[str]:
    """A line for each mark, with its name above; names that would overlap are on two lines."""
    parts: list[str] = []
    ends = [0.0, 0.0]
    for mark in marks:
        at, text = x(mark.us), f"{mark.name} {mark.text}"
        half = len(text) * 3.4
        centre = min(max(at, _LEFT + half), _WIDTH - _RIGHT - half)
        row = next((index for index, end in enumerate(ends) if centre - half > end + 6), len(ends) - 1)
        ends[row] = centre + half
        parts.append(f'<path class="mark" d="M{at:.1f} {_NAMES - 2} V{_HEIGHT - _BOTTOM}"/>')
        parts.append(label(centre, 12 + 14 * row, text, "middle", "name"))
    return parts


def _horizontal(
    values: Iterable[float], y: Callable[[float], float], shown: Callable[[float], str]
) -> list[str]:
    parts = []
    for value in values:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f} H{_WIDTH - _RIGHT}"/>')
        parts.append(label(_LEFT - 8, y(value) + 4, shown(value) if value else "0", "end"))
    return parts


def _below(x: float, text: str) -> str:
    tick = f'<path class="grid" d="M{x:.1f} {_HEIGHT - _BOTTOM} v5"/>'
    return tick + label(x, _HEIGHT - _BOTTOM + 20, text, "middle")


def label(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    """Text at a point; *anchor* is start, middle or end."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def svg(parts: Iterable[str], title: str, width: float = _WIDTH, height: float = _HEIGHT) -> str:
    """A plot of its parts. *title* is for people who cannot see it."""
    name = escape(title, quote=True)
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">\n{body}\n</svg>'
