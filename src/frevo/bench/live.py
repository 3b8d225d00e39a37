"""The lines printed while a bench runs, in smbtorture's format."""

from __future__ import annotations

from collections.abc import Sequence

from frevo.bench.tally import Tally

#: A line that the next one overwrites ends so: spaces for the rest of a longer one, and a carriage return.
_OVERWRITTEN = "     \r"


def opening(connections: int) -> str:
    """Before the log-on."""
    return f"Opening {connections} connections"


def opened(connections: int, depth: int) -> str:
    """After it."""
    return f"Opened {connections} connections with qdepth={depth} => {connections * depth} loops"


def running(seconds: float) -> str:
    """When the clock starts."""
    return f"Running for {seconds:g} seconds"


def part(name: str, tally: Tally, seconds: float, *, moves_data: bool) -> str:
    """One kind of operation during *seconds*: rates, and latencies in seconds.

    As in smbtorture, session set-up and log-off have their own separator and no thousands separator.
    """
    separator, number = (",", "d") if name in ("setup", "logoff") else (";", ",d")
    seconds = max(seconds, 1e-9)
    fields = [f"num/s={round(tally.operations / seconds):{number}}"]
    if moves_data:
        fields.append(f"bytes/s={round(tally.bytes / seconds):{number}}")
    times = (("avslat", tally.mean_ns), ("minlat", tally.min_ns), ("maxlat", tally.max_ns))
    fields += [f"{key}={ns / 1e9:.6f}" for key, ns in times]
    return f"{name}[{separator.join(fields)}]"


def line(at: float, seconds: float, parts: Sequence[tuple[str, Tally]], *, moves_data: bool) -> str:
    """The operations in the *seconds* before second *at*; to be overwritten by the next line."""
    return _line(at, seconds, parts, moves_data) + _OVERWRITTEN


def last_lines(seconds: float, parts: Sequence[tuple[str, Tally]], *, moves_data: bool) -> str:
    """Totals of the whole run, and its duration."""
    return f"{_line(seconds, seconds, parts, moves_data)}\n{seconds:.2f} seconds\n"


def _line(at: float, seconds: float, parts: Sequence[tuple[str, Tally]], moves_data: bool) -> str:
    shown = " ".join(part(name, tally, seconds, moves_data=moves_data) for name, tally in parts)
    return f"{at:.2f} second: {shown}"
