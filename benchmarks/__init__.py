"""frevo compared with Samba's smbd and with what the loopback of the machine can do, under the same load in one run.

`python -m benchmarks` (or `make bench`) runs everything; `--help` lists the options. Numbers come in pairs measured
seconds apart, so what counts is their ratio; the table names the machine.

    run.py         the command line: rounds, pairs, results
    workloads.py   what is measured, and the goals
    servers.py     the two servers on private configurations, their CPU time and memory
    loadgen.py     starts the load and measures around it
    load.py        one process of our load generator: client.py, pipeline.py, conversation.py
    tools.py       smbtorture, smbclient and limit.c as load
    report.py      medians, ratios, the table
    machine.py     the machine in one line
    client_bench.py  frevo bench and smbtorture's clients against one smbd
    client_library.py  frevo's client, smbprotocol and smbclient; client_work.py is one process of it
    quic.py        SMB over QUIC, over TCP, and other QUIC stacks; quic_bulk.py and quinn_bulk/ are their ends
    quic_loss.py   SMB over QUIC and over TCP on a path that loses packets (as root)
    micro_*.py     single functions, in microseconds
"""

from __future__ import annotations

import sys
from pathlib import Path

#: The servers are started by tests/peers, as in the tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
