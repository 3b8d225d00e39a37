"""The report as one HTML page that needs no network: figures, plots, tables, settings. Other reports have its style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from frevo.bench.plots import Mark, latency_plot, time_plot
from frevo.bench.report import data_rate, duration, heading

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2430; --soft: #5b6675;
  --rule: #dfe3e8; --data: #2563c9; --fill: #2563c922; --mark: #b4530a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2029; --ink: #e6eaf0;
  --soft: #9aa5b4; --rule: #2c3440; --data: #6ea8ff; --fill: #6ea8ff26; --mark: #f0a35e; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px 20px 48px; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 900px; margin: 0 auto; }
h1 { font-size: 22px; margin: 0 0 2px; } h2 { font-size: 15px; margin: 0 0 10px; }
p { margin: 0; } .soft { color: var(--soft); } .bad { color: var(--bad); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 16px 18px;
  margin-top: 16px; overflow-x: auto; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(94px, 1fr)); gap: 14px 8px; }
.cards b { display: block; font-size: 19px; white-space: nowrap; font-weight: 600; font-variant-numeric: tabular-nums; }
.cards span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; height: auto; min-width: 520px; }
svg text { font-size: 12px; fill: var(--soft); } svg text.name { fill: var(--mark); }
.grid { stroke: var(--rule); fill: none; } .line { stroke: var(--data); stroke-width: 2; fill: none;
  stroke-linejoin: round; } .area { fill: var(--fill); } .bar { fill: var(--data); }
.dot { fill: var(--data); opacity: 0; } .dot:hover { opacity: 1; } .bar:hover { opacity: .7; }
.mark { stroke: var(--mark); stroke-dasharray: 4 3; fill: none; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 0 5px 18px; border-top: 1px solid var(--rule); }
thead th { border: 0; color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 500; }
td.text { text-align: left; overflow-wrap: anywhere; }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --data: #1d4fa0;
  --fill: #1d4fa022; --mark: #8a3f06; --bad: #a01d15; color-scheme: light; }
  body { padding: 0; font-size: 11px; print-color-adjust: exact; } main { max-width: none; }
  section { break-inside: avoid; overflow: visible; } svg { min-width: 0; } }
"""

_HTML = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body><main>
{body}
</main></body></html>
"""


def page(found: Mapping[str, Any]) -> str:
    """The whole page for a report of `frevo.bench.report.report`."""
    title = f"frevo bench {found['workload']}"
    made = f"{found['begun']}, {found['machine']}, frevo {found['frevo']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(heading(found))}</p>',
        f'<p class="soft">{escape(made)}</p>',
        _problem(found),
        section("", f'<div class="cards">{"".join(_cards(found))}</div>'),
        section(f"Throughput over time, {_rate_name(found)}", _throughput(found)),
        section("Latencies: share of operations by duration", _latencies(found)),
        section("Latencies", _latency_table(found)),
        section("Processor time", _processor_table(found)),
        section("Settings", _settings_table(found)),
    ]
    return document(title, parts)


def document(title: str, parts: Iterable[str], more_style: str = "") -> str:
    """A page of these parts, which are HTML."""
    return _HTML.format(title=escape(title), style=_STYLE + more_style, body="\n".join(filter(None, parts)))


def section(title: str, body: str) -> str:
    """A part of the page in a frame."""
    head = f"<h2>{escape(title)}</h2>\n" if title else ""
    return f"<section>\n{head}{body}\n</section>"


def _problem(found: Mapping[str, Any]) -> str:
    if not found["problem"] and found["ended"] not in ("interrupted", "error"):
        return ""
    text = f"The run ended early ({found['ended']}). " if found["ended"] in ("interrupted", "error") else ""
    return f'<p class="bad">{escape(text + found["problem"])}</p>'


def _cards(found: Mapping[str, Any]) -> Iterable[str]:
    latency, cpu = found["latency_us"], found["cpu"]
    cards = [("operations/s", f"{found['operations_per_second']:,.0f}")]
    if found["bytes"]:
        cards.append(("data", data_rate(found["bytes_per_second"])))
    cards += [("median", duration(latency["p50"])), ("p99", duration(latency["p99"]))]
    cards += [("p99.9", duration(latency["p999"])), ("errors", f"{found['errors']:,}")]
    for end in ("server", "client"):
        if cpu[f"{end}_us_per_op"] is not None:
            cards.append((f"{end} CPU / op", duration(cpu[f"{end}_us_per_op"])))
    return (f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in cards)


def _rate_name(found: Mapping[str, Any]) -> str:
    return "bytes per second" if found["bytes"] else "operations per second"


def _throughput(found: Mapping[str, Any]) -> str:
    key = "bytes_per_second" if found["bytes"] else "operations_per_second"
    points = [(sample["second"], sample[key]) for sample in found["series"]]
    return time_plot(points, found["seconds"], data_rate if found["bytes"] else "{:,.0f}".format)


def _latencies(found: Mapping[str, Any]) -> str:
    latency = found["latency_us"]
    names = (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))
    marks = [Mark(name, latency[key], duration(latency[key])) for key, name in names if latency[key]]
    return latency_plot(found["histogram_us"], marks, duration)


def _latency_table(found: Mapping[str, Any]) -> str:
    keys = ("min", "mean", "p50", "p99", "p999", "max")
    rows = [
        [name, f"{part['operations']:,}", *(duration(part["latency_us"][key]) for key in keys)]
        for name, part in found["parts"].items()
    ]
    return table(["", "operations", "least", "mean", "p50", "p99", "p99.9", "largest"], rows)


def _processor_table(found: Mapping[str, Any]) -> str:
    rows = []
    for end in ("client", "server"):
        values = [found["cpu"][f"{end}_{unit}"] for unit in ("us_per_op", "s_per_gb", "s")]
        rows.append([end, *("-" if value is None else f"{value:,.3f}" for value in values)])
    return table(["", "µs per operation", "s per GB", "s"], rows)


def _settings_table(found: Mapping[str, Any]) -> str:
    known = {**found["settings"], **{f"server {name}": value for name, value in found["server"].items()}}
    rows = [
        [name.replace("_", " "), _plain(value)] for name, value in known.items() if value not in (None, "")
    ]
    return table([], rows, "text")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def table(head: list[str], rows: Iterable[list[str]], kind: str = "") -> str:
    """A table; *kind* is the class of all cells but the first of a row."""
    cell = f'<td class="{kind}">' if kind else "<td>"
    lines = [
        f"<tr><th>{escape(row[0])}</th>" + "".join(f"{cell}{escape(one)}</td>" for one in row[1:]) + "</tr>"
        for row in rows
    ]
    first = (
        "<thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr></thead>" if head else ""
    )
    return f"<table>{first}<tbody>{''.join(lines)}</tbody></table>"
