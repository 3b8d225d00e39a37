"""A client of frevo's library that connects, logs on and reads 4 KiB, again and again.

    python -m benchmarks.first_read FILE SECONDS    prints a line of JSON

It reads how to connect from its input, as JSON: `url` and the arguments of `frevo.connect`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import frevo

_SIZE = 4096


async def first_reads(login: dict[str, Any], file: str, seconds: float) -> dict[str, float]:
    """From nothing to the first answer to READ, one after the other. The end of a session is not counted."""
    done, took, used = 0, 0.0, 0.0
    while took < seconds:
        clock, processor = time.perf_counter(), time.process_time()
        async with frevo.connect(**login) as share:
            assert len(await share.read_small(file, _SIZE)) == _SIZE
            took += time.perf_counter() - clock
            used += time.process_time() - processor
        done += 1
    return {"operations": done, "seconds": took, "client_s": used}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(first_reads(json.load(sys.stdin), sys.argv[1], float(sys.argv[2])))))
