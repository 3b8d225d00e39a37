"""frevo beside Samba's smbd, and beside what the machine's loopback can do, under the same load in the same run.

`python -m benchmarks` (or `make bench`) runs everything; `--help` lists the choices. Every number is one of a pair
taken seconds apart, so what counts is the ratio; the table says on which machine it was made.

    run.py         the command line: rounds, pairs, results
    workloads.py   what is measured, and the goals
    servers.py     the two servers on private configurations, their CPU time and memory
    loadgen.py     starts the load and measures around it
    load.py        one process of our load generator: client.py, pipeline.py, conversation.py
    tools.py       smbtorture, smbclient and limit.c as load
    report.py      medians, ratios, the table
    machine.py     the machine in one line
    client_bench.py  frevo bench beside smbtorture's clients, against one smbd
    client_library.py  frevo's client beside smbprotocol and smbclient; client_work.py is one such process
    micro_*.py     single functions, in microseconds
"""

from __future__ import annotations

import sys
from pathlib import Path

#: The servers are started by tests/peers, as in the tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
