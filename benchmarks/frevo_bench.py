"""`frevo bench` as the load: one run in a process of its own, and its report."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.target import Target

from benchmarks.sample import LONGER, Cost, Sample, ToolError

#: What a run may take beside the measurement, for connections, files and their end.
_TIMEOUT_S = 120


def frevo_bench(
    target: Target,
    arguments: Sequence[str],
    seconds: float,
    *,
    protect: str,
    prefix: Sequence[str] = (),
    path: str = "",
    transport: Sequence[str] = (),
) -> dict[str, Any]:
    """The report of one run against `path` of the share. *arguments* begin with the workload, *prefix* are words before
    the command, *transport* is a URL's scheme and authority and further options, if not those of the target's TCP.

    ToolError if it fails.
    """
    place, *trust = transport or (f"smb://{target.host}:{target.port}",)
    with tempfile.TemporaryDirectory(prefix="frevo-bench-") as folder:
        login = Path(folder, "login")
        login.write_text(f"username={target.user}\npassword={target.password}\n")
        command = [
            *(*prefix, sys.executable, "-m", "frevo", "bench", *arguments, f"{place}/share/{path}", *trust),
            *("--protect", protect, "--credentials", str(login), "--time", str(seconds)),
            *(("--server-pid", str(target.pid)) if target.pid else ()),
            *("--json", "--quiet"),
        ]
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=seconds + _TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"frevo bench {' '.join(arguments)} against {target.name}: no end") from None
    if run.returncode:
        said = run.stderr or run.stdout[:1000]
        raise ToolError(f"frevo bench {' '.join(arguments)} against {target.name}: {said}")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def measure(target: Target, arguments: Sequence[str], seconds: float, **more: Any) -> Sample:
    """The same as a sample; connecting and ending do not count, except for what other processes used.

    ToolError if there is no response even in a longer run.
    """
    for factor in LONGER:
        cost = Cost(target)
        found = frevo_bench(target, arguments, seconds * factor, **more)
        _, _, others = cost.end()
        if found["operations"]:
            break
    else:
        raise ToolError(f"frevo bench {' '.join(arguments)} against {target.name}: no response in time")
    moved = float(found["bytes"])
    return Sample(
        found["operations"],
        found["seconds"],
        found["cpu"]["server_s"],
        found["cpu"]["client_s"],
        moved if found["settings"].get("io_size", 0) >= 65536 else 0.0,
        others,
        found["latency_us"]["p50"],
        found["latency_us"]["p99"],
        _least(found["operations_by_connection"]),
    )


def _least(counts: dict[str, float] | None) -> float:
    return counts["least"] / counts["median"] if counts and counts["median"] else 0.0
