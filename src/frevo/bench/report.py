"""The report of a run: a JSON object, and a table for people."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from frevo import __version__
from frevo.bench.faults import name_of_status
from frevo.bench.processor import Meter, name_of
from frevo.bench.runner import Outcome
from frevo.bench.tally import Tally, total

#: Key of the report to the percentile that it holds.
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
_GB = 1e9


def report(outcome: Outcome) -> dict[str, Any]:
    """Everything about one run, in the format of docs/bench.md.

    The operations are those of the first part (opens, set-ups), or all that move data. Times are in microseconds if
    their key says so. Unknown figures are None.
    """
    counted = outcome.counted
    seconds = max(outcome.seconds, 1e-9)
    everything = total(outcome.tallies)
    return {
        "workload": outcome.settings.workload,
        "settings": outcome.settings.as_json(),
        "seconds": round(outcome.seconds, 6),
        "operations": counted.operations,
        "bytes": counted.bytes,
        "operations_per_second": round(counted.operations / seconds, 3),
        "bytes_per_second": round(counted.bytes / seconds, 1),
        "latency_us": latency(counted),
        "operations_by_connection": spread(outcome.by_connection),
        "cpu": processor(outcome.meter, counted),
        "errors": everything.errors,
        "statuses": {name_of_status(status): n for status, n in sorted(everything.statuses.items())},
        "ended": outcome.ended,
        "problem": outcome.problem,
        "parts": {
            name: {"operations": tally.operations, "bytes": tally.bytes, "latency_us": latency(tally)}
            for name, tally in zip(outcome.parts, outcome.tallies, strict=True)
        },
        "server": outcome.server | _processes(outcome.meter),
        "series": [
            {
                "second": round(sample.at, 3),
                "operations_per_second": round(sample.operations / sample.seconds, 1),
                "bytes_per_second": round(sample.bytes / sample.seconds, 1),
            }
            for sample in outcome.samples
        ],
        "histogram_us": [[low / 1000, high / 1000, count] for low, high, count in counted.histogram()],
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - outcome.seconds)),
        "machine": f"{os.cpu_count()} processors, Linux {platform.release()}, {platform.machine()}",
        "frevo": __version__,
    }


def spread(counts: Sequence[int]) -> dict[str, float] | None:
    """How evenly the connections were served."""
    if not counts:
        return None
    return {"least": min(counts), "median": median(counts), "most": max(counts)}


def latency(tally: Tally) -> dict[str, float]:
    """Latencies in microseconds; percentiles are exact to 1/32."""
    found = {"mean": tally.mean_ns, "min": float(tally.min_ns)}
    found |= {name: tally.percentile(percent) for name, percent in PERCENTILES.items()}
    found["max"] = float(tally.max_ns)
    return {name: round(ns / 1000, 3) for name, ns in found.items()}


def processor(meter: Meter, counted: Tally) -> dict[str, float | None]:
    """Processor time of both ends, per operation and per 10^9 bytes."""
    found: dict[str, float | None] = {}
    for end, seconds in (("client", meter.client_s), ("server", meter.server_s)):
        found[f"{end}_us_per_op"] = _per(seconds, counted.operations, 1e6)
        found[f"{end}_s_per_gb"] = _per(seconds, counted.bytes, _GB)
        found[f"{end}_s"] = None if seconds is None else round(seconds, 6)
    return found


def _per(seconds: float | None, count: int, scale: float) -> float | None:
    return None if seconds is None or not count else round(seconds / count * scale, 6)


def _processes(meter: Meter) -> dict[str, Any]:
    names = sorted({name_of(pid) for pid in meter.server})
    return {"processes": list(meter.server), "names": names, "process_count": meter.processes}


# -- for people


def table(found: Mapping[str, Any]) -> str:
    """The report as lines for a terminal."""
    rows = [["", "per second", "bytes/s", "mean", "p50", "p99", "p99.9", "max"]]
    for name, part in found["parts"].items():
        seconds = max(found["seconds"], 1e-9)
        moved, rate = part["bytes"] / seconds, f"{part['operations'] / seconds:,.0f}"
        times = (part["latency_us"][key] for key in ("mean", "p50", "p99", "p999", "max"))
        rows.append([name, rate, data_rate(moved), *map(duration, times)])
    used = [["processor time", "µs/operation", "s/GB"]]
    for end in ("client", "server"):
        per_op, per_gb = found["cpu"][f"{end}_us_per_op"], found["cpu"][f"{end}_s_per_gb"]
        used.append([_named(end, found["server"]), _figure(per_op, 2), _figure(per_gb, 3)])
    lines = ["", heading(found), "", *_aligned(rows), "", *_aligned(used), "", *_ending(found)]
    return "\n".join(lines).rstrip() + "\n"


def heading(found: Mapping[str, Any]) -> str:
    """Workload, settings and server in one line."""
    settings, server = found["settings"], found["server"]
    words = [found["workload"], f"{settings['connections']} connections x {settings['qdepth']} in flight"]
    if "io_size" in settings:
        words.append(size(settings["io_size"]))
        if settings["file_size"] > settings["io_size"]:
            words.append(
                f"{'random' if settings['random'] else 'sequential'} in {size(settings['file_size'])}"
            )
    protection = server.get("cipher") or server.get("signing")
    verb = "encrypted" if server.get("cipher") else "signed"
    words.append(f"{verb} ({protection})" if protection else "not protected")
    beneath = server.get("transport_cipher") or server.get("transport_provider")
    outer = f" ({beneath})" if beneath else ""
    words.append(f"{server.get('dialect')} over {server.get('transport')}{outer}")
    words.append(f"{found['seconds']:.2f} s")
    return ", ".join(words)


def _named(end: str, server: Mapping[str, Any]) -> str:
    if end == "client" or not server["processes"]:
        return end
    more = server["process_count"] - 1
    others = f", {more} more" if more > 0 else ""
    return f"server ({', '.join(server['names'])} {server['processes'][0]}{others})"


def _ending(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['operations']:,} operations, {found['errors']:,} errors"
    if found["ended"] in ("interrupted", "error"):
        yield f"The run ended early, after {found['seconds']:.2f} of {found['settings']['seconds']:g} s."
    if found["problem"]:
        yield found["problem"]
    if found["cpu"]["server_s"] is None:
        yield (
            "The server's processor time is unknown: the server is on another machine or belongs to "
            "another user (--server-pid)."
        )


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]  # fmt: skip


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def duration(us: float) -> str:
    """Microseconds for people: 850 µs, 12.3 ms, 1.25 s."""
    if us < 1000:
        return f"{us:.0f} µs" if us >= 100 else f"{us:.1f} µs"
    return f"{us / 1000:.3g} ms" if us < 1e6 else f"{us / 1e6:.3g} s"


def data_rate(value: float) -> str:
    """Bytes per second for people, in powers of ten: 1.25 GB/s."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}/s" if value else "-"
        value /= 1000
    return f"{value:.3g} GB/s"


def size(value: int) -> str:
    """A size in the options' format: 4 KiB, 2 MiB."""
    for unit, exponent in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if value >= 1 << exponent and value % (1 << exponent) == 0:
            return f"{value >> exponent} {unit}"
    return f"{value} bytes"
